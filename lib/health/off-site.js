'use strict';

// Whether snapshots that are here are in the bucket as well.

const { overdueFrom } = require('./missed-runs.js');

const DAY_MS = 24 * 60 * 60 * 1000;

/** When the newest snapshot in the bucket was made, as somebody saw it last; `null` when nobody knows of one. */
const lastSeenInBucket = ({ counters }) => counters.inBucket?.newest ?? counters.lastUploaded ?? null;

/** Whether the newest snapshot here is newer than that. */
const isBehind = ({ newestHere }, inBucket) =>
  newestHere !== null && (inBucket === null || Date.parse(newestHere.createdAt) > Date.parse(inBucket));

/**
 * The moment from which on the bucket has been behind for too long, in milliseconds; `null` while it is not
 * behind. `inBucket`: when the newest one in it was made, or `null`.
 */
function behindFrom(facts, inBucket, schedule) {
  if (!isBehind(facts, inBucket)) return null;
  if (inBucket === null) return Date.parse(facts.oldestHere.createdAt) + DAY_MS;
  return schedule instanceof Error ? null : overdueFrom(schedule, new Date(inBucket));
}

module.exports = { DAY_MS, lastSeenInBucket, isBehind, behindFrom };
