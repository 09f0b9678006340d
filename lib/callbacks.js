'use strict';

// The application's functions (logger, progress) are guests: whatever they do, the outcome
// of an operation stays the same.

/** Calls a function of the application; what it throws or rejects with is dropped. */
function callSafely(callback, ...args) {
  try {
    const returned = callback(...args);
    if (typeof returned?.then === 'function') {
      returned.then(undefined, () => {});
    }
  } catch {
    // Nothing to do: the log itself may be what failed.
  }
}

/** One function `(level, message, fields)` over a logger that may lack methods. */
function logTo(log) {
  return (level, message, fields = {}) => {
    callSafely(() => {
      if (log === console && Object.keys(fields).length === 0) {
        return console[level](message);
      }
      return typeof log[level] === 'function' ? log[level](message, fields) : undefined;
    });
  };
}

const said = new Set();

/** Says each message at most once per process. */
function once(log) {
  return (level, message) => {
    if (!said.has(message)) {
      said.add(message);
      log(level, message);
    }
  };
}

module.exports = { callSafely, logTo, once };
