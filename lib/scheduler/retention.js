'use strict';

// Which snapshots stay after a run.

const { SnapshotError } = require('../errors.js');
const { POLICY, checkOptions } = require('../options.js');

/** What the application's own script did. */
const DEFAULT_POLICY = { keepLast: 10 };

/** The rules and the ends of their variables. */
const RULES = {
  keepLast: 'KEEP_LAST',
  keepHourly: 'KEEP_HOURLY',
  keepDaily: 'KEEP_DAILY',
  keepWeekly: 'KEEP_WEEKLY',
  keepMonthly: 'KEEP_MONTHLY',
  keepYearly: 'KEEP_YEARLY',
  keepWithin: 'KEEP_WITHIN',
};
const EVERYWHERE = 'SNAPSHOT_';
const IN_BUCKET = 'SNAPSHOT_S3_';
const DURATION = /^(?!0+\D)\d{1,5}[hdwmy]$/;
const AN_OPTION = [(value) => typeof value === 'object', 'an object of rules of retention', POLICY];

/** What keeps the bucket from being pruned this time and goes by itself. */
const PASSING = new Set(['S3_UNREACHABLE', 'REPOSITORY_BUSY']);

/**
 * What a scheduler prunes by, one after the other: a policy for both tiers, or one for each where the
 * bucket has its own. What the application gives, else what the environment says. Refuses what `prune`
 * would refuse, so that nobody hears of it after the first snapshot only.
 */
function policiesOf({ keep, keepInBucket }, environment) {
  const own = keep == null && keepInBucket == null;
  const policy = own ? policyFrom(environment, EVERYWHERE) : policyIn({ keep }, 'keep');
  const ofBucket = own ? policyFrom(environment, IN_BUCKET) : policyIn({ keepInBucket }, 'keepInBucket');
  const here = policy ?? DEFAULT_POLICY;
  return ofBucket
    ? [
        { ...here, tier: 'local' },
        { ...ofBucket, tier: 's3' },
      ]
    : [here];
}

function policyIn(options, name) {
  if (options[name] == null) return undefined;
  const { [name]: policy } = checkOptions(options, { [name]: AN_OPTION });
  return checked(policy, (rule) => `option "${name}.${rule}"`, `option "${name}"`);
}

/** The variables that are set; undefined when none is. */
function policyFrom(environment, prefix) {
  const policy = {};
  for (const [rule, end] of Object.entries(RULES)) {
    const text = environment[prefix + end]?.trim();
    if (text) policy[rule] = rule === 'keepWithin' ? text : countOf(text, prefix + end);
  }
  return Object.keys(policy).length === 0 ? undefined : checked(policy, (rule) => prefix + RULES[rule]);
}

function countOf(text, variable) {
  if (/^\d{1,9}$/.test(text)) return Number(text);
  throw new SnapshotError('INVALID_ARGUMENT', `${variable} must be a whole number, not "${text}"`);
}

/** `nameOf` says what a rule is called where it was set, `name` what the policy is. */
function checked(policy, nameOf, name) {
  const { keepWithin, ...counts } = policy;
  if (keepWithin !== undefined && !DURATION.test(keepWithin)) {
    const form = 'a number and a unit of h, d, w, m (months) or y, such as 36h, 7d or 6m';
    throw invalid(`${nameOf('keepWithin')} must be ${form}, not "${keepWithin}"`);
  }
  for (const [rule, count] of Object.entries(counts)) {
    if (count < 0) throw invalid(`${nameOf(rule)} must not be negative, and is ${count}`);
  }
  if (keepWithin === undefined && !Object.values(counts).some((count) => count > 0)) {
    const names = Object.keys(counts).map(nameOf).join(', ') || name;
    throw invalid(`${names}: that keeps no snapshot; give at least one rule above 0`);
  }
  return policy;
}

function invalid(message) {
  return new SnapshotError('RETENTION_POLICY_INVALID', message);
}

/**
 * Removes what the policies do not keep. Resolves with `{ removed, collapse?, failure? }`: the names,
 * a loss of content that stands, and why the bucket was not pruned, unless that goes by itself.
 *
 * Nobody who stops the scheduler has to wait for it: it may be cut off at any moment, and the next run
 * goes on with it.
 */
async function applyRetention(writer, policies, { log, signal }) {
  const outcome = { removed: [] };
  try {
    for (const policy of policies.filter(({ tier }) => tier !== 's3' || writer.s3Bucket !== null)) {
      const result = await prune(writer, { ...policy, signal }, log);
      const names = result.removed.map(({ name }) => name);
      if (names.length > 0)
        log.info(`Older snapshots removed${whereOf(policy)}`, { names: names.join(', ') });
      outcome.removed = [...new Set([...outcome.removed, ...names])];
      outcome.collapse ??= result.collapse ?? undefined;
      outcome.failure ??= failureOf(result);
    }
  } catch (error) {
    if (!(signal?.aborted && error.code === 'ABORTED')) throw error;
  }
  const { collapse } = outcome;
  if (collapse) log.warn(`Nothing from before ${collapse.name} is removed: ${collapse.reason}`);
  return outcome;
}

/** Pruning the bucket alone rejects when it cannot be done; pruning both tiers tells. */
async function prune(writer, options, log) {
  try {
    return await writer.prune(options);
  } catch (error) {
    if (options.tier !== 's3' || error.code === 'ABORTED') throw error;
    if (PASSING.has(error.code)) log.warn(error.message);
    return { removed: [], bucketFailure: error };
  }
}

const whereOf = ({ tier }) => ({ local: ' here', s3: ' from the bucket' })[tier] ?? '';

/** A bucket that nobody may delete from grows for ever; that one cannot be asked, the writer has said. */
function failureOf({ bucketFailure }) {
  if (!bucketFailure || PASSING.has(bucketFailure.code)) return undefined;
  const { code, message } = bucketFailure;
  return new SnapshotError(code, `The snapshot is complete, but the bucket could not be pruned: ${message}`);
}

module.exports = { applyRetention, policiesOf };
