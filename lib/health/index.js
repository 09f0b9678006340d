'use strict';

// What the worker's answers to `status` and `metrics` become.

const { withDates } = require('../records.js');
const { scheduleFrom } = require('../scheduler/settings.js');
const { judge } = require('./judge.js');
const { metricsText } = require('./metrics.js');

/** Who watches wants an answer: locks are not waited for any longer, unless the options say so. */
const HURRY = { lockTimeoutMs: 5_000 };

function statusOf({ facts, latest, ...summary }) {
  return {
    ...judge(facts, surroundings(summary.bucket !== null)),
    ...summary,
    latest: latest && withDates(latest),
  };
}

function metricsOf({ facts, bounds, usesBucket }) {
  return metricsText(facts, { ...surroundings(usesBucket), bounds });
}

function surroundings(usesBucket) {
  return { now: Date.now(), schedule: currentSchedule(), usesBucket };
}

/** The schedule by the environment, or the error that says what is wrong with it: both are to be told. */
function currentSchedule() {
  try {
    return scheduleFrom(process.env);
  } catch (error) {
    return error;
  }
}

module.exports = { HURRY, statusOf, metricsOf };
