// Types of what has to do with the bucket; index.d.ts hands them on.

import type { SnapshotOptions, SnapshotWriter } from '../index.js';

/**
 * Where the bucket is. What is left out comes from the environment. Credentials are never options: the
 * AWS SDK finds them by its own chain (variables, profile, role).
 */
export interface S3Options {
  /** Name of the bucket. Default: `S3_BUCKET`; with neither, S3 is off. */
  bucket?: string;
  /** What every key begins with, such as `snapshots/`; empty or `/` for nothing. Default: `S3_PREFIX`, else `snapshots/`. */
  prefix?: string;
  /** Default: what the AWS SDK finds, such as `AWS_REGION`. */
  region?: string;
  /**
   * Address of a server other than AWS, `http:` or `https:`, without user name, password, query and
   * fragment. Default: what the AWS SDK finds, such as `AWS_ENDPOINT_URL`.
   */
  endpoint?: string;
  /**
   * Whether the bucket is a part of the path rather than of the host name.
   * Default: `S3_FORCE_PATH_STYLE`, else `true` for IP addresses and localhost.
   */
  forcePathStyle?: boolean;
}

/** Options of {@link SnapshotWriter.sync}. */
export interface SyncOptions extends SnapshotOptions {
  /** `up`: to the bucket. `down`: from it. Default: `'up'`. */
  direction?: 'up' | 'down' | 'both';
}

/** Outcome of {@link SnapshotWriter.sync}. */
export interface SyncResult {
  /** Names of the snapshots that are in the bucket now. */
  uploaded: string[];
  /** Names of the snapshots that are here now. */
  downloaded: string[];
  /** What could not be mirrored or is not to be, with the reason. */
  skipped: { name: string; reason: string }[];
  bytesUploaded: number;
  bytesDownloaded: number;
}

/** One test of {@link SnapshotWriter.checkStorage}. */
export interface StorageCheck {
  name: string;
  ok: boolean;
  /** Whether S3 cannot be used without it. */
  required: boolean;
  /** What was seen, in a sentence; may be empty. */
  detail: string;
  /** The IAM action that it needs, such as `s3:PutObject`. */
  permission: string | null;
}

/** Outcome of {@link SnapshotWriter.checkStorage}. */
export interface StorageCheckResult {
  /** Whether every required check passed. */
  ok: boolean;
  bucket: string;
  prefix: string;
  /** `null`: AWS's own. */
  endpoint: string | null;
  region: string | null;
  /** Where the credentials were found, never what they are; `null` when there are none. */
  credentials: string | null;
  /** Whether several hosts can delete safely; `null` when that could not be tested. */
  conditionalWrites: boolean | null;
  /** IAM actions that were refused. */
  missingPermissions: string[];
  checks: StorageCheck[];
}

/** A command of the AWS SDK: a `DeleteObjectCommand` or a `HeadObjectCommand`. */
export interface S3Command {
  readonly input: { Bucket?: string | undefined; Key?: string | undefined };
}

/** What the AWS SDK answers; all but `$metadata` for `HeadObjectCommand` only. */
export interface S3CommandOutput {
  $metadata: { httpStatusCode: number };
  /** Bytes of the object at that key. */
  ContentLength?: number;
  LastModified?: Date;
  ETag?: string;
  Metadata?: { sha256?: string };
}

/** Serves the application's own clean-up, which deletes old snapshots with commands of the AWS SDK. */
export interface SnapshotS3Client {
  /**
   * Serves `DeleteObjectCommand` and `HeadObjectCommand` for the `s3Key` of a snapshot in our bucket.
   * Deleting a key deletes that snapshot and nothing that another one needs.
   * @throws {SnapshotError} message starts `Failed to send command: `. `INVALID_ARGUMENT` for other commands,
   *   another bucket, or inputs other than `Bucket` and `Key`. A key that does not exist rejects
   *   `HeadObjectCommand` as the SDK does: `name` is `NotFound`, `$metadata.httpStatusCode` 404
   *   (`code` is `SNAPSHOT_NOT_FOUND`).
   */
  send(command: S3Command): Promise<S3CommandOutput>;
}
