'use strict';

// One run of the scheduler, against a writer that only pretends.

const { clearEnvironment } = require('../support/environment.js');
const { SnapshotError } = require('../../lib/errors.js');
const { timedLog } = require('../../lib/scheduler/log.js');
const { policiesOf } = require('../../lib/scheduler/retention.js');
const { runOnce, startDaemon } = require('../../runSnapshotCron.cjs');

beforeEach(clearEnvironment);

const TICK = { schedule: '0 * * * *', due: new Date('2026-03-01T10:00:00Z') };

/** A writer, what was called on it, and the lines that a run logs. */
function pretend({ claimed = true, pruned = {}, failing = {} } = {}) {
  const calls = [];
  const lines = [];
  const call = (name, value) =>
    jest.fn(async (...args) => {
      calls.push([name, ...args]);
      if (failing[name]) throw failing[name];
      return value;
    });
  const snapshot = { id: 'new', name: 'new', size: 1, checksum: 'ab' };
  const by = { pid: 7, host: 'elsewhere' };
  const writer = {
    _generateTimestamp: () => '2026-03-01T10-00-00-123Z',
    _claimTick: call('claim', { claimed, by, tick: '2026-03-01T10:00:00Z', finished: true }),
    _finishTick: call('finish'),
    _giveBackTick: call('give back'),
    createSnapshot: call('create', { snapshot, durationMs: 5 }),
    prune: call('prune', { removed: [], collapse: null, ...pruned }),
  };
  const say = (level) => (message) => lines.push(`${level} ${message}`);
  const log = { info: say('info'), warn: say('warn'), error: say('error'), debug() {} };
  return { writer, log, calls, lines, names: () => calls.map(([name]) => name) };
}

test('a run claims its tick, takes the snapshot, says that it is over, and prunes', async () => {
  const pruned = { removed: [{ name: 'older' }, { name: 'oldest' }] };
  const { writer, log, calls, names } = pretend({ pruned });
  const outcome = await runOnce({ writer, log, keep: { keepLast: 3, keepDaily: 7 }, tick: TICK });
  expect(outcome).toEqual({ ok: true, ran: true, snapshot: expect.anything(), removed: ['older', 'oldest'] });
  expect(names()).toEqual(['claim', 'create', 'finish', 'prune']);
  expect(calls[0]).toEqual(['claim', TICK.schedule, TICK.due]);
  expect(calls[1]).toEqual(['create', 'scheduled_2026-03-01T10-00-00-123Z']);
  expect(calls[3]).toEqual(['prune', { keepLast: 3, keepDaily: 7, signal: undefined }]);
});

test('without a tick nothing is claimed, and the last 10 stay', async () => {
  const { writer, log, calls, names } = pretend();
  expect(await runOnce({ writer, log })).toMatchObject({ ok: true, ran: true, removed: [] });
  expect(names()).toEqual(['create', 'prune']);
  expect(calls[1][1]).toMatchObject({ keepLast: 10 });
});

test('a loss of content is told as long as it holds snapshots back', async () => {
  const collapse = { name: 'bad', reason: 'it is empty' };
  const { writer, log, lines } = pretend({ pruned: { collapse } });
  expect(await runOnce({ writer, log })).toMatchObject({ ok: true, collapse });
  expect(lines).toContain('warn Nothing from before bad is removed: it is empty');
});

test("another instance's run is left to it, and that is no failure", async () => {
  const { writer, log, names, lines } = pretend({ claimed: false });
  expect(await runOnce({ writer, log, tick: TICK })).toEqual({ ok: true, ran: false });
  expect(names()).toEqual(['claim']);
  expect(lines).toEqual([
    'info Nothing to do: the run of 2026-03-01T10:00:00Z was made by process 7 on elsewhere',
  ]);
});

test('a failed snapshot is told, the run is over, and nothing is deleted', async () => {
  const error = new SnapshotError('UPLOAD_FAILED', 'not in the bucket');
  const { writer, log, names, lines } = pretend({ failing: { create: error } });
  expect(await runOnce({ writer, log, tick: TICK })).toEqual({ ok: false, ran: true, error });
  expect(names()).toEqual(['claim', 'create', 'finish']);
  expect(lines.at(-1)).toBe('error not in the bucket');
});

