import type { DoctorResult } from './lib/doctor.js';
import type { DrillOptions, DrillResult } from './lib/drill.js';
import type { StatusResult } from './lib/health.js';
import type { DeleteResult, ExportResult, ResetResult, VerifyResult } from './lib/results.js';
import type { ListOptions, RetentionMethods } from './lib/retention.js';
import type { S3Options, SnapshotS3Client, StorageCheckResult, SyncOptions, SyncResult } from './lib/s3.js';

export * from './lib/recovery.js';
export * from './lib/results.js';
export * from './lib/doctor.js';
export * from './lib/drill.js';
export * from './lib/errors.js';
export * from './lib/health.js';
export * from './lib/retention.js';
export * from './lib/s3.js';

/** State of a snapshot. `PENDING`: complete locally, not yet in the bucket; `sync()` finishes it. */
export type SnapshotStatus = 'PENDING' | 'COMPLETED' | 'FAILED';

/** State of the last restore from a snapshot. */
export type RestoreStatus = 'IN_PROGRESS' | 'SUCCESS' | 'FAILED';

/**
 * `snapshot`: made by `createSnapshot`. `safety`: the state before a restore or reset.
 * `forensic`: the image of a database that failed SQLite's check. `plain`: a `.db` file of the old module.
 */
export type SnapshotKind = 'snapshot' | 'safety' | 'forensic' | 'plain';

/** A place where snapshots are: the local repository, or the bucket. */
export type SnapshotTier = 'local' | 's3';

/** A row of the application's `Snapshot` table. */
export interface SnapshotRecord {
  /** UUID v4 in lower case. */
  id: string;
  name: string;
  /**
   * With S3 on the key of the manifest in the bucket, else its absolute path; that of the `.db` itself
   * for `plain` ones. Empty when `FAILED`.
   */
  s3Key: string;
  /** SHA-256 of the database image in lower-case hex; equals `sha256sum` of an export. */
  checksum: string;
  /** Bytes of the database image; always exact here, see {@link SnapshotOptions.catalogSize}. */
  size: number;
  status: SnapshotStatus;
  restoreStatus: RestoreStatus | null;
  restoreMessage: string | null;
  lastRestoredAt: Date | null;
  createdAt: Date;
  updatedAt: Date;
  schemaVersion: number;
}

/** A snapshot as the repository knows it. */
export interface SnapshotInfo extends SnapshotRecord {
  kind: SnapshotKind;
  /** Where it is complete. */
  tiers: SnapshotTier[];
  /** Bytes of one database page; `null` for `plain` ones, like the fields below but `storedSize`. */
  pageSize: number | null;
  pageCount: number | null;
  /** Bytes that this snapshot added to the repository. */
  storedSize: number;
  /** Number of pack files that a restore reads. */
  packs: number | null;
  /** Whether the image held no rows of the core tables: such a snapshot is never bootstrapped from. */
  isEmpty: boolean | null;
  /**
   * What SQLite could not judge when the snapshot was made (an index over a collation that only the application has,
   * say), and content that breaks a rule of the schema; absent when there was nothing. No damage: it restores like any other.
   */
  unjudged?: string[];
  /** Where the content comes from: shared by the snapshots of a database and of its copies. */
  lineage: string | null;
  /** Which database made it: a configured `databaseId`, or repository and path. `null`: an older version did not say. */
  instance: string | null;
  /** File name of the database. */
  databaseName: string | null;
  /** Its number in the order of snapshots and restores; `null` for what was made before there were any. */
  sequence: number | null;
  /** Whether neither `prune` nor `deleteSnapshot` removes it. */
  pinned: boolean;
  /** Since when it has been in the trash; `null`: it is not. */
  deletedAt: Date | null;
}

/** A logger. Methods that are missing are skipped; what they throw or reject with is ignored. */
export interface SnapshotLog {
  info?(message: string, fields?: Record<string, unknown>): unknown;
  warn?(message: string, fields?: Record<string, unknown>): unknown;
  error?(message: string, fields?: Record<string, unknown>): unknown;
  debug?(message: string, fields?: Record<string, unknown>): unknown;
}

/** How far an operation is; sent at most ten times a second. */
export interface SnapshotProgress {
  phase: string;
  done: number;
  total: number;
  /** What is counted, such as `pages` or `bytes`. */
  unit: string;
}

