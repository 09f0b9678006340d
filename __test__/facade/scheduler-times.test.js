'use strict';

// When runs are due, and which of them a long-running scheduler makes. The clock is the test's.

const { LONGEST_SLEEP_MS, follow } = require('../../lib/scheduler/daemon.js');
const { Schedule } = require('../../lib/scheduler/schedule.js');
const { pm2ScheduleFrom, scheduleFrom } = require('../../lib/scheduler/settings.js');
const { rejection, silent } = require('../support/folders.js');
const { startDaemon } = require('../../runSnapshotCron.cjs');

const NAMES = { expression: 'EXPRESSION', timezone: 'ZONE' };
const schedule = (expression, timezone = 'UTC') => new Schedule(expression, timezone, NAMES);
const iso = (dates) => dates.map((date) => date.toISOString());

/** The due times between two moments. */
function dueBetween(expression, timezone, from, to) {
  const due = [];
  const times = schedule(expression, timezone);
  for (let next = times.next(new Date(from)); next <= new Date(to); next = times.next(next)) due.push(next);
  return due;
}

/** The same as whoever looks every minute, as the long-running scheduler does, comes to know of them. */
function foundBetween(expression, timezone, from, to) {
  const times = schedule(expression, timezone);
  const latest = (ms) => times.latest(new Date(ms)).getTime();
  const found = new Set();
  for (let ms = Date.parse(from); ms <= Date.parse(to); ms += 60_000) found.add(latest(ms));
  found.delete(latest(Date.parse(from)));
  return [...found].map((ms) => new Date(ms));
}

describe('the due time that a moment belongs to', () => {
  test.each([
    ['0 */6 * * *', '2026-03-01T05:59:59.999Z', '2026-03-01T00:00:00.000Z'],
    ['0 */6 * * *', '2026-03-01T06:00:00.000Z', '2026-03-01T06:00:00.000Z'],
    ['0 */6 * * *', '2026-03-01T06:00:00.150Z', '2026-03-01T06:00:00.000Z'],
    ['*/5 * * * * *', '2026-03-01T06:00:09.000Z', '2026-03-01T06:00:05.000Z'],
    ['0 0 29 2 *', '2026-03-01T06:00:00.000Z', '2024-02-29T00:00:00.000Z'],
    ['30 9 * * MON-FRI', '2026-03-01T06:00:00.000Z', '2026-02-27T09:30:00.000Z'],
  ])('%s at %s: %s', (expression, moment, due) => {
    expect(schedule(expression).latest(new Date(moment)).toISOString()).toBe(due);
  });

  test('is one instant of the time zone, whatever the system has', () => {
    const moment = new Date('2026-07-01T12:00:00Z');
    expect(schedule('0 3 * * *', 'Europe/Berlin').latest(moment).toISOString()).toBe(
      '2026-07-01T01:00:00.000Z',
    );
    expect(schedule('0 3 * * *', 'America/New_York').latest(moment).toISOString()).toBe(
      '2026-07-01T07:00:00.000Z',
    );
  });
});

