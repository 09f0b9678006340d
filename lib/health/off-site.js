'use strict';

// Whether snapshots that are here are in the bucket as well.

const { overdueFrom } = require('./missed-runs.js');

const DAY_MS = 24 * 60 * 60 * 1000;

/** The newest snapshot in the bucket, as somebody saw it last; `null` when nobody knows of one. */
function lastSeenInBucket({ counters: { inBucket, lastUploaded } }) {
  if (inBucket?.newest) return { createdAt: inBucket.newest, sequence: inBucket.sequence };
  return lastUploaded ? { createdAt: lastUploaded } : null;
}

/** Whether the newest snapshot here is newer than that: by number, and by date where one of them has none. */
function isBehind({ newestHere }, inBucket) {
  if (newestHere === null || inBucket === null) return newestHere !== null;
  const [here, there] = [newestHere.sequence ?? null, inBucket.sequence ?? null];
  if (here !== null && there !== null) return here > there;
  return Date.parse(newestHere.createdAt) > Date.parse(inBucket.createdAt);
}

/**
 * The moment from which on the bucket has been behind for too long, in milliseconds; `null` while it is not
 * behind. `inBucket`: the newest one in it, or `null`.
 */
function behindFrom(facts, inBucket, schedule) {
  if (!isBehind(facts, inBucket)) return null;
  if (inBucket === null) return Date.parse(facts.oldestHere.createdAt) + DAY_MS;
  return schedule instanceof Error ? null : overdueFrom(schedule, new Date(inBucket.createdAt));
}

module.exports = { DAY_MS, lastSeenInBucket, isBehind, behindFrom };
