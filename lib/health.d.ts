// Types of what watches over the snapshots; index.d.ts hands them on.

import type { SnapshotInfo } from '../index.js';

/** `warning`: look at it in working hours. `critical`: now. */
export type Verdict = 'ok' | 'warning' | 'critical';

/** What was looked at. `database` only where one is configured, `upload` and `bucket` only with S3 on. */
export type StatusCheckName =
  | 'database'
  | 'age'
  | 'newest'
  | 'clock'
  | 'upload'
  | 'bucket'
  | 'drill'
  | 'integrity'
  | 'collapse'
  | 'manifests'
  | 'restore'
  | 'disk'
  | 'growth';

/** One verdict of {@link SnapshotWriter.status}. */
export interface StatusCheck {
  name: StatusCheckName;
  verdict: Verdict;
  /** What was seen, with numbers, and what to do when it is not `ok`. Prose; may name paths and snapshots. */
  reason: string;
  /**
   * The number behind it, `null` when it is not known. `database`: bytes of the file. `age`: seconds since the newest
   * good snapshot. `newest`: snapshots that are known to be damaged. `upload`: snapshots that wait. `bucket`, `integrity`: 1 is good,
   * 0 bad. `drill`: seconds since the last one, from the bucket with S3 on. `collapse`, `restore`: 1 when there is one. `manifests`: damaged ones. `disk`: free bytes. `growth`:
   * bytes a day.
   */
  value: number | null;
}

/** Outcome of {@link SnapshotWriter.status}. */
export interface StatusResult {
  /** No check is `critical`. */
  healthy: boolean;
  /** The worst of the checks. */
  verdict: Verdict;
  checks: StatusCheck[];
  databasePath: string | null;
  snapshotDir: string;
  /** Number of snapshots of every kind, in the whole repository. */
  snapshots: number;
  /** Newest one of the configured database. */
  latest: SnapshotInfo | null;
  /** Bytes of all packs and manifests of the local repository. */
  storedBytes: number;
  /** Whether a restore was interrupted; the next operation finishes it. */
  unfinishedRestore: boolean;
  /** The configured bucket; `null` when S3 is off. */
  bucket: string | null;
  /** Snapshots of the configured database that are complete here and not yet in the bucket. */
  pendingUploads: number;
}