describe('when the clocks change in Berlin', () => {
  test('a daily run in the hour that is skipped takes place after it', () => {
    const due = dueBetween('30 2 * * *', 'Europe/Berlin', '2026-03-28T00:00Z', '2026-03-30T12:00Z');
    expect(iso(due)).toEqual([
      '2026-03-28T01:30:00.000Z',
      '2026-03-29T01:00:00.000Z',
      '2026-03-30T00:30:00.000Z',
    ]);
  });

  test('a daily run in the hour that comes twice takes place once', () => {
    const due = dueBetween('30 2 * * *', 'Europe/Berlin', '2026-10-24T12:00Z', '2026-10-26T12:00Z');
    expect(iso(due)).toEqual(['2026-10-25T00:30:00.000Z', '2026-10-26T01:30:00.000Z']);
  });

  test.each([
    ['30 2,14 * * *', '2026-03-28T20:00Z', ['2026-03-29T01:00', '2026-03-29T12:30']],
    ['30 2,14 * * *', '2026-10-24T20:00Z', ['2026-10-25T00:30', '2026-10-25T13:30']],
    ['15,45 2 * * *', '2026-03-28T20:00Z', ['2026-03-29T01:00']],
    ['15,45 2 * * *', '2026-10-24T20:00Z', ['2026-10-25T00:15', '2026-10-25T00:45']],
    ['0 1-3 * * *', '2026-10-24T20:00Z', ['2026-10-24T23:00', '2026-10-25T00:00', '2026-10-25T02:00']],
  ])('each of the times %s is a fixed one after %s', (expression, from, expected) => {
    const to = new Date(Date.parse(from) + 20 * 3_600_000).toISOString();
    const due = expected.map((moment) => `${moment}:00.000Z`);
    expect(iso(foundBetween(expression, 'Europe/Berlin', from, to))).toEqual(due);
    expect(iso(dueBetween(expression, 'Europe/Berlin', from, to))).toEqual(due);
  });

  test('where it is midnight that is skipped, a list of hours is not, and a step is', () => {
    const night = ['Africa/Cairo', '2026-04-23T17:00Z', '2026-04-24T04:00Z'];
    const hours = (expression) =>
      iso(foundBetween(expression, ...night)).map((moment) => moment.slice(11, 16));
    expect(hours('0 0,6,12,18 * * *')).toEqual(['22:00', '03:00']);
    expect(hours('0 */6 * * *')).toEqual(['03:00']);
  });

  test.each(['2026-03-28T12:00Z', '2026-10-24T12:00Z'])('hourly runs stay hourly after %s', (from) => {
    const to = new Date(new Date(from).getTime() + 24 * 3_600_000);
    expect(dueBetween('0 * * * *', 'Europe/Berlin', from, to)).toHaveLength(24);
  });

  test.each(['2026-03-29T00:00Z', '2026-10-25T00:00Z'])(
    'what was due last agrees with what was due next, after %s',
    (from) => {
      const times = schedule('*/15 1-3 * * *', 'Europe/Berlin');
      for (let minute = 0; minute < 240; minute += 7) {
        const moment = new Date(new Date(from).getTime() + minute * 60_000);
        const latest = times.latest(moment);
        expect(times.next(latest).getTime()).toBeGreaterThan(moment.getTime());
        expect(times.latest(latest)).toEqual(latest);
      }
    },
  );
});

describe('wrong settings are told by their names', () => {
  test.each([
    ['61 * * * *', /^SNAPSHOT_CRON_SCHEDULE .* "61 \* \* \* \*".*minute: 61/],
    ['nightly', /^SNAPSHOT_CRON_SCHEDULE .*"nightly".*Use five fields/],
    ['* * * *', /^SNAPSHOT_CRON_SCHEDULE .*Use five fields/],
    ['2026-12-01T00:00:00', /^SNAPSHOT_CRON_SCHEDULE is no cron expression/],
    ['0 0 30 2 *', /^SNAPSHOT_CRON_SCHEDULE is "0 0 30 2 \*", which is never due$/],
  ])('%s', (SNAPSHOT_CRON_SCHEDULE, message) => {
    expect(() => scheduleFrom({ SNAPSHOT_CRON_SCHEDULE })).toThrow(
      expect.objectContaining({ code: 'INVALID_ARGUMENT', message: expect.stringMatching(message) }),
    );
  });

  test('a time zone', () => {
    expect(() => scheduleFrom({ SNAPSHOT_CRON_TZ: 'Mars/Olympus' })).toThrow(
      /^SNAPSHOT_CRON_TZ is no time zone: "Mars\/Olympus"/,
    );
  });

  test('options of an application', async () => {
    const refused = await rejection(startDaemon({ log: silent, schedule: '0 * * * *', timezone: 'X/Y' }));
    expect(refused.message).toMatch(/^option "timezone" is no time zone/);
  });
});

