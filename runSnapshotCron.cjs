#!/usr/bin/env node
'use strict';

// The scheduler: one run (for PM2's `cron_restart` or a crontab), or with --daemon one after the
// other. Requiring it starts nothing.

const cluster = require('node:cluster');
const { parseArgs } = require('node:util');
const { resolveConfig } = require('./lib/config.js');
const { startDaemon } = require('./lib/scheduler/daemon.js');
const { timedLog } = require('./lib/scheduler/log.js');
const { runOnce } = require('./lib/scheduler/run.js');
const { pm2ScheduleFrom } = require('./lib/scheduler/settings.js');
const { watchForStop } = require('./lib/scheduler/stop.js');

const HELP = `Usage: snapshot-cron [--daemon]

Takes a snapshot of DATABASE_URL, then removes what the retention does not keep.

  --daemon   keeps running, and does so on a schedule

Environment:
  SNAPSHOT_CRON_SCHEDULE  for --daemon: a cron expression of five fields, or six
                          with the seconds first (default: 0 */6 * * *)
  SNAPSHOT_CRON_TZ        for --daemon: its time zone (default: the system's)
  SNAPSHOT_KEEP_LAST, SNAPSHOT_KEEP_HOURLY, _DAILY, _WEEKLY, _MONTHLY, _YEARLY,
  SNAPSHOT_KEEP_WITHIN    how many snapshots stay (default: the last 10)
  SNAPSHOT_S3_KEEP_...    the same for the bucket alone (default: as above)
  SNAPSHOT_HEARTBEAT_URL  asked for after a run, with /fail after one that failed or
                          while the content of the database seems to be lost
  and what snapshot-writer itself reads: snapshot-writer --help

Exit code: 0, or 1 when anything failed.`;

/** Runs the command line; resolves with the exit code. */
async function main(argv = process.argv) {
  const log = timedLog();
  const stop = watchForStop(log);
  const settings = { log, signal: stop.signal };
  try {
    const { daemon, help } = readArguments(argv);
    if (help) {
      console.log(HELP);
    } else if (daemon) {
      // A wrong DATABASE_URL is told now, not at the first run.
      resolveConfig({}, 'database');
      await startDaemon({ ...settings, onReady: tellPm2 });
    } else {
      const { ok } = await runOnce({ ...settings, tick: tickOfPm2(log) });
      return ok ? 0 : 1;
    }
    return 0;
  } catch (error) {
    log.error(error.message);
    return 1;
  } finally {
    stop.release();
  }
}

function readArguments(argv) {
  const options = { daemon: { type: 'boolean' }, help: { type: 'boolean', short: 'h' } };
  return parseArgs({ args: argv.slice(2), options }).values;
}

/** The run that PM2 has started this process for; undefined when a person or a crontab did. */
function tickOfPm2(log) {
  try {
    const schedule = pm2ScheduleFrom(process.env, require.main?.filename);
    const due = schedule?.latest(new Date());
    return due ? { schedule: schedule.text, due } : undefined;
  } catch (error) {
    log.warn(`${error.message}. The run takes place without regard to other instances`);
    return undefined;
  }
}

/** For `wait_ready`. */
function tellPm2() {
  process.send?.('ready', () => {});
}

if (require.main === module) {
  main().then((exitCode) => {
    // Not process.exit(): what was printed into a pipe may still be on its way.
    process.exitCode = exitCode;
    // In PM2's cluster mode the channel to it would keep the process from ending.
    if (cluster.isWorker) cluster.worker.disconnect();
  });
}

module.exports = { main, runOnce, startDaemon };
