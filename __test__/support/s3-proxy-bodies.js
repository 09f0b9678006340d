'use strict';

// What the proxy does to the bodies that pass. A damage is a function of a chunk, its offset in the
// body and the client's connection; it returns what may pass, or null when the rest must not.

const { Transform } = require('node:stream');

/** Counts a body in `record` and damages it on its way. */
function through(direction, request, record, faults) {
  const damages = faults.filter((fault) => fault.direction === direction).map((fault) => fault.damage);
  return new Transform({
    transform(chunk, encoding, done) {
      const offset = record[direction];
      record[direction] += chunk.length;
      let passed = chunk;
      for (const damage of damages) passed &&= damage(passed, offset, request.socket);
      // Without `done` the body never ends, as one does whose connection is gone.
      if (passed !== null) done(null, passed);
    },
  });
}

/** Faults of bodies in a `direction`: 'up' is what a client sends, 'down' what it gets. */
function bodyFaults(inject) {
  return {
    /**
     * Resets the connection that carries the byte after the first `bytes` of all matching bodies,
     * counted from now on; `then` is called at that moment.
     */
    cut(direction, bytes, { match, then } = {}) {
      let left = bytes;
      const fault = { direction };
      fault.damage = (chunk, offset, socket) => {
        left -= chunk.length;
        if (left >= 0 || fault.hits > 0) return chunk;
        fault.hits = 1;
        socket.resetAndDestroy();
        then?.();
        return null;
      };
      return inject(fault, { match });
    },
    /** Ends the connection in good order after the first `bytes` of an answer that announced more. */
    truncate(bytes, options) {
      const fault = { direction: 'down' };
      fault.damage = (chunk, offset, socket) => {
        if (offset + chunk.length <= bytes) return chunk;
        if (offset > bytes) return null;
        fault.hits += 1;
        // What is kept has to leave before the end does.
        setImmediate(() => socket.end());
        return chunk.subarray(0, bytes - offset);
      };
      return inject(fault, options);
    },
    /** Flips one bit of the byte at `at` of a body. */
    corrupt(direction, at, options) {
      const fault = { direction };
      fault.damage = (chunk, offset) => {
        if (at < offset || at >= offset + chunk.length) return chunk;
        fault.hits += 1;
        const damaged = Buffer.from(chunk);
        damaged[at - offset] ^= 1;
        return damaged;
      };
      return inject(fault, options);
    },
  };
}

module.exports = { through, bodyFaults };