test('a failed retention is a failure of its own', async () => {
  const failing = { prune: new SnapshotError('REPOSITORY_BUSY', 'busy') };
  const { writer, log, lines } = pretend({ failing });
  expect(await runOnce({ writer, log, tick: TICK })).toMatchObject({
    ok: false,
    ran: true,
    snapshot: { id: 'new' },
  });
  expect(lines.at(-1)).toBe('error The snapshot is complete, but older ones could not be removed: busy');
});

test.each(['S3_ACCESS_DENIED', 'S3_UNSUPPORTED', 'S3_FAILED'])(
  'a bucket that is not pruned (%s) is a failure of the run',
  async (code) => {
    const pruned = { removed: [{ name: 'older' }], bucketFailure: { code, message: 'it grows' } };
    const { writer, log, lines } = pretend({ pruned });
    const outcome = await runOnce({ writer, log });
    expect(outcome).toMatchObject({ ok: false, ran: true, removed: ['older'], error: { code } });
    expect(lines.at(-1)).toBe('error The snapshot is complete, but the bucket could not be pruned: it grows');
  },
);

describe('a bucket with a policy of its own', () => {
  const policies = { keep: { keepLast: 3 }, keepInBucket: { keepLast: 9 } };

  test('is pruned after the disk', async () => {
    const { writer, log, calls } = pretend({ pruned: { removed: [{ name: 'old' }] } });
    expect(await runOnce({ writer, log, ...policies })).toMatchObject({ ok: true, removed: ['old'] });
    expect(calls.slice(1).map(([, options]) => [options.tier, options.keepLast])).toEqual([
      ['local', 3],
      ['s3', 9],
    ]);
  });

  test('is not asked while S3 is off', async () => {
    const { writer, log, names } = pretend();
    expect(await runOnce({ writer: { ...writer, s3Bucket: null }, log, ...policies })).toMatchObject({
      ok: true,
    });
    expect(names()).toEqual(['create', 'prune']);
  });

  test.each([
    ['S3_ACCESS_DENIED', false],
    ['S3_UNREACHABLE', true],
    ['REPOSITORY_BUSY', true],
  ])('that cannot be pruned (%s) is a failure of the run, unless that goes by itself', async (code, ok) => {
    const { writer, log, lines } = pretend();
    const refusing = async (options) => {
      if (options.tier === 's3') throw new SnapshotError(code, 'no way');
      return { removed: [], collapse: null };
    };
    expect((await runOnce({ writer: { ...writer, prune: refusing }, log, ...policies })).ok).toBe(ok);
    expect(lines.join('\n')).toContain('no way');
  });

  test('that cannot be pruned is none of the disk', async () => {
    const { writer, log } = pretend({ failing: { prune: new SnapshotError('S3_UNREACHABLE', 'odd') } });
    expect((await runOnce({ writer, log, ...policies })).ok).toBe(false);
  });
});

test.each(['S3_UNREACHABLE', 'REPOSITORY_BUSY'])(
  'a bucket that is not pruned this time (%s) is none',
  async (code) => {
    const { writer, log } = pretend({ pruned: { bucketFailure: { code, message: 'later' } } });
    expect(await runOnce({ writer, log })).toMatchObject({ ok: true, ran: true });
  },
);

test('a claim that fails keeps nobody from the run', async () => {
  const failing = { claim: new SnapshotError('REPOSITORY_NEWER', 'of a later version') };
  const { writer, log, names, lines } = pretend({ failing });
  expect(await runOnce({ writer, log, tick: TICK })).toMatchObject({ ok: true, ran: true });
  expect(names()).toEqual(['claim', 'create', 'finish', 'prune']);
  expect(lines[0]).toMatch(/^warn Whether another .* this one makes it: of a later version$/);
});

test('a claim that was aborted is no run', async () => {
  const failing = { claim: new SnapshotError('ABORTED', 'the operation was aborted') };
  const { writer, log, names } = pretend({ failing });
  expect(await runOnce({ writer, log, tick: TICK })).toMatchObject({ ok: false, ran: false });
  expect(names()).toEqual(['claim']);
});

