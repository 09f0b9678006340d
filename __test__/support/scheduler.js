'use strict';

// The scheduler as a process of its own, as a person, a crontab or PM2 starts it.

const assert = require('node:assert/strict');
const { fork } = require('node:child_process');
const path = require('node:path');
const { startWriter } = require('./processes.js');

const SCRIPT = path.join(__dirname, '..', '..', 'runSnapshotCron.cjs');

/** Due long ago and not again during a test: the run that every start would make up for. */
const YEARLY = '0 0 1 1 *';
const EVERY_SECOND = '* * * * * *';

/** What the scheduler reads, and nothing that the surrounding shell may have set. */
function environmentOf(rig, variables = {}) {
  const kept = Object.entries(process.env).filter(
    ([name]) => !/^(SNAPSHOT_(CRON|KEEP)_|cron_restart$|pm_)/.test(name),
  );
  const { databaseUrl, snapshotDir, databaseId } = rig.options;
  const places = { DATABASE_URL: databaseUrl, SNAPSHOT_DIR: snapshotDir };
  const name = databaseId && { SNAPSHOT_DATABASE_ID: databaseId };
  return { ...Object.fromEntries(kept), ...places, ...name, ...variables };
}

/** Variables with which PM2 starts a script again and again. */
function startedByPm2(expression) {
  return { cron_restart: expression, pm_exec_path: SCRIPT };
}

/** Starts the scheduler; it ends with the test at the latest. */
function startScheduler(rig, args = [], variables = {}) {
  const child = fork(SCRIPT, args, {
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    execArgv: [],
    env: environmentOf(rig, variables),
  });
  const messages = [];
  let output = '';
  child.on('message', (message) => messages.push(message));
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text) => (output += text));
  }
  const exited = new Promise((resolve) => child.once('close', (code, signal) => resolve({ code, signal })));
  rig.defer(() => {
    child.kill('SIGKILL');
    return exited;
  });
  return {
    pid: child.pid,
    messages,
    output: () => output,
    kill: (signal) => child.kill(signal),
    send: (message) => child.send(message),
    exited,
  };
}

/** Runs the scheduler to its end. */
async function runScheduler(rig, args, variables) {
  const scheduler = startScheduler(rig, args, variables);
  return { ...(await scheduler.exited), output: scheduler.output() };
}

/** Claims a due time as a scheduler that is gone afterwards; what `_claimTick` resolves with. */
async function claimAndDie(rig, due) {
  // The due time stays a Date on its way.
  const scheduler = startWriter(rig, { user: { serialization: 'advanced' } });
  try {
    return await scheduler.call('_claimTick', '0 0 * * *', due);
  } finally {
    await scheduler.kill();
  }
}

/** The due times that a log names as those of its snapshots. */
function ticksIn(output) {
  return [...output.matchAll(/Taking \S+ for the run of (\S+)/g)].map(([, tick]) => tick);
}

/** Fails the test when a due time had two snapshots; returns the due times. */
function assertOneRunPerTick(...outputs) {
  const ticks = outputs.flatMap(ticksIn).sort();
  assert.deepEqual(ticks, [...new Set(ticks)], `a run was made twice:\n${outputs.join('\n--\n')}`);
  return ticks;
}

module.exports = {
  EVERY_SECOND,
  YEARLY,
  assertOneRunPerTick,
  claimAndDie,
  environmentOf,
  runScheduler,
  startScheduler,
  startedByPm2,
  ticksIn,
};
