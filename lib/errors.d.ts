// Types of what goes wrong; index.d.ts hands them on.

/**
 * Codes of this package's JavaScript side and those about S3; the engine adds its own, such as
 * `SNAPSHOT_NOT_FOUND` or `REPOSITORY_BUSY`. All of them: docs/errors.md.
 */
export type SnapshotErrorCode =
  | 'INVALID_ARGUMENT'
  | 'SNAPSHOT_NAME_INVALID'
  | 'DATABASE_URL_MISSING'
  | 'DATABASE_URL_UNSUPPORTED'
  | 'WORKER_NOT_ALLOWED'
  | 'WORKER_FAILED'
  | 'ABORTED'
  | 'UPLOAD_FAILED'
  | 'S3_CREDENTIALS'
  | 'S3_ACCESS_DENIED'
  | 'S3_BUCKET_NOT_FOUND'
  | 'S3_REGION_WRONG'
  | 'S3_UNREACHABLE'
  | 'S3_CLOCK_SKEW'
  | 'S3_UNSUPPORTED'
  | 'S3_DISABLED'
  | 'S3_FAILED'
  | (string & {});

/** Every rejection of this package. The prefix of `message` and `code` are API, the rest is prose. */
export declare class SnapshotError extends Error {
  constructor(code: string, message: string, cause?: unknown);
  /** `NotFound` where {@link SnapshotS3Client.send} rejects as the AWS SDK does. */
  readonly name: 'SnapshotError' | 'NotFound';
  /** Stable and upper-case. */
  readonly code: SnapshotErrorCode;
  /** The inner error. */
  readonly cause?: unknown;
}