test('that the end of a run cannot be noted is a warning', async () => {
  const failing = { finish: new SnapshotError('REPOSITORY_FULL', 'full') };
  const { writer, log, lines } = pretend({ failing });
  expect(await runOnce({ writer, log, tick: TICK })).toMatchObject({ ok: true });
  expect(lines.filter((line) => line.startsWith('warn'))).toHaveLength(1);
});

describe('stopped before the snapshot', () => {
  test.each([
    ['after the claim', {}],
    ['after a claim that failed', { claim: new SnapshotError('REPOSITORY_BUSY', 'busy') }],
    ['and the claim cannot be given back', { 'give back': new SnapshotError('REPOSITORY_FULL', 'full') }],
  ])('%s: none is taken, and the run is given back', async (_, failing) => {
    const { writer, log, calls, names } = pretend({ failing });
    const outcome = await runOnce({ writer, log, tick: TICK, signal: AbortSignal.abort() });
    expect(outcome).toEqual({ ok: true, ran: false });
    expect(names()).toEqual(['claim', 'give back']);
    expect(calls[1]).toEqual(['give back', TICK.due]);
  });

  test('without a tick there is nothing to give back', async () => {
    const { writer, log, names } = pretend();
    await runOnce({ writer, log, signal: AbortSignal.abort() });
    expect(names()).toEqual([]);
  });

  test("another instance's run is not given back", async () => {
    const { writer, log, names } = pretend({ claimed: false });
    await runOnce({ writer, log, tick: TICK, signal: AbortSignal.abort() });
    expect(names()).toEqual(['claim']);
  });
});

test('stopped during the snapshot: it is finished, and pruning is left to the next run', async () => {
  const stop = new AbortController();
  const { writer, log, names } = pretend();
  writer.createSnapshot.mockImplementation(async () => {
    stop.abort();
    return { snapshot: { id: 'new', name: 'new' } };
  });
  // As the writer does it with a signal that is aborted.
  writer.prune.mockImplementation(async ({ signal }) => {
    expect(signal.aborted).toBe(true);
    throw new SnapshotError('ABORTED', 'the operation was aborted');
  });
  const outcome = await runOnce({ writer, log, tick: TICK, signal: stop.signal });
  expect(outcome).toMatchObject({ ok: true, ran: true, removed: [] });
  expect(names()).toEqual(['claim', 'finish']);
});

test('pruning that was aborted by nobody here is a failure', async () => {
  const failing = { prune: new SnapshotError('ABORTED', 'the application is gone') };
  const { writer, log } = pretend({ failing });
  expect(await runOnce({ writer, log })).toMatchObject({ ok: false, ran: true });
});

