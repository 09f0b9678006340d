'use strict';

// What a retention policy keeps, once more and independently of the engine: by text instead of by
// calendar, a set for each rule instead of a walk over all rules.

/** Names of the periods that a date lies in. */
const PERIODS = {
  keepHourly: (date) => date.toISOString().slice(0, 13),
  keepDaily: (date) => date.toISOString().slice(0, 10),
  keepWeekly: (date) => mondayOf(date).toISOString().slice(0, 10),
  keepMonthly: (date) => date.toISOString().slice(0, 7),
  keepYearly: (date) => date.toISOString().slice(0, 4),
};

const HOURS = { h: 1, d: 24, w: 7 * 24 };

/** By how much a clock may be fast. */
const TOLERANCE = 15 * 60_000;

/** The dates, of those given, that the policy keeps, newest first. What lies ahead is kept and counts for nothing. */
function keptBy(policy, dates, now = new Date()) {
  const isAhead = (date) => date - now > TOLERANCE;
  const ahead = dates.filter(isAhead).sort((one, other) => other - one);
  const believed = dates.filter((date) => !isAhead(date));
  return [...ahead, ...keptOf(policy, believed)];
}

function keptOf(policy, dates) {
  const sorted = [...dates].sort((one, other) => other - one);
  const kept = new Set(sorted.slice(0, policy.keepLast ?? 0));
  for (const [rule, periodOf] of Object.entries(PERIODS)) {
    for (const date of keptByPeriod(sorted, policy[rule] ?? 0, periodOf)) kept.add(date);
  }
  if (policy.keepWithin) {
    const reach = Number.parseInt(policy.keepWithin, 10) * HOURS[policy.keepWithin.at(-1)] * 3_600_000;
    for (const date of sorted) if (sorted[0] - date < reach) kept.add(date);
  }
  return sorted.filter((date) => kept.has(date));
}

function keptByPeriod(sorted, count, periodOf) {
  if (count === 0) return [];
  const newestOf = new Map();
  for (const date of sorted) {
    if (!newestOf.has(periodOf(date))) newestOf.set(periodOf(date), date);
  }
  const newest = [...newestOf.values()];
  return newest.length < count ? [...newest, sorted.at(-1)] : newest.slice(0, count);
}

function mondayOf(date) {
  const daysSince = (date.getUTCDay() + 6) % 7;
  return new Date(date.getTime() - daysSince * 24 * 3_600_000);
}

module.exports = { keptBy };
