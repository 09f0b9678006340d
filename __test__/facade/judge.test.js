'use strict';

// Every verdict is yellow or red when it should be, says so with a number and a remedy, and is green else.

const { Schedule } = require('../../lib/scheduler/schedule.js');
const { judge } = require('../../lib/health/judge.js');
const { NOW, HOUR, DAY, ago, goodFacts, drill } = require('../support/facts.js');

const NAMES = { expression: 'SNAPSHOT_CRON_SCHEDULE', timezone: 'SNAPSHOT_CRON_TZ' };
const schedule = (expression = '0 */6 * * *') => new Schedule(expression, 'UTC', NAMES);

function judged(facts, others) {
  return judge(goodFacts(facts), { now: NOW, schedule: schedule(), usesBucket: true, ...others });
}

function check(name, facts, others) {
  return judged(facts, others).checks.find((one) => one.name === name);
}

const newest = (age) => ({ name: 'newest', createdAt: ago(age), size: 1 });
const farDrill = (age, outcome, more) => drill(age, outcome, { tier: 's3', ...more });
const PENDING = (age) => ({ count: 2, oldest: ago(age) });
const DOWN = { code: 'S3_UNREACHABLE', message: 'nobody answers at http://127.0.0.1:1' };

test('all is well', () => {
  const { healthy, verdict, checks } = judged();
  expect(checks.filter((one) => one.verdict !== 'ok')).toEqual([]);
  expect({ healthy, verdict }).toEqual({ healthy: true, verdict: 'ok' });
  expect(checks.map(({ name }) => name)).toEqual([
    ...[
      'database',
      'age',
      'newest',
      'clock',
      'upload',
      'bucket',
      'drill',
      'integrity',
      'collapse',
      'manifests',
      'restore',
      'disk',
      'growth',
    ],
  ]);
});

test('without a database nothing is said of it', () => {
  expect(check('database', { database: null })).toBeUndefined();
});

test('a schedule that cannot be understood says nothing of how far the bucket is behind', () => {
  const others = { schedule: new Error('no cron expression') };
  expect(check('upload', { newestInBucket: newest(90 * DAY) }, others).verdict).toBe('warning');
});

test('without a bucket nothing is said of it', () => {
  const facts = {
    pending: PENDING(2 * DAY),
    bucketFailure: DOWN,
    drills: [drill(DAY), drill(HOUR, 'failed', { tier: 's3' })],
  };
  const { checks, verdict } = judged(facts, { usesBucket: false });
  expect(verdict).toBe('ok');
  expect(checks.map(({ name }) => name)).not.toEqual(expect.arrayContaining(['upload', 'bucket']));
});

test.each([
  ['ok', [drill(6 * DAY)], /^The last restore drill was 6 d ago and passed/],
  ['ok', [drill(6 * DAY, 'passed', { tier: null })], /6 d ago and passed/],
  ['warning', [], /^No restore has been rehearsed yet\. Run "snapshot-writer drill",/],
  ['warning', [drill(8 * DAY), farDrill(HOUR)], /8 d ago, longer than a week/],
])('without a bucket every drill is one of the same copy: %s for %j', (verdict, drills, reason) => {
  expect(check('drill', { drills }, { usesBucket: false })).toMatchObject({
    verdict,
    reason: expect.stringMatching(reason),
  });
});

