// Types of what has to do with keeping and removing snapshots; index.d.ts hands them on.

import type { SnapshotInfo, SnapshotOptions, SnapshotTier } from '../index.js';

/**
 * Rules of retention, as restic has them, in UTC. A snapshot is kept when at least one rule keeps it.
 * `keepHourly` to `keepYearly` keep the newest snapshot of each of the last so many hours, days, ISO
 * weeks, months or years that have any; while such a rule is not full, it keeps the oldest snapshot, too.
 */
export interface RetentionPolicy {
  keepLast?: number;
  keepHourly?: number;
  keepDaily?: number;
  keepWeekly?: number;
  keepMonthly?: number;
  keepYearly?: number;
  /**
   * Everything younger than that, seen from the newest snapshot: a number and `h`, `d`, `w`, `m` (months)
   * or `y`, such as `36h` or `7d`.
   */
  keepWithin?: string;
}

/** Options of {@link SnapshotWriter.listSnapshots}. */
export interface ListOptions extends SnapshotOptions {
  /** Lists those in the trash as well. Default: `false`. */
  deleted?: boolean;
}

/** Options of {@link SnapshotWriter.prune}. */
export interface PruneOptions extends SnapshotOptions, RetentionPolicy {
  /** Prunes there alone. Default: both. */
  tier?: SnapshotTier;
  /** Only tells what would be done. Default: `false`. */
  dryRun?: boolean;
  /**
   * Deletes for good at once what the policy does not keep, and all that is in the trash and may go. Needs no
   * room on the disk, so it is what empties a full one. Default: `false`.
   */
  now?: boolean;
}

/** What a prune does to one snapshot, and why. */
export interface PruneLine {
  name: string;
  createdAt: Date;
  /** Where. */
  tiers: SnapshotTier[];
  /**
   * Of a kept one: what keeps it, such as `daily, 2026-11-20`, `last 3 of 10`, `pinned`, `newest verified`,
   * `before a collapse`, `not in the bucket yet` or `dated in the future`. Of a removed one: why each rule does not.
   */
  reasons: string[];
  /** Its place among all that are kept and removed: 0 is the newest. */
  place: number;
}

/**
 * A loss of content: an empty snapshot after one that was not, or less than half of the rows or bytes of
 * the one before.
 */
export interface Collapse {
  id: string;
  /** The first snapshot after it. */
  name: string;
  createdAt: Date;
  /** What was lost, in a sentence. */
  reason: string;
}

/** Outcome of {@link SnapshotWriter.prune}; of a dry run what it would be. */
export interface PruneResult {
  dryRun: boolean;
  /** Newest first. */
  kept: PruneLine[];
  /**
   * Those that went into the trash, where `undelete` finds them for {@link SnapshotOptions.trashGraceMs}; with
   * `now` those among them that are in `swept` as well are gone.
   */
  removed: PruneLine[];
  /** Names of those that were in the trash for long enough, or with `now` at all, and are deleted for good. */
  swept: string[];
  /** Bytes that the local repository is smaller by; 0 for a dry run. */
  freedBytes: number;
  /** Packs of which little was needed and that were rewritten; `null` when none was. */
  repacked: {
    /** Number of snapshots whose pages moved. */
    snapshots: number;
    packsBefore: number;
    packsAfter: number;
    bytesWritten: number;
    bytesFreed: number;
  } | null;
  /** A loss that nobody has acknowledged: nothing from before it is removed. */
  collapse: Collapse | null;
  /** Why the bucket was left out; the local tier was pruned all the same. */
  bucketFailure: { code: string; message: string } | null;
}

/** Outcome of {@link SnapshotWriter.acknowledge}. */
export interface AcknowledgeResult {
  /** What was acknowledged; `null` when there was nothing. */
  acknowledged: Collapse | null;
}

/** The methods of {@link SnapshotWriter} that are about it. */
export interface RetentionMethods {
  /**
   * Removes the snapshots that a retention policy does not keep, and rewrites packs of which little is
   * needed. Never removed: the newest verified snapshot, pinned ones, those that are not in the bucket
   * yet, what came before a collapse, what is being read (then it waits, up to `lockTimeoutMs`).
   * @throws {SnapshotError} message starts `Failed to prune: `. `RETENTION_POLICY_INVALID`: it keeps nothing,
   *   or cannot be understood; nothing was deleted.
   */
  prune(options: PruneOptions): Promise<PruneResult>;

  /** Protects a snapshot from `prune` and `deleteSnapshot`; with S3 on every host of the bucket. */
  pinSnapshot(name: string, options?: SnapshotOptions): Promise<SnapshotInfo>;

  unpinSnapshot(name: string, options?: SnapshotOptions): Promise<SnapshotInfo>;

  /** Brings back what `prune` removed. @throws {SnapshotError} `SNAPSHOT_NOT_FOUND`: it is not in the trash. */
  undelete(name: string, options?: SnapshotOptions): Promise<SnapshotInfo>;

  /** Says that a loss of content was meant: what came before it need not be kept any longer. */
  acknowledge(options?: SnapshotOptions): Promise<AcknowledgeResult>;
}