/**
 * Options of the constructor and of every call. Those of a call win over those of the constructor,
 * and those over the environment, which is read at each call. An unknown name is refused with
 * `INVALID_ARGUMENT`.
 */
export interface SnapshotOptions {
  /**
   * The SQLite file: `file:` or `sqlite:` URL or plain path, with or without Prisma's query
   * parameters. A relative path starts at the working directory. Default: `DATABASE_URL`.
   */
  databaseUrl?: string;
  /**
   * Identifies the database on every host and at every path: 1 to 255 characters. Only what the same database
   * made is removed by it, vouches for it, and fills it unasked. Default: `SNAPSHOT_DATABASE_ID`, else the
   * repository and the path in relation to it.
   */
  databaseId?: string;
  /** Folder of the snapshots. Default: `SNAPSHOT_DIR`, else `backups/` beside the database. */
  snapshotDir?: string;
  /**
   * The bucket that holds the snapshots as well; `false` or `null` switches S3 off. Taken as a whole: an
   * object of a call replaces that of the constructor. `S3_DISABLE` or `SNAPSHOT_S3_DISABLE` = `true`
   * wins over it. Default: by the environment.
   */
  s3?: S3Options | false | null;
  /**
   * How long the packs of a deleted snapshot stay in the bucket, in milliseconds, counted from the moment
   * they were marked: time for other hosts to notice. Default: 86400000 (a day).
   */
  deleteGraceMs?: number;
  /**
   * How long a snapshot that `prune` removed can be brought back with `undelete`, in milliseconds; then
   * the next `prune` deletes it for good. Default: 86400000 (a day).
   */
  trashGraceMs?: number;
  /** How long to wait for the repository's lock and for SQLite's locks, in milliseconds. Default: 60000. */
  lockTimeoutMs?: number;
  /**
   * How long one COMMIT of a restore waits for readers, in milliseconds; nobody can read while it
   * waits, so it gives way and tries again until `lockTimeoutMs`. Default: 3000.
   */
  commitTimeoutMs?: number;
  /**
   * The longest time that a snapshot may hold up writers of a database in rollback-journal mode, or that
   * storing what changed just before the database is overwritten may hold them up in either mode, in
   * milliseconds; rather than exceed it the call rejects with `WRITERS_TOO_BUSY`. Default: 4000.
   */
  maxWriterStallMs?: number;
  /** SQLite's own check of a new snapshot: none, `quick_check` or `integrity_check`. Default: `'quick'`. */
  check?: 'none' | 'quick' | 'full';
  /**
   * How sizes above 2,147,483,647 are written to the `Snapshot` table: clamped to that value, which
   * every Prisma client can read, or exact. Results always have the exact number. Default: `'clamped'`.
   */
  catalogSize?: 'clamped' | 'exact';
  /**
   * Tables whose rows decide whether a database is empty.
   * Default: `['Reality', 'RecursionPath', 'ConsciousnessField']`.
   */
  coreTables?: string[];
  /**
   * Runs after a restore in the working directory of the application: a line for the shell, or
   * program and arguments. When it fails, the restore is undone and the call rejects with
   * `POST_RESTORE_FAILED`. Its environment is that of the worker plus `DATABASE_URL`. Default: none.
   */
  postRestoreCommand?: string | string[] | null;
  /** Time limit of `postRestoreCommand` in milliseconds. Default: 300000. */
  postRestoreTimeoutMs?: number;
  /** The Node.js executable that runs the worker. Default: `process.execPath`. */
  nodePath?: string;
  /** Aborting kills the worker; the call rejects with `ABORTED` and the signal's reason as `cause`. */
  signal?: AbortSignal | null;
  /** Called as the operation advances; what it throws or rejects with is ignored. */
  onProgress?: ((progress: SnapshotProgress) => unknown) | null;
  /** Logger for this instance or call. Default: `console`. */
  log?: SnapshotLog | null;
}

/** Options of the calls that read a snapshot. */
export interface ReadOptions extends SnapshotOptions {
  /** Reads from there alone; `'s3'` rejects with `S3_DISABLED` when S3 is off. Default: both, local first for each object. */
  tier?: SnapshotTier;
}

