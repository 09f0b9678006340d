import { SnapshotWriter } from './index.js';

/** The default instance, shared by every file that requires it. */
declare const snapshotWriter: SnapshotWriter;
export = snapshotWriter;
