'use strict';

// Kept from load time: a test may replace the clock later.
const hrtime = process.hrtime.bigint;
const path = require('node:path');
const { logTo, once } = require('./callbacks.js');
const { resolveConfig, currentSnapshotDir } = require('./config.js');
const { diagnose } = require('./doctor/index.js');
const { withPrefix } = require('./errors.js');
const health = require('./health/index.js');
const {
  checkOptions,
  checkName,
  checkPath,
  READ,
  RESTORE,
  BOOTSTRAP,
  VERIFY,
  SYNC,
  LIST,
  PRUNE,
  DRILL,
} = require('./options.js');
const { pruneArguments, withPruneDates } = require('./retention.js');
const { withDates, withDate, withDrillDates } = require('./records.js');
const s3Client = require('./s3-client.js');
const { currentBucket, s3IsOff } = require('./s3-config.js');
const { runJob, notAllowed } = require('./worker-client.js');

/** Snapshots, verifies and restores one SQLite database. Types and documentation: index.d.ts. */
class SnapshotWriter {
  #options;
  #log = null;
  #s3Client = { send: (command) => this.#send(command) };

  constructor(options) {
    this.#options = checkOptions(options);
    this.#log = this.#options.log ?? null;
  }

  /** An object with info, warn, error and debug; assignable; `console` when unset. */
  get log() {
    return this.#log ?? console;
  }

  set log(log) {
    this.#log = log;
  }

  get snapshotDir() {
    return currentSnapshotDir(this.#options);
  }

  get s3Bucket() {
    return currentBucket(this.#options);
  }

  get s3Client() {
    return this.s3Bucket === null ? null : this.#s3Client;
  }

  async createSnapshot(name, options) {
    return this.#attempt('Failed to create snapshot: ', () => this.#create('createSnapshot', name, options));
  }

  async rescueDatabase(name, options) {
    return this.#attempt('Failed to rescue database: ', () => this.#create('rescueDatabase', name, options));
  }

  async restoreFromSnapshot(name, options) {
    return this.#attempt('Failed to restore from snapshot: ', async () => {
      checkName(name);
      const { tier, force, foreign, ...others } = checkOptions(options, RESTORE);
      return this.#restore('restoreFromSnapshot', { name, tier, force, foreign }, others);
    });
  }

