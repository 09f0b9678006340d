'use strict';

// Kept from load time: a test may replace the clock later.
const hrtime = process.hrtime.bigint;
const path = require('node:path');
const { logTo, once } = require('./callbacks.js');
const { resolveConfig, currentSnapshotDir, currentBucket } = require('./config.js');
const { withPrefix } = require('./errors.js');
const { checkOptions, checkName, checkPath, VERIFY } = require('./options.js');
const { withDates, withDate } = require('./records.js');
const { s3Client } = require('./s3-client.js');
const { runJob, notAllowed } = require('./worker-client.js');

/** Snapshots, verifies and restores one SQLite database. Types and documentation: index.d.ts. */
class SnapshotWriter {
  #options;
  #log = null;

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
    return this.s3Bucket === null ? null : s3Client;
  }

  async createSnapshot(name, options) {
    return this.#attempt('Failed to create snapshot: ', async () => {
      if (name != null) checkName(name);
      const started = hrtime();
      const { value } = await this.#run('createSnapshot', name == null ? {} : { name }, options);
      return { success: true, snapshot: withDates(value.snapshot), durationMs: millisecondsSince(started) };
    });
  }

  async restoreFromSnapshot(name, options) {
    return this.#attempt('Failed to restore from snapshot: ', async () => {
      checkName(name);
      return this.#restore('restoreFromSnapshot', { name }, options);
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
        const { value } = await this.#run('bootstrapDatabase', {}, options);
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
      const { items } = await this.#run('listSnapshots', {}, options, 'repository');
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
      const { level = 'data', ...others } = checkOptions(options, VERIFY);
      const { value } = await this.#run('verifySnapshot', { name, level }, others, 'repository');
      return value;
    });
  }

  async exportSnapshot(name, file, options) {
    return this.#attempt('Failed to export snapshot: ', async () => {
      checkName(name);
      checkPath(file, 'the file to export to');
      const { value } = await this.#run(
        'exportSnapshot',
        { name, path: path.resolve(file) },
        options,
        'repository',
      );
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

  async status(options) {
    return this.#attempt('Failed to read status: ', async () => {
      const { value } = await this.#run('status', {}, options, 'repository');
      return { ...value, latest: value.latest && withDates(value.latest) };
    });
  }

  async _resetDatabase(options) {
    return this.#attempt('Failed to reset database: ', async () => {
      const { value } = await this.#run('resetDatabase', {}, options);
      return { success: true, backupPath: value.backupPath, message: value.message };
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

  async #restore(operation, args, options) {
    const started = hrtime();
    const { value } = await this.#run(operation, args, options);
    return { success: true, snapshot: withDates(value.snapshot), durationMs: millisecondsSince(started) };
  }

  /** Validates the options of the call, works out the configuration and runs the job. */
  async #run(operation, args, callOptions, needs = 'database') {
    const options = { ...this.#options, ...checkOptions(callOptions) };
    const log = logTo((callOptions && callOptions.log) ?? this.log);
    this.#warnAboutS3(options, log);
    const config = resolveConfig(options, needs, once(log));
    const { onProgress, signal, nodePath } = options;
    return runJob({ operation, config, args, log, onProgress, signal, nodePath });
  }

  #warnAboutS3(options, log) {
    if (currentBucket(options) !== null) {
      once(log)(
        'warn',
        'S3_BUCKET is set, but this version of snapshot-writer stores snapshots locally only',
      );
    }
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

/** Whole milliseconds, never zero: the application divides by it. */
function millisecondsSince(started) {
  return Math.max(1, Math.round(Number(hrtime() - started) / 1e6));
}

module.exports = { SnapshotWriter };
