'use strict';

// Runs of a schedule that brought no snapshot.

/** A run takes a while; only after that, and at most half the way to the next run, it counts as missed. */
const LONGEST_GRACE_MS = 10 * 60 * 1000;
/** Nobody needs to know exactly how many hundreds. */
const MOST = 100;
/** One run may fail; from the second on somebody has to act. */
const TOO_MANY = 2;

/** From when on a run counts as missed that was due then. */
function missedFrom(schedule, due) {
  const next = schedule.next(due);
  return due.getTime() + (next ? Math.min(LONGEST_GRACE_MS, (next - due) / 2) : LONGEST_GRACE_MS);
}

/** How many runs were due since a snapshot and are not there; at most a hundred. */
function missedRuns(schedule, since, now) {
  let due = schedule.latest(new Date(now));
  if (due && now < missedFrom(schedule, due)) due = before(schedule, due);
  let missed = 0;
  while (due && due > since && missed < MOST) {
    missed += 1;
    due = before(schedule, due);
  }
  return missed;
}

const before = (schedule, due) => schedule.latest(new Date(due.getTime() - 1));

/** The moment from which on too many runs will have been missed, in milliseconds; `null`: never. */
function overdueFrom(schedule, since) {
  let due = since;
  for (let run = 0; run < TOO_MANY; run += 1) {
    due = schedule.next(due);
    if (!due) return null;
  }
  return missedFrom(schedule, due);
}

module.exports = { TOO_MANY, missedRuns, overdueFrom };
