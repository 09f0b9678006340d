// Types of what the smaller calls resolve to; index.d.ts hands them on.

export interface VerifyResult {
  ok: boolean;
  level: 'structure' | 'data' | 'database';
  /** One sentence each; empty when `ok`. */
  problems: string[];
  /** What could not be judged, and content that breaks a rule of the schema, one sentence each; absent when nothing. */
  unjudged?: string[];
}

export interface ExportResult {
  /** Absolute path of the file. */
  path: string;
  /** Bytes. */
  size: number;
  /** SHA-256 in lower-case hex. */
  checksum: string;
}

export interface DeleteResult {
  name: string;
  /** Bytes that the local repository is smaller by. */
  freedBytes: number;
}

export interface ResetResult {
  success: true;
  /** Where the state before the reset is kept. */
  backupPath: string;
  message: string;
}