describe('the retention of the environment', () => {
  test.each([
    [{}, { keepLast: 10 }],
    [{ SNAPSHOT_KEEP_LAST: '' }, { keepLast: 10 }],
    [{ SNAPSHOT_KEEP_LAST: ' 3 ' }, { keepLast: 3 }],
    [
      { SNAPSHOT_KEEP_DAILY: '7', SNAPSHOT_KEEP_WITHIN: '2d' },
      { keepDaily: 7, keepWithin: '2d' },
    ],
  ])('%j is %j', (environment, policy) => {
    expect(policiesOf({}, environment)).toEqual([policy]);
  });

  test.each(['ten', '-1', '1.5', '1e3'])('%s is refused by the name of the variable', (value) => {
    const environment = { SNAPSHOT_KEEP_WEEKLY: value };
    expect(() => policiesOf({}, environment)).toThrow(/^SNAPSHOT_KEEP_WEEKLY must be/);
  });

  test.each([
    [{ SNAPSHOT_KEEP_WITHIN: '7' }, /^SNAPSHOT_KEEP_WITHIN must be a number and a unit .*, not "7"$/],
    [{ SNAPSHOT_KEEP_WITHIN: '0d' }, /^SNAPSHOT_KEEP_WITHIN must be/],
    [{ SNAPSHOT_KEEP_WITHIN: '7 days' }, /^SNAPSHOT_KEEP_WITHIN must be/],
    [
      { SNAPSHOT_KEEP_LAST: '0', SNAPSHOT_KEEP_DAILY: '0' },
      /^SNAPSHOT_KEEP_LAST, SNAPSHOT_KEEP_DAILY: that keeps no/,
    ],
  ])('%j is refused by the name of the variable', (environment, message) => {
    expect(() => policiesOf({}, environment)).toThrow(message);
  });

  test.each([
    [{ SNAPSHOT_S3_KEEP_LAST: '100' }, { keepLast: 10 }, { keepLast: 100 }],
    [
      { SNAPSHOT_KEEP_LAST: '3', SNAPSHOT_S3_KEEP_DAILY: '7', SNAPSHOT_S3_KEEP_WITHIN: '2w' },
      { keepLast: 3 },
      { keepDaily: 7, keepWithin: '2w' },
    ],
  ])('%j is one for each tier', (environment, here, inBucket) => {
    const each = [
      { ...here, tier: 'local' },
      { ...inBucket, tier: 's3' },
    ];
    expect(policiesOf({}, environment)).toEqual(each);
    expect(policiesOf({ keep: here, keepInBucket: inBucket }, {})).toEqual(each);
  });

  test.each([
    [{ SNAPSHOT_S3_KEEP_LAST: '0' }, /^SNAPSHOT_S3_KEEP_LAST: that keeps no snapshot/],
    [{ SNAPSHOT_S3_KEEP_WITHIN: '7' }, /^SNAPSHOT_S3_KEEP_WITHIN must be/],
  ])('%j is refused by the name of the variable of the bucket', (environment, message) => {
    expect(() => policiesOf({}, environment)).toThrow(message);
  });

  test('and nothing is done with a wrong one', async () => {
    process.env.SNAPSHOT_KEEP_WITHIN = '7';
    const { writer, log, names } = pretend();
    expect(await runOnce({ writer, log, tick: TICK })).toMatchObject({ ok: false, ran: false });
    expect(names()).toEqual([]);
    const daemon = startDaemon({ writer, log, schedule: '0 * * * *', signal: AbortSignal.abort() });
    await expect(daemon).rejects.toThrow(/^SNAPSHOT_KEEP_WITHIN/);
    delete process.env.SNAPSHOT_KEEP_WITHIN;
  });
});

describe('the retention that an application asks for', () => {
  test.each([[{ keepLast: 3 }], [{ keepLast: 0, keepWithin: '36h' }], [{ keepWithin: '99999h' }]])(
    '%j is taken as it is',
    (keep) =>
      expect(policiesOf({ keep }, { SNAPSHOT_KEEP_LAST: '5', SNAPSHOT_S3_KEEP_LAST: '9' })).toEqual([keep]),
  );

  test.each([
    [{ keepLasst: 3 }, /^unknown option "keep\.keepLasst"; did you mean "keepLast"\?$/],
    [{ keepLast: '3' }, /^option "keep\.keepLast" must be a whole number$/],
    [{ keepLast: 3, keepDaily: -1 }, /^option "keep\.keepDaily" must not be negative/],
    [{ keepWithin: 'a week' }, /^option "keep\.keepWithin" must be a number and a unit/],
    [{ keepWeekly: 0 }, /^option "keep\.keepWeekly": that keeps no snapshot/],
    [{}, /^option "keep": that keeps no snapshot/],
    [10, /^option "keep" must be an object/],
  ])('%j is refused at the start', async (keep, message) => {
    const { writer, log, names } = pretend();
    const daemon = startDaemon({ writer, log, keep, schedule: '0 * * * *', signal: AbortSignal.abort() });
    await expect(daemon).rejects.toThrow(message);
    expect(await runOnce({ writer, log, keep })).toMatchObject({ ok: false, ran: false });
    expect(names()).toEqual([]);
  });
});

test('a line has its time, how grave it is and the details, and no colours', () => {
  const out = { info: jest.fn(), warn: jest.fn() };
  const log = timedLog(out);
  log.info('done', { id: 'x', size: 3, none: undefined });
  log.warn('careful');
  log.debug('never');
  expect(out.info.mock.calls).toEqual([
    [expect.stringMatching(/^\d{4}-\S+T\S+Z INFO done \(id: x, size: 3\)$/)],
  ]);
  expect(out.warn.mock.calls).toEqual([[expect.stringMatching(/^\S+Z WARN careful$/)]]);
});