/** Of calls that put a file in the place of a lost one. */
export interface ForceOption {
  /**
   * Goes on although a process still has the deleted database file open (`DATABASE_DELETED`): it sees
   * nothing of what is restored, and what it writes is lost. Default: false.
   */
  force?: boolean;
}

/** Options of {@link SnapshotWriter.restoreFromSnapshot}. */
export interface RestoreOptions extends ReadOptions, ForceOption {
  /**
   * Also restores what another database made, where this one has snapshots of its own or another file name. It stays a
   * database of its own. Default: false.
   */
  foreign?: boolean;
}

/** Options of {@link SnapshotWriter.verifySnapshot}. */
export interface VerifyOptions extends ReadOptions {
  /**
   * `structure`: manifest and packs are there and fit together. `data`: every page is read and
   * hashed. `database`: SQLite checks the image as well. Default: `'data'`.
   */
  level?: 'structure' | 'data' | 'database';
}

export interface SnapshotResult {
  success: true;
  snapshot: SnapshotRecord;
  /** Milliseconds, at least 1. */
  durationMs: number;
}

/** Outcome of {@link SnapshotWriter.bootstrapDatabase}; one type, so that callers can destructure it. */
export interface BootstrapResult {
  bootstrapped: boolean;
  /** The snapshot restored from. */
  snapshot?: { name: string; timestamp: Date; checksum: string };
  /** Rows of the three core tables after the restore. */
  counts?: { realities: number; paths: number; fields: number };
  /** Newer snapshots that cannot be used, manifests that cannot be read, or a bucket that could not be reached; one sentence each. */
  passedOver?: string[];
  /** Names of two snapshots that hosts made without seeing each other: each may have what the other one lacks. */
  apart?: [string, string];
  /** What went wrong; absent when there was nothing to do. */
  error?: string;
  /** Code of the error. */
  code?: string;
  stack?: string;
}

/**
 * Snapshots, verifies and restores one SQLite database.
 *
 * Every operation runs in a short-lived process of its own. The constructor touches nothing.
 * Methods never throw synchronously; they reject with a {@link SnapshotError}.
 */
export interface SnapshotWriter extends RetentionMethods {}
export declare class SnapshotWriter {
  /** @throws {SnapshotError} `INVALID_ARGUMENT` when an option is unknown or of the wrong type. */
  constructor(options?: SnapshotOptions);

  /** Folder of the snapshots by the present options and environment; `null` when neither tells. */
  get snapshotDir(): string | null;
  /** The configured bucket; `null` when S3 is off. */
  get s3Bucket(): string | null;
  /** Always the same object; `null` when S3 is off. */
  get s3Client(): SnapshotS3Client | null;
  /** Assignable; reads as `console` when unset. */
  get log(): SnapshotLog;
  set log(log: SnapshotLog | null | undefined);

  /**
   * Takes a transactionally consistent snapshot and stores what changed since the last one: locally,
   * then, with S3 on, in the bucket.
   * @param name 1 to 200 characters; default `snapshot_<ISO timestamp>`.
   * @throws {SnapshotError} message starts `Failed to create snapshot: `. `UPLOAD_FAILED`: it is stored
   *   locally and `PENDING`; the next `createSnapshot` or `sync` uploads it.
   */
  createSnapshot(name?: string | null, options?: SnapshotOptions): Promise<SnapshotResult>;

  /**
   * Takes a snapshot of a database file that was deleted or replaced while a process has it open, as far
   * as `/proc` shows that process: same PID namespace and, unless we are root, same user.
   * @param name default `rescued_<ISO timestamp>`.
   * @throws {SnapshotError} message starts `Failed to rescue database: `; `DATABASE_NOT_FOUND` when nobody
   *   that can be seen has one open.
   */
  rescueDatabase(name?: string | null, options?: SnapshotOptions): Promise<SnapshotResult>;

  /**
   * Makes the database what it was at a snapshot, in one transaction; open connections see it.
   * @throws {SnapshotError} message starts `Failed to restore from snapshot: `; the database is as before.
   *   `SNAPSHOT_FOREIGN`: another database made the snapshot, see {@link RestoreOptions.foreign}.
   */
  restoreFromSnapshot(name: string, options?: RestoreOptions): Promise<SnapshotResult>;

  /**
   * Takes the last restore back: restores what the database held before it. What was written since
   * is kept in a safety snapshot of its own.
   * @throws {SnapshotError} `UNDO_UNAVAILABLE` when there is no restore to take back.
   */
  undoRestore(options?: SnapshotOptions): Promise<SnapshotResult>;

