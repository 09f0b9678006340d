import { SnapshotRecovery } from './index.js';

/** The default instance, shared by every file that requires it. */
declare const snapshotRecovery: SnapshotRecovery;
export = snapshotRecovery;
