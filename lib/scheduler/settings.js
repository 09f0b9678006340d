'use strict';

// What the environment says about the schedule.

const fs = require('node:fs');
const { Schedule } = require('./schedule.js');

const DEFAULT_EXPRESSION = '0 */6 * * *';
const NAMES = { expression: 'SNAPSHOT_CRON_SCHEDULE', timezone: 'SNAPSHOT_CRON_TZ' };

/** The schedule of the long-running variant. */
function scheduleFrom(environment) {
  const { SNAPSHOT_CRON_SCHEDULE: expression, SNAPSHOT_CRON_TZ: timezone } = environment;
  return new Schedule(expression?.trim() || DEFAULT_EXPRESSION, timezone?.trim() || undefined, NAMES);
}

/**
 * The schedule on which PM2 starts this process again and again (`cron_restart`); null when it does
 * not. A process that a PM2 application started inherits the variables: they count only for the
 * script that PM2 itself started.
 */
function pm2ScheduleFrom(environment, script) {
  const { cron_restart: expression, pm_exec_path: started } = environment;
  if (!expression || expression === '0' || !isSameFile(started, script)) return null;
  return new Schedule(expression, undefined, { expression: "PM2's cron_restart" });
}

function isSameFile(one, other) {
  try {
    return fs.realpathSync(one) === fs.realpathSync(other);
  } catch {
    return false;
  }
}

module.exports = { pm2ScheduleFrom, scheduleFrom };
