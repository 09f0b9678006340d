'use strict';

// Which snapshots stay after a run.

const { SnapshotError } = require('../errors.js');

/** What the application's own script did. */
const DEFAULT_POLICY = { keepLast: 10 };

const COUNTS = {
  SNAPSHOT_KEEP_LAST: 'keepLast',
  SNAPSHOT_KEEP_HOURLY: 'keepHourly',
  SNAPSHOT_KEEP_DAILY: 'keepDaily',
  SNAPSHOT_KEEP_WEEKLY: 'keepWeekly',
  SNAPSHOT_KEEP_MONTHLY: 'keepMonthly',
  SNAPSHOT_KEEP_YEARLY: 'keepYearly',
};

/** The policy that the environment asks for: the variables that are set, or the default. */
function policyFrom(environment) {
  const policy = {};
  for (const [variable, rule] of Object.entries(COUNTS)) {
    const text = environment[variable]?.trim();
    if (!text) continue;
    if (!/^\d{1,9}$/.test(text)) {
      throw new SnapshotError('INVALID_ARGUMENT', `${variable} must be a whole number, not "${text}"`);
    }
    policy[rule] = Number(text);
  }
  const within = environment.SNAPSHOT_KEEP_WITHIN?.trim();
  if (within) policy.keepWithin = within;
  return Object.keys(policy).length === 0 ? DEFAULT_POLICY : policy;
}

/**
 * Removes what the policy does not keep; returns the names. Nobody who stops the scheduler has to wait
 * for it: it may be cut off at any moment, and the next run goes on with it.
 */
async function applyRetention(writer, policy, { log, signal }) {
  try {
    const { removed, collapse } = await writer.prune({ ...policy, signal });
    if (collapse) log.warn(`Nothing from before ${collapse.name} is removed: ${collapse.reason}`);
    if (removed.length > 0) log.info('Older snapshots removed', { names: namesOf(removed).join(', ') });
    return namesOf(removed);
  } catch (error) {
    if (signal?.aborted && error.code === 'ABORTED') return [];
    throw error;
  }
}

const namesOf = (snapshots) => snapshots.map(({ name }) => name);

module.exports = { applyRetention, policyFrom };
