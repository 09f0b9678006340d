'use strict';

// When a run of a schedule counts as missed.

const { Schedule } = require('../../lib/scheduler/schedule.js');
const { missedRuns, overdueFrom } = require('../../lib/health/missed-runs.js');
const { NOW, DAY } = require('../support/facts.js');

const NAMES = { expression: 'SNAPSHOT_CRON_SCHEDULE', timezone: 'SNAPSHOT_CRON_TZ' };
const schedule = (expression) => new Schedule(expression, 'UTC', NAMES);

describe('missed runs', () => {
  const at = (text) => Date.parse(`2026-01-${text}Z`);
  test.each([
    // The grace of a run: ten minutes, or half of what lies between two runs.
    ['0 */6 * * *', '10T00:00:01', '10T06:09:00', 0],
    ['0 */6 * * *', '10T00:00:01', '10T06:11:00', 1],
    ['* * * * *', '10T10:00:00', '10T10:01:29', 0],
    ['* * * * *', '10T10:00:00', '10T10:01:31', 1],
    ['*/10 * * * * *', '10T10:00:00', '10T10:00:16', 1],
    // On working days at eight: nothing is missing on Sunday evening.
    ['0 8 * * 1-5', '09T08:00:01', '11T20:00:00', 0],
    ['0 8 * * 1-5', '08T08:00:01', '11T20:00:00', 1],
    // Every minute from nine to ten: each run has its own grace.
    ['* 9 * * *', '10T09:58:30', '10T10:08:59', 0],
    ['* 9 * * *', '10T09:58:30', '10T10:09:00', 1],
    ['* 9 * * *', '10T09:57:30', '10T10:00:00', 1],
    // A snapshot made at the due time itself, and one from a clock that was ahead.
    ['0 */6 * * *', '10T06:00:00', '10T09:00:00', 0],
    ['0 */6 * * *', '12T00:00:00', '10T09:00:00', 0],
  ])('of "%s" since %s at %s: %d', (expression, since, now, missed) => {
    expect(missedRuns(schedule(expression), new Date(at(since)), at(now))).toBe(missed);
  });

  test.each([
    ['0 */6 * * *', '10T00:00:01', '10T12:10:00'],
    ['* * * * *', '10T10:00:00', '10T10:02:30'],
    ['0 8 * * 1-5', '09T08:00:01', '13T08:10:00'],
  ])('of "%s" since %s are too many from %s on', (expression, since, from) => {
    const moment = at(from);
    expect(overdueFrom(schedule(expression), new Date(at(since)))).toBe(moment);
    const missed = (now) => missedRuns(schedule(expression), new Date(at(since)), now);
    expect([missed(moment - 1), missed(moment)]).toEqual([1, 2]);
  });

  test('a schedule that is never due again is never overdue', () => {
    expect(overdueFrom({ next: () => null }, new Date(NOW))).toBeNull();
  });

  test('a schedule that begins in the future has missed nothing', () => {
    const never = { latest: () => undefined, next: () => new Date(NOW + DAY) };
    expect(missedRuns(never, new Date(0), NOW)).toBe(0);
  });
});
