'use strict';

// Facts as the worker gathers them, of a database that is in order.

const NOW = Date.parse('2026-01-10T10:00:00Z');
const HOUR = 60 * 60 * 1000;
const DAY = 24 * HOUR;

const ago = (milliseconds) => new Date(NOW - milliseconds).toISOString();

function goodCounters(changes) {
  return {
    created: 12,
    failed: 1,
    lastFailure: null,
    lastCreated: ago(4 * HOUR),
    lastSize: 58_344_448,
    durations: [0, 3, 4, 5, 0, 0, 0, 0, 0],
    durationMs: 21_500,
    addedBytes: 99_000_000,
    uploads: 11,
    uploadFailures: 1,
    uploadedBytes: 98_000_000,
    lastUploaded: ago(4 * HOUR),
    restores: 2,
    restoreFailures: 0,
    verifiedGood: 3,
    verifiedBad: 0,
    drills: { passed: 4 },
    integrity: { healthy: true, imageOf: ago(4 * HOUR) },
    inBucket: { snapshots: 10, bytes: 80_000_000, newest: ago(4 * HOUR) },
    ...changes,
  };
}

/** `changes` replace facts; those below `counters` replace counters. */
function goodFacts({ counters, ...changes } = {}) {
  return {
    counters: goodCounters(counters),
    newest: { name: 'newest', createdAt: ago(4 * HOUR), size: 58_344_448 },
    database: { size: 60_000_000, failure: null },
    good: { name: 'newest', createdAt: ago(4 * HOUR), size: 58_344_448 },
    bad: [],
    olderBad: [],
    ahead: null,
    backwards: null,
    newestHere: { name: 'newest', createdAt: ago(4 * HOUR), size: 58_344_448 },
    oldestHere: { name: 'oldest', createdAt: ago(30 * DAY), size: 40_000_000 },
    newestInBucket: { name: 'newest', createdAt: ago(4 * HOUR), size: 58_344_448 },
    kept: 10,
    storedBytes: 81_000_000,
    pending: { count: 0, oldest: null },
    bucketFailure: null,
    collapse: null,
    damaged: [],
    unfinishedRestore: false,
    drills: [drill(2 * DAY), drill(2 * DAY, 'passed', { tier: 's3' })],
    growth: { bytes: 40_000_000, from: ago(2 * DAY), to: ago(4 * HOUR) },
    freeBytes: 50_000_000_000,
    imageBytes: 60_000_000,
    ...changes,
  };
}

function drill(age, outcome = 'passed', more = {}) {
  return {
    at: ago(age),
    tier: 'local',
    outcome,
    reason: null,
    rtoMs: 1_500,
    rpoMs: 4 * HOUR,
    checks: [],
    ...more,
  };
}

module.exports = { NOW, HOUR, DAY, ago, goodFacts, drill };
