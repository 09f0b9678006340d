'use strict';

// When runs are due. The cron expression is croner's business; this says what is wrong with one in
// words for whoever set it, and finds the due time that a moment belongs to.

const { Cron } = require('croner');
const { SnapshotError } = require('../errors.js');

const FORMS =
  'Use five fields (minute hour day month weekday), or six with the seconds first, such as "0 */6 * * *"';

const CRON = {
  paused: true,
  mode: '5-or-6-parts',
  // A list of times is a list of fixed times: none is left out, none comes twice when the clocks change.
  fixedTimeRule: 'no-wildcard',
};

class Schedule {
  #cron;

  /** Without a time zone the system's counts. `names` are what the two are called where they were set. */
  constructor(expression, timezone, names) {
    checkTimezone(timezone, names.timezone);
    this.#cron = parse(expression, timezone, names.expression);
    this.text = timezone === undefined ? expression : `${expression} ${timezone}`;
    if (this.next(new Date()) === null) {
      throw invalid(`${names.expression} is "${expression}", which is never due`);
    }
  }

  /** The latest due time at or before a moment. */
  latest(moment) {
    // croner looks for runs before its reference.
    const [latest] = this.#cron.previousRuns(1, new Date(moment.getTime() + 1));
    return latest;
  }

  /** The earliest due time after a moment. */
  next(moment) {
    return this.#cron.nextRun(moment);
  }
}

function parse(expression, timezone, name) {
  try {
    const cron = new Cron(expression, { ...CRON, timezone });
    // croner takes a date, too: a run that is due once.
    if (cron.getPattern() !== undefined) return cron;
  } catch (error) {
    const reason = error.message.replace(/^Cron\w+: /, '').replace(/\.$/, '');
    throw invalid(`${name} is no cron expression: "${expression}": ${reason}. ${FORMS}`);
  }
  throw invalid(`${name} is no cron expression: "${expression}". ${FORMS}`);
}

function checkTimezone(timezone, name) {
  try {
    new Intl.DateTimeFormat('en', { timeZone: timezone });
  } catch {
    throw invalid(`${name} is no time zone: "${timezone}". Use a name such as Europe/Berlin or UTC`);
  }
}

function invalid(message) {
  return new SnapshotError('INVALID_ARGUMENT', message);
}

module.exports = { Schedule };
