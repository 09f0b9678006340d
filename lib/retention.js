'use strict';

// The arguments and the outcome of `prune`.

const { POLICY } = require('./options.js');
const { withDates } = require('./records.js');

/** Sorts the options of a prune into the job's arguments and those that every call has. */
function pruneArguments({ tier, dryRun, now, ...options }) {
  const policy = {};
  const others = {};
  for (const [name, value] of Object.entries(options)) {
    (Object.hasOwn(POLICY, name) ? policy : others)[name] = value;
  }
  return { args: { policy, tier, dryRun, now }, others };
}

function withPruneDates(result) {
  return {
    ...result,
    kept: result.kept.map(withDates),
    removed: result.removed.map(withDates),
    collapse: result.collapse && withDates(result.collapse),
  };
}

module.exports = { pruneArguments, withPruneDates };
