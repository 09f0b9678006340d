'use strict';

// Which snapshots stay after a run.

const { SnapshotError } = require('../errors.js');
const { POLICY, checkOptions } = require('../options.js');

/** What the application's own script did. */
const DEFAULT_POLICY = { keepLast: 10 };

const VARIABLES = {
  keepLast: 'SNAPSHOT_KEEP_LAST',
  keepHourly: 'SNAPSHOT_KEEP_HOURLY',
  keepDaily: 'SNAPSHOT_KEEP_DAILY',
  keepWeekly: 'SNAPSHOT_KEEP_WEEKLY',
  keepMonthly: 'SNAPSHOT_KEEP_MONTHLY',
  keepYearly: 'SNAPSHOT_KEEP_YEARLY',
  keepWithin: 'SNAPSHOT_KEEP_WITHIN',
};
const DURATION = /^(?!0+\D)\d{1,5}[hdwmy]$/;
const OPTION = { keep: [(value) => typeof value === 'object', 'an object of rules of retention', POLICY] };

/** What keeps the bucket from being pruned this time and goes by itself. */
const PASSING = new Set(['S3_UNREACHABLE', 'REPOSITORY_BUSY']);

/**
 * The policy of a scheduler: what the application gives, else what the environment says. Refuses what
 * `prune` would refuse, so that nobody hears of it after the first snapshot only.
 */
function policyOf(keep, environment) {
  if (keep == null) return policyFrom(environment);
  const { keep: policy } = checkOptions({ keep }, OPTION);
  return checked(policy, (rule) => `option "keep.${rule}"`);
}

/** The variables that are set, or the default. */
function policyFrom(environment) {
  const policy = {};
  for (const [rule, variable] of Object.entries(VARIABLES)) {
    const text = environment[variable]?.trim();
    if (text) policy[rule] = rule === 'keepWithin' ? text : countOf(text, variable);
  }
  return Object.keys(policy).length === 0 ? DEFAULT_POLICY : checked(policy, (rule) => VARIABLES[rule]);
}

function countOf(text, variable) {
  if (/^\d{1,9}$/.test(text)) return Number(text);
  throw new SnapshotError('INVALID_ARGUMENT', `${variable} must be a whole number, not "${text}"`);
}

/** `nameOf` says what a rule is called where it was set. */
function checked(policy, nameOf) {
  const { keepWithin, ...counts } = policy;
  if (keepWithin !== undefined && !DURATION.test(keepWithin)) {
    const form = 'a number and a unit of h, d, w, m (months) or y, such as 36h, 7d or 6m';
    throw invalid(`${nameOf('keepWithin')} must be ${form}, not "${keepWithin}"`);
  }
  for (const [rule, count] of Object.entries(counts)) {
    if (count < 0) throw invalid(`${nameOf(rule)} must not be negative, and is ${count}`);
  }
  if (keepWithin === undefined && !Object.values(counts).some((count) => count > 0)) {
    const names = Object.keys(counts).map(nameOf).join(', ') || 'option "keep"';
    throw invalid(`${names}: that keeps no snapshot; give at least one rule above 0`);
  }
  return policy;
}

function invalid(message) {
  return new SnapshotError('RETENTION_POLICY_INVALID', message);
}

/**
 * Removes what the policy does not keep. Resolves with `{ removed, collapse?, failure? }`: the names,
 * a loss of content that stands, and why the bucket was not pruned, unless that goes by itself.
 *
 * Nobody who stops the scheduler has to wait for it: it may be cut off at any moment, and the next run
 * goes on with it.
 */
async function applyRetention(writer, policy, { log, signal }) {
  try {
    const result = await writer.prune({ ...policy, signal });
    const removed = result.removed.map(({ name }) => name);
    const collapse = result.collapse ?? undefined;
    if (collapse) log.warn(`Nothing from before ${collapse.name} is removed: ${collapse.reason}`);
    if (removed.length > 0) log.info('Older snapshots removed', { names: removed.join(', ') });
    return { removed, collapse, failure: failureOf(result) };
  } catch (error) {
    if (signal?.aborted && error.code === 'ABORTED') return { removed: [] };
    throw error;
  }
}

/** A bucket that nobody may delete from grows for ever; that one cannot be asked, the writer has said. */
function failureOf({ bucketFailure }) {
  if (!bucketFailure || PASSING.has(bucketFailure.code)) return undefined;
  const { code, message } = bucketFailure;
  return new SnapshotError(code, `The snapshot is complete, but the bucket could not be pruned: ${message}`);
}

module.exports = { applyRetention, policyOf };