test.each([
  // Runs are due at 0, 6, 12 and 18 o'clock; it is 10.
  ['age', 'ok', { good: newest(4 * HOUR) }, 4 * 3600, /is 4 h old; the next is due in 2 h/],
  [
    'age',
    'warning',
    { good: newest(4 * HOUR + 1000) },
    4 * 3600 + 1,
    /1 run .*brought none.*run "snapshot-writer create"/,
  ],
  ['age', 'warning', { good: newest(10 * HOUR) }, 10 * 3600, /1 run /],
  ['age', 'critical', { good: newest(11 * HOUR) }, 11 * 3600, /11 h old: 2 runs/],
  ['age', 'critical', { good: newest(999 * DAY) }, 999 * 86400, /100 runs/],
  ['age', 'critical', { newest: null, good: null }, null, /no snapshot .* yet: run "snapshot-writer create"/],
  ['age', 'critical', { good: null, bad: ['newest: gone'] }, null, /can be relied on: run/],
  [
    'age',
    'critical',
    { good: newest(11 * HOUR), bad: ['newest: gone'] },
    11 * 3600,
    /newest good snapshot is 11 h old/,
  ],
  [
    'age',
    'warning',
    { counters: { lastFailure: { at: ago(HOUR), code: 'DATABASE_NOT_FOUND' } } },
    4 * 3600,
    /next is due in 2 h .* failed 1 h ago \(DATABASE_NOT_FOUND\): docs\/errors\.md/,
  ],
  [
    'age',
    'critical',
    { good: newest(11 * HOUR), counters: { lastFailure: { at: ago(HOUR), code: 'CHECK_FAILED' } } },
    11 * 3600,
    /2 runs .*\(CHECK_FAILED\)/,
  ],
  [
    'age',
    'critical',
    { ahead: { name: 'later', createdAt: ago(-20 * DAY), size: 1 } },
    4 * 3600,
    /is 4 h old, and later is dated in the future \(2026-01-30 .*clock.*delete that snapshot/,
  ],
  ['clock', 'ok', {}, 0, /dated before/],
  [
    'clock',
    'warning',
    { backwards: { snapshot: newest(9 * HOUR), older: { name: 'before', createdAt: ago(HOUR) } } },
    1,
    /^newest \(2026-01-10 .* made after before \(2026-01-10 .*clock/,
  ],
  ['newest', 'ok', { newest: null, good: null }, 0, /no snapshot yet/],
  [
    'newest',
    'critical',
    { bad: ['b: packs/x is missing', 'a: packs/y is missing'] },
    2,
    /damaged \(and 1 more\): b: packs\/x is missing\. Run "snapshot-writer create".*--direction both/,
  ],
  [
    'newest',
    'warning',
    { olderBad: ['a: a hash is wrong'] },
    1,
    /older snapshot is damaged: a: a hash is wrong\. Newer/,
  ],
  [
    'database',
    'critical',
    { database: { size: 0, failure: null } },
    0,
    /empty file\. .*snapshot-writer bootstrap"/,
  ],
  [
    'database',
    'critical',
    { database: { size: null, failure: { code: 'DATABASE_NOT_FOUND', message: 'it does not exist' } } },
    null,
    /There is no database: it does not exist\. .*snapshot-writer bootstrap"/,
  ],
  [
    'database',
    'critical',
    { database: { size: null, failure: { code: 'DATABASE_INVALID', message: 'no SQLite database' } } },
    null,
    /cannot be read: no SQLite database\. .*"snapshot-writer restore <name>"/,
  ],
  [
    'database',
    'warning',
    { database: { size: null, failure: { code: 'DATABASE_READONLY', message: 'not permitted' } } },
    null,
    /cannot be looked at: not permitted\. Let/,
  ],
  ['upload', 'ok', { newest: null, newestHere: null, oldestHere: null, newestInBucket: null }, 0, /none yet/],
  [
    'upload',
    'warning',
    { pending: PENDING(3 * HOUR) },
    2,
    /^2 snapshots wait .* oldest for 3 h: run "snapshot-writer sync"/,
  ],
  ['upload', 'warning', { pending: { count: 1, oldest: ago(HOUR) } }, 1, /^1 snapshot waits /],
  ['upload', 'critical', { pending: PENDING(25 * HOUR) }, 2, /oldest for 1 d/],
  // One run is missing there, then two.
  [
    'upload',
    'warning',
    { newestInBucket: newest(10 * HOUR) },
    0,
    /10 h old, and newer ones are here alone: run/,
  ],
  ['upload', 'critical', { newestInBucket: newest(11 * HOUR) }, 0, /11 h old, and newer .*S3_BUCKET/],
  ['upload', 'critical', { newestInBucket: newest(90 * DAY) }, 0, /90 d old, and newer .*S3_BUCKET/],
  // A scheduler that is dead is no matter of the bucket.
  [
    'upload',
    'ok',
    { newestHere: newest(90 * DAY), newestInBucket: newest(90 * DAY) },
    0,
    /the newest is 90 d old/,
  ],
  ['upload', 'ok', { newestHere: newest(9 * DAY), newestInBucket: newest(HOUR) }, 0, /the newest is 1 h old/],
  [
    'upload',
    'critical',
    { newestInBucket: null },
    0,
    /No snapshot .* in the bucket: run "snapshot-writer sync"/,
  ],
  [
    'upload',
    'warning',
    { newestInBucket: null, oldestHere: newest(23 * HOUR) },
    0,
    /No snapshot .* in the bucket/,
  ],
  ['upload', 'ok', { bucketFailure: DOWN, newestInBucket: null }, 0, /last upload was 4 h ago/],
  // What cannot be asked is as it was last seen.
  [
    'upload',
    'critical',
    { bucketFailure: DOWN, newestInBucket: null, counters: { inBucket: { newest: ago(90 * DAY) } } },
    0,
    /90 d old/,
  ],
  [
    'upload',
    'ok',
    { bucketFailure: DOWN, newestInBucket: null, counters: { inBucket: { snapshots: 3, bytes: 9 } } },
    0,
    /last upload was 4 h ago/,
  ],
  [
    'bucket',
    'warning',
    { bucketFailure: DOWN },
    0,
    /\(S3_UNREACHABLE\): nobody answers.*"snapshot-writer check-storage"/,
  ],
  ['bucket', 'warning', { bucketFailure: DOWN, pending: PENDING(23 * HOUR) }, 0, /cannot be asked/],
  ['bucket', 'critical', { bucketFailure: DOWN, pending: PENDING(25 * HOUR) }, 0, /cannot be asked/],
  ['drill', 'ok', { drills: [farDrill(6 * DAY)] }, 6 * 86400, /from the bucket was 6 d ago and passed/],
  [
    'drill',
    'warning',
    { drills: [] },
    null,
    /No restore from the bucket .*Run "snapshot-writer drill --tier s3"/,
  ],
  ['drill', 'warning', { drills: [drill(HOUR), drill(HOUR, 'passed', { tier: null })] }, null, /No restore/],
  ['drill', 'warning', { drills: [farDrill(8 * DAY), drill(HOUR)] }, 8 * 86400, /8 d ago, longer than/],
  [
    'drill',
    'critical',
    { drills: [farDrill(HOUR, 'failed', { reason: 'index Metric_key is broken' })] },
    3600,
    /failed: index Metric_key is broken\. Find .* drill the newest one again/,
  ],
  [
    'drill',
    'critical',
    { drills: [farDrill(DAY), drill(HOUR, 'failed', { reason: 'a pack is gone' })] },
    86400,
    /\(local, 1 h ago\) failed: a pack is gone/,
  ],
  [
    'drill',
    'warning',
    { drills: [farDrill(HOUR, 'inconclusive', { reason: 'no bucket' })] },
    3600,
    /inconclusive: no bucket\. Nothing is proven/,
  ],
  [
    'drill',
    'critical',
    { drills: [drill(HOUR), farDrill(9 * DAY, 'failed')] },
    9 * 86400,
    /\(s3, 9 d ago\) failed/,
  ],
  ['integrity', 'ok', { counters: { integrity: null } }, null, /has been checked/],
  [
    'integrity',
    'critical',
    { counters: { integrity: { healthy: false, imageOf: ago(HOUR) } } },
    0,
    /damage .* 1 h ago: stop writing.* finds good\.$/,
  ],
  [
    'integrity',
    'critical',
    { counters: { integrity: { healthy: false, imageOf: ago(HOUR), level: 'full' } } },
    0,
    /finds good\. Then make a snapshot and drill it/,
  ],
  [
    'integrity',
    'warning',
    {
      counters: { integrity: { healthy: true, imageOf: ago(HOUR), level: 'quick' } },
      newest: {
        ...newest(HOUR),
        unjudged: ['m could not be judged: unknown function: fold()', 'NULL value in n.a'],
      },
    },
    1,
    /no damage .* 1 h ago, but could not judge everything.* \(and 1 more\): m could not be judged: unknown function/,
  ],
  [
    'integrity',
    'critical',
    {
      counters: { integrity: { healthy: false, imageOf: ago(HOUR), level: 'quick' } },
      newest: { ...newest(2 * HOUR), unjudged: ['NULL value in n.a'] },
    },
    0,
    /found damage/,
  ],
  [
    'collapse',
    'critical',
    { collapse: { reason: 'b is empty, a before it was not' } },
    1,
    /b is empty, a before it was not\. Older .*"snapshot-writer acknowledge"/,
  ],
  ['manifests', 'critical', { damaged: ['x: cut off', 'y: gone'] }, 2, /^2 manifests .* x: cut off\. Move/],
  ['restore', 'warning', { unfinishedRestore: true }, 1, /settles it/],
  ['disk', 'warning', { freeBytes: 119, imageBytes: 60 }, 119, /119 B are free.*60 B: free space/],
  ['disk', 'ok', { freeBytes: 120, imageBytes: 60 }, 120, /120 B/],
  ['disk', 'critical', { freeBytes: 59, imageBytes: 60 }, 59, /does not fit; free space/],
  ['disk', 'warning', { freeBytes: 60, imageBytes: 60 }, 60, /less than twice/],
  ['disk', 'ok', { imageBytes: null }, 50_000_000_000, /50\.0 GB are free/],
  ['disk', 'warning', { freeBytes: null }, null, /cannot be found out/],
  [
    'growth',
    'ok',
    { growth: { bytes: 24_000, from: ago(2 * DAY), to: ago(DAY) }, freeBytes: 240_000 },
    24_000,
    /last 2 d added 24\.0 kB a day.* full in 10 d/,
  ],
  ['growth', 'ok', { growth: null }, null, /too few/],
  ['growth', 'ok', { growth: { bytes: 0, from: ago(2 * DAY), to: ago(DAY) } }, 0, /added 0 B a day\.$/],
])('%s is %s for %j', (name, verdict, facts, value, reason) => {
  expect(check(name, facts)).toEqual({ name, verdict, value, reason: expect.stringMatching(reason) });
});

test('every reason is whole sentences, of bounded length whatever others say', () => {
  const long = 'x'.repeat(5000);
  const { checks } = judged({
    bucketFailure: { code: 'S3_FAILED', message: long },
    drills: [drill(HOUR, 'failed', { reason: long })],
    collapse: { reason: long },
    damaged: [long],
    bad: [long],
    olderBad: [long],
    database: { size: null, failure: { code: 'DATABASE_INVALID', message: long } },
    counters: { lastFailure: { at: ago(HOUR), code: 'WRITERS_TOO_BUSY' } },
  });
  for (const { reason } of checks) {
    expect(reason).toMatch(/^[A-Z0-9].*\.$/);
    expect(reason.length).toBeLessThan(500);
  }
});

test('warnings are healthy, one critical check is not', () => {
  expect(judged({ unfinishedRestore: true })).toMatchObject({ healthy: true, verdict: 'warning' });
  expect(judged({ unfinishedRestore: true, freeBytes: 1 })).toMatchObject({
    healthy: false,
    verdict: 'critical',
  });
});

test('a schedule that cannot be understood is told, not guessed', () => {
  const error = new Error('SNAPSHOT_CRON_SCHEDULE is no cron expression: "x"');
  expect(check('age', {}, { schedule: error })).toMatchObject({
    verdict: 'critical',
    reason: expect.stringContaining('SNAPSHOT_CRON_SCHEDULE is no cron expression: "x".'),
  });
});
