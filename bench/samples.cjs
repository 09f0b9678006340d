'use strict';

/** Measured values by key, one per round. */
class Samples {
  #values = new Map();

  add(key, value) {
    this.#values.set(key, [...(this.#values.get(key) ?? []), value]);
  }

  all(key) {
    return this.#values.get(key) ?? [];
  }

  median(key) {
    return median(this.all(key));
  }

  /** The ratios of two keys round by round: noise that lasts longer than a round cancels out. */
  ratios(over, under) {
    const below = this.all(under);
    return this.all(over)
      .slice(0, below.length)
      .map((value, round) => value / below[round]);
  }
}

function median(values) {
  if (values.length === 0) return undefined;
  const sorted = values.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

module.exports = { Samples, median };
