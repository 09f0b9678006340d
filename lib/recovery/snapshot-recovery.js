'use strict';

// Kept from load time: a test may replace the clock later.
const hrtime = process.hrtime.bigint;
const path = require('node:path');
const { logTo, once } = require('../callbacks.js');
const { resolveConfig } = require('../config.js');
const { SnapshotError, withPrefix } = require('../errors.js');
const { checkOptions, checkName, RECOVERY } = require('../options.js');
const { withDate, withDates } = require('../records.js');
const { resolveS3 } = require('../s3-config.js');
const { runJob, notAllowed } = require('../worker-client.js');

const WEEK_MS = 7 * 24 * 60 * 60 * 1000;
/** Metadata is for people; whoever needs more keeps it elsewhere. */
const LARGEST_METADATA = 16 * 1024;

/** Backups before risky operations, and the way back. Types and documentation: lib/recovery.d.ts. */
class SnapshotRecovery {
  #options;
  #log = null;

  constructor(options) {
    this.#options = checkOptions(options, RECOVERY);
    this.#log = this.#options.log ?? null;
  }

  /** An object with info, warn, error and debug; assignable; `console` when unset. */
  get log() {
    return this.#log ?? console;
  }

  set log(log) {
    this.#log = log;
  }

  async createPreOperationBackup(type, metadata, options) {
    return this.#attempt('Failed to create pre-operation backup: ', async () => {
      checkName(type);
      const args = { type, metadata: checkMetadata(metadata) };
      const { value, durationMs } = await this.#run('createPreOperationBackup', args, options);
      return { success: true, backup: withDates(value.backup), durationMs };
    });
  }

  async rollbackToPreOperationBackup(name, options) {
    return this.#attempt('Failed to roll back to pre-operation backup: ', async () => {
      checkName(name);
      const { value, durationMs } = await this.#run('rollbackToPreOperationBackup', { name }, options);
      return { success: true, snapshot: withDates(value.snapshot), durationMs };
    });
  }

  async recoverFromFailedRestore(name, error, options) {
    return this.#attempt('Failed to recover from failed restore: ', async () => {
      checkName(name);
      const { value } = await this.#run('recoverFromFailedRestore', { name }, options);
      const { state, problems, unjudged, snapshot, passedOver } = value;
      return {
        success: true,
        state,
        problems,
        ...(unjudged && { unjudged }),
        snapshot: snapshot && withDates(snapshot),
        passedOver,
        error: error == null ? null : String(error.message ?? error),
      };
    });
  }

  async validateDatabaseIntegrity(options) {
    return this.#attempt('Failed to validate database integrity: ', async () => {
      const { value, durationMs } = await this.#run('validateDatabaseIntegrity', {}, options);
      return { success: true, ...value, durationMs };
    });
  }

  async emergencyDatabaseReset(options) {
    return this.#attempt('Failed to reset database: ', async () => {
      const { value } = await this.#run('emergencyDatabaseReset', {}, options);
      const message = `the database was emptied; rollbackToPreOperationBackup('${value.snapshot}') brings it back`;
      return { success: true, backup: value.snapshot, backupPath: value.backupPath, message };
    });
  }

  async cleanupOldRecoveryBackups(maxAge = WEEK_MS, options) {
    return this.#attempt('Failed to clean up recovery backups: ', async () => {
      if (!Number.isSafeInteger(maxAge) || maxAge < 0) {
        throw new SnapshotError('INVALID_ARGUMENT', 'maxAge must be a whole number of milliseconds');
      }
      const { value } = await this.#run('cleanupOldRecoveryBackups', { maxAgeMs: maxAge }, options);
      return { success: true, ...value };
    });
  }

  async getRecoveryStatus(options) {
    return this.#attempt('Failed to read recovery status: ', async () => {
      const { value, items } = await this.#run('getRecoveryStatus', {}, options);
      const lastRestore = value.lastRestore && withDate(value.lastRestore, 'at');
      return { success: true, ...value, lastRestore, backups: items.map(withDates) };
    });
  }

  async #run(operation, args, callOptions) {
    const started = hrtime();
    const { recoveryDir, ...options } = { ...this.#options, ...checkOptions(callOptions, RECOVERY) };
    const log = logTo((callOptions && callOptions.log) ?? this.log);
    const notice = once(log);
    // The backups are on this host: whatever is wrong with a bucket, they are made and found.
    if (!MAY_NEED_THE_BUCKET.includes(operation) || !isUsable(options, notice)) options.s3 = false;
    const config = resolveConfig(options, 'database', notice);
    const job = {
      operation,
      config,
      args: { ...args, recoveryDir: findRecoveryDir(recoveryDir, config.databasePath) },
      log,
    };
    const { onProgress, signal, nodePath } = options;
    const outcome = await runJob({ ...job, onProgress, signal, nodePath });
    return { ...outcome, durationMs: Math.max(1, Math.round(Number(hrtime() - started) / 1e6)) };
  }

  async #attempt(prefix, action) {
    try {
      return await action();
    } catch (error) {
      throw withPrefix(prefix, error?.code === 'ERR_ACCESS_DENIED' ? notAllowed(error) : error);
    }
  }
}

/** They write the `Snapshot` table anew, or look for any good snapshot. */
const MAY_NEED_THE_BUCKET = ['rollbackToPreOperationBackup', 'recoverFromFailedRestore'];

/** Whether the settings of the bucket can be understood. Whoever is in need is not held up by a typing error. */
function isUsable(options, notice) {
  try {
    resolveS3(options, () => {});
    return true;
  } catch (error) {
    notice(
      'warn',
      `the bucket is left out: ${error.message}. Rows of snapshots that only the bucket has come back with the next restore`,
    );
    return false;
  }
}

function findRecoveryDir(given, databasePath) {
  return path.resolve(
    given ?? (process.env.RECOVERY_DIR || path.join(path.dirname(databasePath), 'recovery')),
  );
}

/** Metadata as it will be read back: what JSON makes of it. */
function checkMetadata(metadata) {
  if (metadata == null) return null;
  const json = typeof metadata === 'object' && !Array.isArray(metadata) ? encode(metadata) : undefined;
  if (json === undefined || Buffer.byteLength(json) > LARGEST_METADATA) {
    const limit = `an object that JSON can hold in ${LARGEST_METADATA} bytes`;
    throw new SnapshotError('INVALID_ARGUMENT', `the metadata of a backup must be ${limit}`);
  }
  return JSON.parse(json);
}

function encode(metadata) {
  try {
    return JSON.stringify(metadata);
  } catch {
    // A cycle or a BigInt.
    return undefined;
  }
}

module.exports = { SnapshotRecovery };
