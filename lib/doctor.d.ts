// Types of the diagnosis; index.d.ts hands them on.

/** `unknown`: it could not be looked at, and the finding says why. */
export type DoctorVerdict = 'ok' | 'unknown' | 'warning' | 'problem';

export interface DoctorFinding {
  /**
   * What was looked at: `url`, `folder`, `bucket`, `database`, `journal`, `catalog`, `size`, `migrations`,
   * `processes`, `copies`, `versions`, `space`, `repository`, `disk`, `clock`, `node`, `pm2` or `worker`.
   */
  check: string;
  verdict: DoctorVerdict;
  /** What was seen. */
  finding: string;
  /** What to do; `null` where there is nothing to do. */
  advice: string | null;
}

/** Outcome of {@link SnapshotWriter.doctor}. */
export interface DoctorResult {
  /** Whether there is no `problem`. */
  ok: boolean;
  /** The worst one. */
  verdict: DoctorVerdict;
  findings: DoctorFinding[];
}
