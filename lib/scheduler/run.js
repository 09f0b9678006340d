'use strict';

// One run: is it ours, the snapshot, what may go afterwards.

const { heartbeat } = require('../health/heartbeat.js');
const { SnapshotWriter } = require('../snapshot-writer.js');
const { safeLog, timedLog } = require('./log.js');
const { applyRetention, policiesOf } = require('./retention.js');

/**
 * Takes one snapshot and applies the retention. With `tick` (`{ schedule, due }`) it does so only if
 * no other process and no other host makes the run that was due then. Never rejects: a scheduler
 * goes on with the next run. Resolves with `{ ok, ran, snapshot?, removed?, collapse?, error? }`.
 */
async function runOnce(options = {}) {
  const log = safeLog(options.log ?? timedLog());
  const outcome = await attempt({ ...options, log });
  // Whose run it was tells the monitor; the others have nothing to say.
  if (outcome.ran || !outcome.ok) {
    // Snapshots of a database that lost its content are no good news, however well they went.
    const isGood = outcome.ok && !outcome.collapse;
    const url = process.env.SNAPSHOT_HEARTBEAT_URL;
    await heartbeat(url, isGood ? 'success' : 'failure', log, options.signal);
  }
  return outcome;
}

async function attempt({ log, ...options }) {
  const { tick, signal } = options;
  const outcome = { ok: false, ran: false };
  try {
    const policies = policiesOf(options, process.env);
    const writer = options.writer ?? new SnapshotWriter({ log });
    if (tick && !(await claim(writer, tick, log))) return { ...outcome, ok: true };
    if (signal?.aborted) {
      if (tick) await giveBack(writer, tick, log);
      log.info('Stopped before the snapshot was begun; the next start makes up for it');
      return { ...outcome, ok: true };
    }
    outcome.ran = true;
    outcome.snapshot = await takeSnapshot(writer, tick, log);
    const { failure, ...pruned } = await retain(writer, { policies, log, signal });
    Object.assign(outcome, pruned);
    if (failure) throw failure;
    return { ...outcome, ok: true };
  } catch (error) {
    log.error(error.message, { code: error.code, ...causesOf(error) });
    return { ...outcome, error };
  }
}

/** Whether the run is ours. It is when that cannot be found out: two snapshots do no harm, none does. */
async function claim(writer, { schedule, due }, log) {
  try {
    const { claimed, by, tick, finished } = await writer._claimTick(schedule, due);
    if (!claimed) {
      const what = finished ? 'was made' : 'is being made';
      log.info(`Nothing to do: the run of ${tick} ${what} by process ${by.pid} on ${by.host}`);
    }
    return claimed;
  } catch (error) {
    if (error.code === 'ABORTED') throw error;
    const what =
      'Whether another process or host makes this run could not be found out, so this one makes it';
    log.warn(`${what}: ${error.message}`, { code: error.code });
    return true;
  }
}

async function takeSnapshot(writer, tick, log) {
  const name = `scheduled_${writer._generateTimestamp()}`;
  log.info(tick ? `Taking ${name} for the run of ${tick.due.toISOString()}` : `Taking ${name}`);
  try {
    const { snapshot, durationMs } = await writer.createSnapshot(name);
    const { id, size, checksum } = snapshot;
    log.info('Snapshot created', { id, name: snapshot.name, size, checksum, durationMs });
    return snapshot;
  } finally {
    if (tick) await finish(writer, tick, log);
  }
}

/** However it ended, the run is over. Not being able to note that costs at most a second snapshot. */
async function finish(writer, { due }, log) {
  try {
    await writer._finishTick(due);
  } catch (error) {
    log.warn(`The end of the run could not be noted: ${error.message}`);
  }
}

/** The run was not begun. Not being able to note that makes it one that was cut off. */
async function giveBack(writer, { due }, log) {
  try {
    await writer._giveBackTick(due);
  } catch (error) {
    log.warn(`The run could not be given back: ${error.message}`);
  }
}

async function retain(writer, { policies, log, signal }) {
  try {
    return await applyRetention(writer, policies, { log, signal });
  } catch (error) {
    error.message = `The snapshot is complete, but older ones could not be removed: ${error.message}`;
    throw error;
  }
}

function causesOf({ cause }) {
  return cause instanceof Error ? { cause: cause.message } : {};
}

module.exports = { runOnce };
