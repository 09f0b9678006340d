'use strict';

// Runs of a schedule that brought no snapshot.

/** A run takes a while; only after that, and at most half the way to the next run, it counts as missed. */
const LONGEST_GRACE_MS = 10 * 60 * 1000;
/** Nobody needs to know exactly how many hundreds. */
const MOST = 100;

/** How many runs were due since a snapshot and are not there; at most a hundred. */
function missedRuns(schedule, since, now) {
  const last = schedule.latest(new Date(now));
  if (!last) return 0;
  const grace = Math.min(LONGEST_GRACE_MS, (schedule.next(new Date(now)) - last) / 2);
  let missed = 0;
  let due = schedule.latest(new Date(now - grace));
  while (due && due > since && missed < MOST) {
    missed += 1;
    due = schedule.latest(new Date(due.getTime() - 1));
  }
  return missed;
}

module.exports = { missedRuns };
