'use strict';

/** A small seeded generator (mulberry32): the same seed gives the same database on every machine. */
function random(seed) {
  let state = seed >>> 0;
  const bits = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return (mixed ^ (mixed >>> 14)) >>> 0;
  };
  const hex = () => bits().toString(16).padStart(8, '0');
  return {
    below: (limit) => Math.floor((bits() / 0x1_0000_0000) * limit),
    fraction: () => (bits() / 0x1_0000_0000).toFixed(6),
    base64(length) {
      const words = Uint32Array.from({ length: length / 4 }, bits);
      return Buffer.from(words.buffer).toString('base64');
    },
    uuid() {
      const [a, b, c, d] = [hex(), hex(), hex(), hex()];
      return `${a}-${b.slice(0, 4)}-4${b.slice(5)}-a${c.slice(1, 4)}-${c.slice(4)}${d}`;
    },
  };
}

module.exports = { random };
