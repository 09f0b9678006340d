'use strict';

/**
 * The one error class of the package. `code` and the prefix of the message are API,
 * the rest of the message is prose.
 */
class SnapshotError extends Error {
  constructor(code, message, cause) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'SnapshotError';
    this.code = code;
  }
}

/** The same error with the method's contractual prefix; always has a `cause`. */
function withPrefix(prefix, error) {
  const inner = error instanceof Error || isErrorLike(error) ? error : new Error(String(error));
  const code = inner instanceof SnapshotError ? inner.code : 'INTERNAL';
  return new SnapshotError(code, prefix + inner.message, inner.cause ?? inner);
}

/** Rebuilds the chain of inner errors that the worker sent as messages, outermost first. */
function causeFromMessages(messages) {
  return messages.reduceRight(
    (cause, message) => new Error(message, cause === undefined ? undefined : { cause }),
    undefined,
  );
}

// Under Jest an error of Node's core is not an instance of the sandbox's `Error`.
function isErrorLike(value) {
  return typeof value === 'object' && value !== null && typeof value.message === 'string';
}

module.exports = { SnapshotError, withPrefix, causeFromMessages };
