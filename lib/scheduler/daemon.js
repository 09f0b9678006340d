'use strict';

// The long-running variant: waits for the next due time, runs, and so on.

const { setTimeout: sleep } = require('node:timers/promises');
const { SnapshotWriter } = require('../snapshot-writer.js');
const { safeLog, timedLog } = require('./log.js');
const { policiesOf } = require('./retention.js');
const { runOnce } = require('./run.js');
const { Schedule } = require('./schedule.js');
const { scheduleFrom } = require('./settings.js');

/** A machine that was asleep, or whose clock was set, is noticed after this. */
const LONGEST_SLEEP_MS = 30_000;

/**
 * Runs on a schedule until `signal` is aborted, and resolves when the run that is going on then is
 * over. Rejects at once when the settings are wrong; a run that fails is told to the log.
 */
async function startDaemon(options = {}) {
  const { signal = new AbortController().signal, onReady = () => {} } = options;
  const log = safeLog(options.log ?? timedLog());
  const { writer = new SnapshotWriter({ log }), keep, keepInBucket } = options;
  policiesOf(options, process.env);
  const schedule =
    options.schedule === undefined
      ? scheduleFrom(process.env)
      : new Schedule(options.schedule, options.timezone, NAMES);
  log.info(`Taking snapshots on the schedule "${schedule.text}"`);
  onReady();
  await follow(schedule, {
    signal,
    run: async (due) => {
      await runOnce({ log, writer, keep, keepInBucket, signal, tick: { schedule: schedule.text, due } });
      if (!signal.aborted) log.info(`The next run is due at ${schedule.next(new Date()).toISOString()}`);
    },
  });
  log.info('Stopped');
}

const NAMES = { expression: 'option "schedule"', timezone: 'option "timezone"' };

/**
 * Calls `run` at every due time, one after the other. A due time that passed meanwhile (machine
 * asleep, a run that took longer) is made up for, the latest one only. So the first thing is the run
 * that was due last: whether it is still to be made, the claim tells.
 */
async function follow(schedule, { run, signal, now = () => new Date(), wait = waitUnlessAborted }) {
  let handled;
  while (!signal.aborted) {
    const moment = now();
    const due = schedule.latest(moment);
    if (isNew(due, handled, moment)) {
      handled = due;
      await run(due);
    } else {
      await wait(Math.min(schedule.next(moment) - moment, LONGEST_SLEEP_MS), signal);
    }
  }
}

function isNew(due, handled, moment) {
  // What lies ahead was handled by a clock that has been set back since.
  return handled === undefined || due > handled || handled > moment;
}

async function waitUnlessAborted(ms, signal) {
  // Aborting is the usual end of it.
  await sleep(ms, undefined, { signal }).catch(() => {});
}

module.exports = { LONGEST_SLEEP_MS, follow, startDaemon };
