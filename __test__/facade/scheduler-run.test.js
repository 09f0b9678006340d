'use strict';

// One run of the scheduler, against a writer that only pretends.

const { clearEnvironment } = require('../support/environment.js');
const { SnapshotError } = require('../../lib/errors.js');
const { timedLog } = require('../../lib/scheduler/log.js');
const { policyFrom } = require('../../lib/scheduler/retention.js');
const { runOnce } = require('../../runSnapshotCron.cjs');

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
  const { writer, log, lines } = pretend({ pruned: { collapse: { name: 'bad', reason: 'it is empty' } } });
  expect(await runOnce({ writer, log })).toMatchObject({ ok: true });
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

test('a claim that fails is no run', async () => {
  const failing = { claim: new SnapshotError('DATABASE_NOT_FOUND', 'no database') };
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

test('stopped before the snapshot: none is taken, and the tick is not over', async () => {
  const { writer, log, names } = pretend();
  const outcome = await runOnce({ writer, log, tick: TICK, signal: AbortSignal.abort() });
  expect(outcome).toEqual({ ok: true, ran: false });
  expect(names()).toEqual(['claim']);
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
    expect(policyFrom(environment)).toEqual(policy);
  });

  test.each(['ten', '-1', '1.5', '1e3'])('%s is refused by the name of the variable', (value) => {
    expect(() => policyFrom({ SNAPSHOT_KEEP_WEEKLY: value })).toThrow(/^SNAPSHOT_KEEP_WEEKLY must be/);
  });

  test('and nothing is done with a wrong one', async () => {
    process.env.SNAPSHOT_KEEP_LAST = 'ten';
    const { writer, log, names } = pretend();
    expect(await runOnce({ writer, log, tick: TICK })).toMatchObject({ ok: false, ran: false });
    expect(names()).toEqual([]);
    delete process.env.SNAPSHOT_KEEP_LAST;
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
