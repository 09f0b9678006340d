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

/**
 * The dates, of those given, that the policy keeps, newest first: of snapshots without numbers, which go by date.
 * What lies ahead is kept and counts for nothing.
 */
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
  for (const date of keptWithin(sorted, policy.keepWithin)) kept.add(date);
  return sorted.filter((date) => kept.has(date));
}

/** As old as the time that snapshots were made in, without the last of the pauses that are as long as all of it. */
function keptWithin(sorted, within) {
  if (!within) return [];
  const reach = Number.parseInt(within, 10) * HOURS[within.at(-1)] * 3_600_000;
  const end = sorted.findIndex((date, index) => index > 0 && sorted[index - 1] - date >= reach);
  if (end < 0) return sorted.filter((date) => sorted[0] - date < reach);
  const [after, before] = [sorted.slice(0, end), sorted.slice(end)];
  const passed = after[0] - after.at(-1);
  return [
    ...after.filter((date) => after[0] - date < reach),
    ...before.filter((date) => passed + (before[0] - date) < reach),
  ];
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
