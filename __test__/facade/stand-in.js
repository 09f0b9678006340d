'use strict';

const fs = require('node:fs');
const path = require('node:path');

/**
 * Writes a script that takes the place of the worker when its path is passed as `nodePath`: it ignores
 * worker.cjs and runs `body`, which finds `job`, `send(message)`, `answer(value)` and `fs`.
 */
function writeStandIn(folder, body) {
  const script = path.join(folder, 'stand-in');
  const source = `#!${process.execPath}
    const fs = require('node:fs');
    const send = (message) => {
      const body = Buffer.from(JSON.stringify(message));
      const head = Buffer.alloc(4);
      head.writeUInt32LE(body.length);
      fs.writeSync(1, Buffer.concat([head, body]));
    };
    const answer = (value) => {
      send({ type: 'result', value });
      process.exit(0);
    };
    process.stdin.once('data', (frame) => {
      const job = JSON.parse(frame.subarray(4));
      ${body}
    });
    setTimeout(() => process.exit(9), 30000).unref();`;
  fs.writeFileSync(script, source, { mode: 0o755 });
  return script;
}

module.exports = { writeStandIn };