  async undoRestore(options) {
    return this.#attempt('Failed to restore from snapshot: ', () =>
      this.#restore('undoRestore', {}, options),
    );
  }

  /** Never rejects: an application starts with whatever comes of it. */
  async bootstrapDatabase(options) {
    try {
      return await this.#attempt('Failed to bootstrap database: ', async () => {
        const { force, ...others } = checkOptions(options, BOOTSTRAP);
        const { value } = await this.#run('bootstrapDatabase', { force }, others);
        return value.snapshot ? { ...value, snapshot: withDate(value.snapshot, 'timestamp') } : value;
      });
    } catch (error) {
      return { bootstrapped: false, error: error.message, code: error.code, stack: error.stack };
    }
  }

  async isDatabaseEmpty(options) {
    return this.#attempt('Failed to examine database: ', async () => {
      const { value } = await this.#run('isDatabaseEmpty', {}, options);
      return value.empty;
    });
  }

  async listSnapshots(options) {
    return this.#attempt('Failed to list snapshots: ', async () => {
      const { deleted, ...others } = checkOptions(options, LIST);
      const { items } = await this.#run('listSnapshots', { deleted }, others, 'repository');
      return items.map(withDates);
    });
  }

  async getSnapshot(name, options) {
    return this.#attempt('Failed to get snapshot: ', async () => {
      checkName(name);
      const { value } = await this.#run('getSnapshot', { name }, options, 'repository');
      return withDates(value.snapshot);
    });
  }

  async verifySnapshot(name, options) {
    return this.#attempt('Failed to verify snapshot: ', async () => {
      checkName(name);
      const { level = 'data', tier, ...others } = checkOptions(options, VERIFY);
      const { value } = await this.#run('verifySnapshot', { name, level, tier }, others, 'repository');
      return value;
    });
  }

  async exportSnapshot(name, file, options) {
    return this.#attempt('Failed to export snapshot: ', async () => {
      checkName(name);
      checkPath(file, 'the file to export to');
      const { tier, ...others } = checkOptions(options, READ);
      const args = { name, path: path.resolve(file), tier };
      const { value } = await this.#run('exportSnapshot', args, others, 'repository');
      return value;
    });
  }

  async deleteSnapshot(name, options) {
    return this.#attempt('Failed to delete snapshot: ', async () => {
      checkName(name);
      const { value } = await this.#run('deleteSnapshot', { name }, options, 'repository');
      return value;
    });
  }

  async prune(options) {
    return this.#attempt('Failed to prune: ', async () => {
      const { args, others } = pruneArguments(checkOptions(options, PRUNE));
      const { value } = await this.#run('prune', args, others);
      return withPruneDates(value);
    });
  }

  async pinSnapshot(name, options) {
    return this.#attempt('Failed to pin snapshot: ', () => this.#change('pinSnapshot', name, options));
  }

  async unpinSnapshot(name, options) {
    return this.#attempt('Failed to unpin snapshot: ', () => this.#change('unpinSnapshot', name, options));
  }

  async undelete(name, options) {
    return this.#attempt('Failed to undelete: ', () => this.#change('undelete', name, options));
  }

  async acknowledge(options) {
    return this.#attempt('Failed to acknowledge: ', async () => {
      const { value } = await this.#run('acknowledge', {}, options);
      return { acknowledged: value.acknowledged && withDates(value.acknowledged) };
    });
  }

  async sync(options) {
    return this.#attempt('Failed to sync: ', async () => {
      const { direction = 'up', ...others } = checkOptions(options, SYNC);
      const { value } = await this.#run('sync', { direction }, others, 'repository');
      return value;
    });
  }

  async checkStorage(options) {
    return this.#attempt('Failed to check storage: ', async () => {
      const { value } = await this.#run('checkStorage', {}, options, 'repository');
      return value;
    });
  }

  async drill(options) {
    return this.#attempt('Failed to drill: ', async () => {
      const { name, assertions, assertionsFile, ...rest } = checkOptions(options, DRILL);
      const { tier, maxDrift = 0.5, assertionTimeoutMs = 30_000, ...others } = rest;
      if (name !== undefined) checkName(name);
      const file = assertionsFile && path.resolve(assertionsFile);
      const args = { name, tier, assertions, assertionsFile: file, maxDrift, assertionTimeoutMs };
      const { value } = await this.#run('drill', args, others, 'repository');
      return withDrillDates(value);
    });
  }

  async drills(options) {
    return this.#attempt('Failed to list drills: ', async () => {
      const { items } = await this.#run('drills', {}, options, 'repository');
      return items.map(withDrillDates);
    });
  }

  async doctor(options) {
    return this.#attempt('Failed to examine: ', () => {
      const all = { ...this.#options, ...checkOptions(options) };
      const { signal, nodePath, onProgress } = all;
      // What the log would say is among the findings.
      const log = () => {};
      const run = (operation, config, args) =>
        runJob({ operation, config, args, log, onProgress, signal, nodePath }).then(({ value }) => value);
      return diagnose(all, run);
    });
  }

  async status(options) {
    return this.#attempt('Failed to read status: ', async () => {
      const { value } = await this.#run('status', {}, this.#inAHurry(options), 'repository');
      return health.statusOf(value);
    });
  }

  async metrics(options) {
    return this.#attempt('Failed to read metrics: ', async () => {
      const { value } = await this.#run('metrics', {}, this.#inAHurry(options), 'repository');
      return health.metricsOf(value);
    });
  }

  async _resetDatabase(options) {
    return this.#attempt('Failed to reset database: ', async () => {
      const { value } = await this.#run('resetDatabase', {}, options);
      return { success: true, backupPath: value.backupPath, message: value.message };
    });
  }

  /** For the scheduler: of all processes and hosts that ask for the same due time, one is told `claimed`. */
  async _claimTick(schedule, due, options) {
    return this.#attempt('Failed to claim the run: ', async () => {
      const { value } = await this.#run('claimTick', { schedule, tick: due.toISOString() }, options);
      return value;
    });
  }

  /** For the scheduler: the run that was claimed is over. */
  async _finishTick(due, options) {
    return this.#attempt('Failed to finish the run: ', async () => {
      await this.#run('finishTick', { tick: due.toISOString() }, options);
    });
  }

  /** For the scheduler: the run that was claimed was not begun. */
  async _giveBackTick(due, options) {
    return this.#attempt('Failed to give the run back: ', async () => {
      await this.#run('giveBackTick', { tick: due.toISOString() }, options);
    });
  }

  _generateTimestamp() {
    return new Date().toISOString().replace(/[:.]/g, '-');
  }

  async _generateChecksum(file) {
    return this.#attempt('Failed to generate checksum: ', async () => {
      checkPath(file, 'the file to hash');
      const { value } = await this.#run('checksum', { path: path.resolve(file) }, undefined, 'nothing');
      return value.checksum;
    });
  }

  async #send(command) {
    const { answer, value } = await this.#attempt(s3Client.PREFIX, async () => {
      // Whoever kept the client may have switched S3 off since.
      if (this.s3Bucket === null) throw s3IsOff(this.#options);
      const { operation, args, answer } = s3Client.requestOf(command, this.s3Bucket);
      const { value } = await this.#run(operation, args, undefined, 'repository');
      return { answer, value };
    });
    return answer(value);
  }

  /** Changes what is said of a snapshot; resolves with how it is listed now. */
  async #change(operation, name, options) {
    checkName(name);
    const { value } = await this.#run(operation, { name }, options, 'repository');
    return withDates(value.snapshot);
  }

  async #create(operation, name, options) {
    if (name != null) checkName(name);
    const started = hrtime();
    const { value } = await this.#run(operation, name == null ? {} : { name }, options);
    return { success: true, snapshot: withDates(value.snapshot), durationMs: millisecondsSince(started) };
  }

  async #restore(operation, args, options) {
    const started = hrtime();
    const { value } = await this.#run(operation, args, options);
    return { success: true, snapshot: withDates(value.snapshot), durationMs: millisecondsSince(started) };
  }

  /** Validates the options of the call, works out the configuration and runs the job. */
  async #run(operation, args, callOptions, needs = 'database') {
    const options = { ...this.#options, ...checkOptions(callOptions) };
    const log = logTo((callOptions && callOptions.log) ?? this.log);
    const config = resolveConfig(options, needs, once(log));
    if (config.s3 === null && needsBucket(operation, args)) {
      throw s3IsOff(options);
    }
    const { onProgress, signal, nodePath } = options;
    return runJob({ operation, config, args, log, onProgress, signal, nodePath });
  }

  /** The options of a call whose caller wants to know the state now, not when a lock is free. */
  #inAHurry(options) {
    return this.#options.lockTimeoutMs === undefined
      ? { ...health.HURRY, ...checkOptions(options) }
      : options;
  }

  /** Every failure of a method becomes a SnapshotError with the method's prefix. */
  async #attempt(prefix, action) {
    try {
      return await action();
    } catch (error) {
      throw withPrefix(prefix, error?.code === 'ERR_ACCESS_DENIED' ? notAllowed(error) : error);
    }
  }
}

function needsBucket(operation, { tier }) {
  return tier === 's3' || operation === 'sync' || operation === 'checkStorage';
}

/** Whole milliseconds, never zero: the application divides by it. */
function millisecondsSince(started) {
  return Math.max(1, Math.round(Number(hrtime() - started) / 1e6));
}

module.exports = { SnapshotWriter };