  /** Restores the latest good snapshot when the database is missing or empty. Never rejects. */
  bootstrapDatabase(options?: SnapshotOptions & ForceOption): Promise<BootstrapResult>;

  /** Whether no core table has a row; a missing or zero-byte file is empty. */
  isDatabaseEmpty(options?: SnapshotOptions): Promise<boolean>;

  /** Every snapshot of the local repository and, with S3 on, of the bucket. */
  listSnapshots(options?: ListOptions): Promise<SnapshotInfo[]>;

  /** @throws {SnapshotError} `SNAPSHOT_NOT_FOUND`. */
  getSnapshot(name: string, options?: SnapshotOptions): Promise<SnapshotInfo>;

  /** Checks a snapshot without touching the database. Problems are a result, not a rejection. */
  verifySnapshot(name: string, options?: VerifyOptions): Promise<VerifyResult>;

  /**
   * Writes a snapshot as a plain SQLite file.
   * @param file relative paths start at the working directory.
   * @throws {SnapshotError} `EXPORT_TARGET_EXISTS`, `EXPORT_TARGET_UNWRITABLE`.
   */
  exportSnapshot(name: string, file: string, options?: ReadOptions): Promise<ExportResult>;

  /**
   * Deletes a snapshot and every page that no other snapshot needs; in the bucket the pages go after
   * {@link SnapshotOptions.deleteGraceMs}.
   * @throws {SnapshotError} `S3_UNSUPPORTED` when the provider has no conditional writes; `SNAPSHOT_PINNED`;
   *   `SNAPSHOT_FOREIGN`: another database made it; `SNAPSHOT_LAST_GOOD`: what came after it lost its content, and nobody has acknowledged that.
   */
  deleteSnapshot(name: string, options?: SnapshotOptions): Promise<DeleteResult>;

  /**
   * Mirrors the snapshots that are missing in the bucket, here, or in either place.
   * @throws {SnapshotError} message starts `Failed to sync: `; `S3_DISABLED` when S3 is off.
   */
  sync(options?: SyncOptions): Promise<SyncResult>;

  /**
   * Tests against the bucket what the provider supports and the credentials allow, with objects of its
   * own that it removes again. What fails is a result, not a rejection.
   * @throws {SnapshotError} message starts `Failed to check storage: `; `S3_DISABLED` when S3 is off.
   */
  checkStorage(options?: SnapshotOptions): Promise<StorageCheckResult>;

  /**
   * Tries whether the newest snapshot brings the database back: assembles it aside, checks it, and says how
   * long that took and how old the data are. Damage and a drill that cannot be done are results.
   * @throws {SnapshotError} message starts `Failed to drill: `; `INVALID_ARGUMENT` for a bad assertion.
   */
  drill(options?: DrillOptions): Promise<DrillResult>;

  /** The last hundred drills, and older ones that still count, newest first. */
  drills(options?: SnapshotOptions): Promise<DrillResult[]>;

  /**
   * Looks for everything that could go wrong, and says what to do. Changes nothing; in the bucket it tries
   * objects of its own and removes them again. What it cannot look at is a finding, not a rejection.
   */
  doctor(options?: SnapshotOptions): Promise<DoctorResult>;

  /**
   * The state of database and repository, judged: is there something to do? Only reads. Waits for locks
   * 5 seconds, unless `lockTimeoutMs` is given, and for the bucket 10.
   */
  status(options?: SnapshotOptions): Promise<StatusResult>;

  /**
   * The metrics in the text format of Prometheus (`text/plain; version=0.0.4`). Asks neither the network
   * nor the database. The counters survive restarts; docs/health.md lists the names.
   */
  metrics(options?: SnapshotOptions): Promise<string>;

  /** Empties the database after a safety backup, keeping its schema. Kept for compatibility. */
  _resetDatabase(options?: SnapshotOptions): Promise<ResetResult>;

  /** The present time in ISO form with `:` and `.` replaced by `-`. */
  _generateTimestamp(): string;

  /** SHA-256 of a file in lower-case hex. */
  _generateChecksum(file: string): Promise<string>;
}

/** The default instance, configured by the environment alone. */
export declare const snapshotWriter: SnapshotWriter;
