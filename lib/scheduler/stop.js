'use strict';

// How a process is asked to stop: signals, PM2's message (`shutdown_with_message`), and the end of
// whoever started it.

const { performance } = require('node:perf_hooks');

const EXIT_CODES = { SIGINT: 130, SIGTERM: 143 };
/** Ctrl-C reaches a process twice when npm started it: from the terminal and from npm. */
const ECHO_MS = 1_000;

/**
 * An AbortSignal that is aborted by the first request; a second one ends the process at once: the
 * worker then gives up by itself. `release` forgets all of it, so that the process can end.
 */
function watchForStop(log) {
  const controller = new AbortController();
  let asked;
  const stop = (how, exitCode) => {
    if (asked === undefined) {
      asked = performance.now();
      log.info(`${how}: stopping after what is going on; once more to stop at once`);
      controller.abort();
    } else if (exitCode !== undefined && performance.now() - asked > ECHO_MS) {
      process.exit(exitCode);
    }
  };
  const onSignal = (name) => stop(name, EXIT_CODES[name]);
  const onMessage = (message) => message === 'shutdown' && stop("PM2's message", EXIT_CODES.SIGINT);
  const onDisconnect = () => stop('The end of the parent process');

  process.on('SIGINT', onSignal).on('SIGTERM', onSignal);
  process.on('message', onMessage).on('disconnect', onDisconnect);
  return {
    signal: controller.signal,
    release() {
      process.off('SIGINT', onSignal).off('SIGTERM', onSignal);
      process.off('message', onMessage).off('disconnect', onDisconnect);
    },
  };
}

module.exports = { watchForStop };
