'use strict';

// Entry of the worker process: the only place that loads the native addon.
// It must not touch `process.stdin` or `process.stdout`; the addon reads and writes them itself.

const { writeSync } = require('node:fs');

// Terminals and PM2 send signals to the whole process tree. A snapshot that was begun at
// shutdown should finish; the end of standard input says that the application is gone.
process.on('SIGINT', () => {});
process.on('SIGTERM', () => {});
process.on('SIGHUP', () => {});

function loadAddon() {
  try {
    return require('./native.js');
  } catch (error) {
    reportUnloadable(error);
    return process.exit(1);
  }
}

/** Says in the worker's language why there is no addon, so that the application gets a clear error. */
function reportUnloadable(error) {
  const { encodeFrame } = require('./lib/frames.js');
  const forbidden = error.code === 'ERR_ACCESS_DENIED' || error.code === 'ERR_DLOPEN_DISABLED';
  const causes = [];
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    causes.push(cause.message);
  }
  const frame = encodeFrame({
    type: 'error',
    code: forbidden ? 'WORKER_NOT_ALLOWED' : 'WORKER_FAILED',
    message: forbidden
      ? 'the worker process may not load the native addon; allow it with --allow-addons and --allow-fs-read'
      : `the native addon for ${process.platform}-${process.arch} could not be loaded; reinstall the package or run "npm run build" in it`,
    causes,
  });
  writeSync(1, frame);
}

process.exit(loadAddon().runWorker());