describe('the schedule', () => {
  test.each([
    [{}, '0 */6 * * *'],
    [{ SNAPSHOT_CRON_SCHEDULE: ' ' }, '0 */6 * * *'],
    [{ SNAPSHOT_CRON_SCHEDULE: ' 0 3 * * *' }, '0 3 * * *'],
    [{ SNAPSHOT_CRON_SCHEDULE: '@daily', SNAPSHOT_CRON_TZ: 'Europe/Berlin' }, '@daily Europe/Berlin'],
  ])('of %j is %s', (environment, text) => {
    expect(scheduleFrom(environment).text).toBe(text);
  });

  const started = { cron_restart: '0 3 * * *', pm_exec_path: __filename };

  test("is PM2's for the script that PM2 starts again and again", () => {
    expect(pm2ScheduleFrom(started, __filename).text).toBe('0 3 * * *');
  });

  test.each([
    ['without PM2', {}, __filename],
    ['without an expression', { ...started, cron_restart: undefined }, __filename],
    ['when it is switched off', { ...started, cron_restart: '0' }, __filename],
    ['when the variables come from an application', started, require.resolve('../../runSnapshotCron.cjs')],
    ['in a process without a script', started, undefined],
  ])("is not PM2's %s", (_, environment, script) => {
    expect(pm2ScheduleFrom(environment, script)).toBeNull();
  });
});

describe('a long-running scheduler', () => {
  const HOUR = 3_600_000;

  /**
   * Follows an hourly schedule by a clock that `waits` moves: each wait takes as long as it says,
   * or as the next of `surprises` tells. Returns the due times of the runs.
   */
  async function runsOf({ start = '2026-03-01T10:20:00Z', until, waits, surprises = {}, duration = 0 }) {
    const stop = new AbortController();
    const runs = [];
    let time = Date.parse(start);
    let waited = 0;
    const pass = (ms) => {
      time += ms;
      if (time >= Date.parse(until) || waited === waits) stop.abort();
    };
    await follow(schedule('0 * * * *'), {
      signal: stop.signal,
      now: () => new Date(time),
      run: async (due) => {
        runs.push(due.toISOString().slice(11, 16));
        pass(duration);
      },
      wait: async (ms) => {
        expect(ms).toBeGreaterThan(0);
        expect(ms).toBeLessThanOrEqual(LONGEST_SLEEP_MS);
        waited += 1;
        pass(surprises[waited] ?? ms);
      },
    });
    return runs;
  }

  test('makes up for the run that was due last, then runs at every due time', async () => {
    expect(await runsOf({ until: '2026-03-01T13:30:00Z' })).toEqual(['10:00', '11:00', '12:00', '13:00']);
  });

  test('makes up for the latest run only after the machine was asleep', async () => {
    const surprises = { 3: 5.5 * HOUR };
    expect(await runsOf({ until: '2026-03-01T17:30:00Z', surprises })).toEqual([
      '10:00',
      '15:00',
      '16:00',
      '17:00',
    ]);
  });

  test('makes up for what was due while a long run went on', async () => {
    const runs = await runsOf({ until: '2026-03-01T16:00:00Z', duration: 1.5 * HOUR });
    expect(runs).toEqual(['10:00', '11:00', '13:00', '14:00']);
  });

  test('goes on when a clock that was a year ahead is set back', async () => {
    const surprises = { 1: 365 * 24 * HOUR, 2: -365 * 24 * HOUR };
    const runs = await runsOf({ start: '2026-03-01T10:58:00Z', waits: 7, surprises });
    expect(runs).toEqual(['10:00', '10:00', '10:00', '11:00']);
  });

  test('does nothing once it was stopped', async () => {
    const run = jest.fn();
    await follow(schedule('* * * * * *'), { signal: AbortSignal.abort(), run });
    expect(run).not.toHaveBeenCalled();
  });

  test('stops in the middle of a wait', async () => {
    const stop = new AbortController();
    const run = jest.fn();
    setTimeout(() => stop.abort(), 20);
    await follow(schedule('0 0 1 1 *'), { signal: stop.signal, run });
    expect(run).toHaveBeenCalledTimes(1);
  });
});
