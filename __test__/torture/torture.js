'use strict';

// Works through operations, journal modes and faults, several at a time, each in a folder of its own.

const path = require('node:path');
const { openCases } = require('./cases.js');

/** So far apart, modulo 1, that a few seeds see places all over a series. */
const GOLDEN = 0.618;

/**
 * Resolves with every case that was run; `onCase` hears of each at once. `sample` says by fault how many calls of
 * a series are hit; without it all are.
 */
async function torture(settings) {
  const { operations, modes, jobs } = settings;
  const queue = operations.flatMap((name) => modes.map((mode) => ({ name, mode })));
  queue.forEach((next, index) => (next.seed = settings.seed + index * settings.faults.length));
  const cases = [];
  const work = async (_, job) => {
    const folder = path.join(settings.folder, `job-${job}`);
    for (let next = queue.shift(); next; next = queue.shift()) {
      const { name, mode, seed } = next;
      const series = await openCases({ folder, injector: settings.injector, name, mode });
      for (const [index, fault] of settings.faults.entries()) {
        for await (const each of runSeries(settings, series, fault, seed + index)) {
          cases.push({ operation: name, mode, ...each });
          settings.onCase?.(cases.at(-1));
        }
      }
    }
  };
  await Promise.all(Array.from({ length: jobs }, work));
  return cases;
}

/** One fault at every call, until the operation gets through without meeting it; or at some of them. */
async function* runSeries({ from, to, sample }, series, fault, seed) {
  if (sample) {
    for (const n of spread(await series.count(fault), sample[fault], seed)) yield series.runCase(fault, n);
    return;
  }
  for (let n = from; n <= to; n += 1) {
    const each = await series.runCase(fault, n);
    yield each;
    if (!each.hit) return;
  }
}

/** At most `sample` numbers from 1 to `count`, evenly apart, beginning where the seed says. */
function spread(count, sample, seed) {
  const places = Math.min(count, sample);
  const shift = (seed * GOLDEN) % 1;
  return Array.from({ length: places }, (_, index) => 1 + Math.floor(((index + shift) * count) / places));
}

module.exports = { torture };
