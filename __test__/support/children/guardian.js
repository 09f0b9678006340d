'use strict';

// Runs one server and ends with the test: when standard input closes, for whatever reason the
// test's process is gone, the server is killed and what it leaves behind is removed.
// Arguments: a JSON array of paths to remove, the log file, the program and its arguments.

const { spawn } = require('node:child_process');
const fs = require('node:fs');

const [leftovers, logFile, program, ...args] = process.argv.slice(2);
const log = fs.openSync(logFile, 'a');
// A group of its own: Ctrl-C in a terminal is for the test, which then ends us.
const server = spawn(program, args, { stdio: ['ignore', log, log], detached: true });

server.once('error', (error) => {
  fs.writeSync(log, `${program}: ${error.message}\n`);
  end(1);
});
server.once('exit', (code, signal) => {
  fs.writeSync(log, `the server ended: ${code ?? signal}\n`);
  end(0);
});
// SIGKILL: SeaweedFS may take ten seconds over SIGTERM.
process.stdin.on('end', () => server.kill('SIGKILL')).resume();
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => {});

function end(code) {
  for (const file of JSON.parse(leftovers)) fs.rmSync(file, { recursive: true, force: true });
  process.exit(code);
}
