// Types of the recovery utilities; index.d.ts hands them on.

import type { SnapshotLog, SnapshotOptions, SnapshotRecord } from '../index.js';

/** Options of {@link SnapshotRecovery}, of its constructor and of every call. */
export interface RecoveryOptions extends SnapshotOptions {
  /**
   * Folder of the backups, another one than that of the snapshots. Default: `RECOVERY_DIR`, else `recovery/`
   * beside the database.
   */
  recoveryDir?: string;
}

/** A backup that was made before an operation. It has no row in the `Snapshot` table. */
export interface RecoveryBackup {
  id: string;
  /** `pre_<type>_<ISO timestamp>`; that of a reset is called `safety_<ISO timestamp>`. */
  name: string;
  /** The operation, as given; `emergency_reset` for that of a reset. */
  type: string;
  metadata: Record<string, unknown> | null;
  /** Absolute path of its manifest. */
  path: string;
  /** SHA-256 of the database image in lower-case hex. */
  checksum: string;
  /** Bytes of the database image. */
  size: number;
  /** Bytes that it added to the folder. */
  storedSize: number;
  createdAt: Date;
  /** The database failed SQLite's check: kept for forensics, never rolled back to. */
  damaged: boolean;
}

export interface BackupResult {
  success: true;
  backup: RecoveryBackup;
  durationMs: number;
}

export interface RollbackResult {
  success: true;
  /** The backup as a snapshot, with `restoreStatus` `'SUCCESS'`. */
  snapshot: SnapshotRecord;
  durationMs: number;
}

export interface RecoverResult {
  success: true;
  /**
   * `unchanged`: the restore did not take place, the database is what it was before. `restored`: it did
   * take place after all, though nobody heard of it. `rolledBack`: the database was damaged and is now what `snapshot` holds.
   */
  state: 'unchanged' | 'restored' | 'rolledBack';
  /** What SQLite said of the database when the call began, one sentence each. */
  problems: string[];
  /** As in {@link IntegrityResult}. */
  unjudged?: string[];
  /** What a damaged database was taken back to. */
  snapshot: SnapshotRecord | null;
  /** Newer states that were no good, and why; then the manifests that could not be read, however old. */
  passedOver: string[];
  /** The message of the error that was handed in. */
  error: string | null;
}

export interface IntegrityResult {
  success: true;
  /** Nothing is damaged, and every row has its parents. */
  valid: boolean;
  /** The file cannot be trusted. Broken foreign keys alone are no damage. */
  damaged: boolean;
  /** One sentence each; empty when `valid`. */
  problems: string[];
  /**
   * What SQLite could not judge here, because it takes a collation, function, module or tokenizer of the application,
   * and content that breaks a rule of the schema; absent when there is nothing. Never damage.
   */
  unjudged?: string[];
  durationMs: number;
}

export interface EmergencyResetResult {
  success: true;
  /** Name of the backup: `rollbackToPreOperationBackup(backup)` takes the reset back. */
  backup: string;
  backupPath: string;
  message: string;
}

export interface CleanupResult {
  success: true;
  deleted: string[];
  kept: string[];
  freedBytes: number;
}

export interface RecoveryStatus {
  success: true;
  databasePath: string;
  recoveryDir: string;
  /** Newest first. */
  backups: RecoveryBackup[];
  /** Bytes that they take. */
  storedBytes: number;
  /** Whether a restore was cut off; the next operation settles it. */
  unfinishedRestore: boolean;
  /** The newest restore or rollback of the database; `null` when there was none. */
  lastRestore: {
    snapshot: string;
    status: 'IN_PROGRESS' | 'SUCCESS' | 'FAILED';
    message: string | null;
    at: Date;
    undone: boolean;
  } | null;
}

/**
 * Backups before risky operations, and the way back. They lie in a folder of their own, never in the
 * bucket. Methods reject with a `SnapshotError`; the constructor touches nothing.
 */
export declare class SnapshotRecovery {
  constructor(options?: RecoveryOptions);

  /** Assignable; reads as `console` when unset. */
  get log(): SnapshotLog;
  set log(log: SnapshotLog | null | undefined);

  /**
   * Stores what the database holds, checked as `createSnapshot` does.
   * @param type the operation, such as `migration`; it becomes part of the name.
   * @param metadata whatever JSON can hold in 16 KiB.
   * @throws {SnapshotError} message starts `Failed to create pre-operation backup: `.
   */
  createPreOperationBackup(
    type: string,
    metadata?: Record<string, unknown> | null,
    options?: RecoveryOptions,
  ): Promise<BackupResult>;

  /**
   * Makes the database what it was at a backup, in one transaction. `SnapshotWriter.undoRestore` takes
   * that back.
   * @throws {SnapshotError} message starts `Failed to roll back to pre-operation backup: `.
   */
  rollbackToPreOperationBackup(name: string, options?: RecoveryOptions): Promise<RollbackResult>;

  /**
   * After a restore that failed: settles it, checks the database, and says what it holds. Only a damaged
   * database is changed: it becomes the newest backup or snapshot in which SQLite finds nothing wrong.
   * @param name the snapshot that was to be restored.
   * @param error what the restore rejected with.
   * @throws {SnapshotError} message starts `Failed to recover from failed restore: `. `DATABASE_CORRUPT`:
   *   the database is damaged and there is nothing good to take it back to.
   */
  recoverFromFailedRestore(name: string, error?: unknown, options?: RecoveryOptions): Promise<RecoverResult>;

  /**
   * `integrity_check` and `foreign_key_check` on an image of the database, so that nobody waits for them.
   * @throws {SnapshotError} message starts `Failed to validate database integrity: `. Damage is a result.
   */
  validateDatabaseIntegrity(options?: RecoveryOptions): Promise<IntegrityResult>;

  /**
   * Empties the database after a backup, keeping its schema.
   * @throws {SnapshotError} message starts `Failed to reset database: `; nothing was reset.
   */
  emergencyDatabaseReset(options?: RecoveryOptions): Promise<EmergencyResetResult>;

  /**
   * Deletes backups that are older. The newest good one stays, whatever its age.
   * @param maxAge milliseconds; default a week.
   * @throws {SnapshotError} message starts `Failed to clean up recovery backups: `.
   */
  cleanupOldRecoveryBackups(maxAge?: number, options?: RecoveryOptions): Promise<CleanupResult>;

  /** @throws {SnapshotError} message starts `Failed to read recovery status: `. */
  getRecoveryStatus(options?: RecoveryOptions): Promise<RecoveryStatus>;
}

/** The default instance, configured by the environment alone. */
export declare const snapshotRecovery: SnapshotRecovery;
