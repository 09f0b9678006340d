// Types of restore drills; index.d.ts hands them on.

import type { ReadOptions, SnapshotTier } from '../index.js';

/** How a drill or a check of it came out. `inconclusive`: it could not be done, so nothing is known. */
export type DrillOutcome = 'passed' | 'failed' | 'inconclusive';

/**
 * What must hold in the restored data: one SELECT that gives one value, and what that value must be.
 * Exactly one of `equals`, or `min` and/or `max`.
 */
export interface DrillAssertion {
  /** Names the assertion in the report; no two may have the same. */
  name: string;
  sql: string;
  equals?: number | string | null;
  min?: number;
  max?: number;
}

/** Options of {@link SnapshotWriter.drill}. */
export interface DrillOptions extends ReadOptions {
  /** The snapshot to drill. Default: the newest one of the database. */
  name?: string;
  assertions?: DrillAssertion[];
  /** A JSON file with an array of assertions. Relative paths start at the working directory. */
  assertionsFile?: string;
  /**
   * Share by which the number of rows of a table may differ from the live database before the drill
   * fails, 0 to 1. Differences of fewer than ten rows never count. Default: 0.5.
   */
  maxDrift?: number;
  /** Time limit of each assertion in milliseconds. Default: 30000. */
  assertionTimeoutMs?: number;
}

export interface DrillCheck {
  /** `image`, `bucket`, `integrity_check`, `foreign_key_check`, `content`, `row_counts`, `migrations` or `assertion: <name>`. */
  name: string;
  outcome: DrillOutcome;
  /** What was seen, in a sentence. */
  detail: string;
  /** What could not be judged although the check passed, one sentence each; absent when nothing. */
  unjudged?: string[];
}

/** Outcome of {@link SnapshotWriter.drill}. */
export interface DrillResult {
  id: string;
  outcome: DrillOutcome;
  /** What failed, or why nothing can be said; `null` when it passed. */
  reason: string | null;
  /** `null` when there was none to drill. */
  snapshot: { name: string; id: string; createdAt: Date; sequence: number | null } | null;
  /** The tier that was asked for; `null`: both, local first. */
  tier: SnapshotTier | null;
  /** Lineage of the database that it was about; `null` when nobody knows. */
  lineage: string | null;
  /** Whether it was about the newest snapshot of the database. Only then do `status` and the metrics count it. */
  newest: boolean;
  /** Recovery time: milliseconds that finding, assembling and verifying the database took. */
  rtoMs: number | null;
  /** Age of the data in milliseconds: what would be lost. */
  rpoMs: number | null;
  checks: DrillCheck[];
  at: Date;
}
