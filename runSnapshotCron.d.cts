import { Collapse, RetentionPolicy, SnapshotLog, SnapshotRecord, SnapshotWriter } from './index.js';

/** Runs the command line (`process.argv` by default) and resolves with the exit code, 0 or 1. */
export function main(argv?: string[]): Promise<number>;

/** Takes one snapshot and applies the retention. Never rejects: what went wrong is logged and in `error`. */
export function runOnce(options?: RunOptions & { tick?: Tick }): Promise<RunOutcome>;

/**
 * Does so on a schedule. Resolves when `signal` was aborted and the run that was going on is over;
 * rejects when the settings are wrong.
 */
export function startDaemon(options?: DaemonOptions): Promise<void>;

export interface RunOptions {
  /** Default: one that is configured by the environment. */
  writer?: SnapshotWriter;
  /** Default: lines with the time on the console. */
  log?: SnapshotLog;
  /** Which snapshots stay. Default: the `SNAPSHOT_KEEP_…` variables, else the last 10. */
  keep?: RetentionPolicy;
  /** Which stay in the bucket. Default: `keep` is for both; with neither, the `SNAPSHOT_S3_KEEP_…` variables. */
  keepInBucket?: RetentionPolicy;
  /** Aborting it lets a snapshot finish; nothing else is begun. */
  signal?: AbortSignal;
}

export interface DaemonOptions extends RunOptions {
  /** A cron expression of five fields, or six with the seconds first. Default: `SNAPSHOT_CRON_SCHEDULE`. */
  schedule?: string;
  /** Only with `schedule`. Default: the system's. */
  timezone?: string;
  /** Called when the settings were found right. */
  onReady?: () => void;
}

/** A run that is due at one time: of all processes and hosts one makes it. */
export interface Tick {
  /** For people. */
  schedule: string;
  due: Date;
}

export interface RunOutcome {
  ok: boolean;
  /** False: somebody else makes the run, or nothing was begun. */
  ran: boolean;
  snapshot?: SnapshotRecord;
  /** Names of the snapshots that the retention has removed. */
  removed?: string[];
  /** A loss of content that nobody has acknowledged. The run is `ok`; the heartbeat says that it failed. */
  collapse?: Collapse;
  error?: Error;
}
