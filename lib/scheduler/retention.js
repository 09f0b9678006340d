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
 * Deletes the completed snapshots of the same database that the policy does not keep; returns their
 * names. A stop is heeded between two of them.
 */
async function applyRetention(writer, policy, { snapshot, signal }) {
  checkPolicy(policy);
  const all = await writer.listSnapshots();
  const { lineage } = all.find(({ id }) => id === snapshot.id);
  const isOurs = (other) =>
    other.lineage === lineage && other.kind === 'snapshot' && other.status === 'COMPLETED';
  const deleted = [];
  // They are listed newest first.
  for (const { name } of all.filter(isOurs).slice(policy.keepLast)) {
    if (signal?.aborted) break;
    if (await deleteIfThere(writer, name)) deleted.push(name);
  }
  return deleted;
}

/** Until `prune` takes this over, one rule is known; with any other one nothing is deleted. */
function checkPolicy({ keepLast, ...others }) {
  if (!(keepLast >= 1) || Object.keys(others).length > 0) {
    throw new SnapshotError(
      'INVALID_ARGUMENT',
      'SNAPSHOT_KEEP_LAST alone is supported, and must be 1 or more',
    );
  }
}

/** Another instance may be deleting, too. */
async function deleteIfThere(writer, name) {
  try {
    await writer.deleteSnapshot(name);
    return true;
  } catch (error) {
    if (error.code === 'SNAPSHOT_NOT_FOUND') return false;
    throw error;
  }
}

module.exports = { applyRetention, policyFrom };
