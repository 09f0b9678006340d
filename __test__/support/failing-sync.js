'use strict';

// A worker whose fsync of one file or folder fails with EIO, from a moment that the test chooses.

const { execFileSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { whilePaused } = require('./failpoints.js');

/**
 * Runs `call(writer)`; from the step `armedAt` on, `failing` cannot be synced: once, or as long as it runs; while
 * the file `without` exists, it can.
 */
async function withFailingSync(rig, { failing, armedAt, without, lasts = false }, call) {
  const [library, node, when] = ['failing-sync.so', 'failing-node', 'fail-now'].map((name) => rig.path(name));
  execFileSync('cc', ['-shared', '-fPIC', '-o', library, path.join(__dirname, 'failing-sync.c'), '-ldl']);
  const variables = [
    `LD_PRELOAD='${library}'`,
    `FAILING_SYNC='${failing}'`,
    `FAILING_SYNC_WHEN='${when}'`,
    ...(without ? [`FAILING_SYNC_WITHOUT='${without}'`] : []),
    ...(lasts ? ['FAILING_SYNC_LASTS=1'] : []),
  ];
  fs.writeFileSync(node, `#!/bin/sh\n${variables.join(' ')} exec '${process.execPath}' "$@"\n`, {
    mode: 0o755,
  });
  const writer = rig.newWriter({ nodePath: node });
  const outcome = await whilePaused(
    rig,
    armedAt,
    () => call(writer),
    () => fs.writeFileSync(when, ''),
  );
  const happened = lasts || !fs.existsSync(when);
  fs.rmSync(when, { force: true });
  return { ...outcome, happened };
}

module.exports = { withFailingSync };
