// Compiled, never run: the same from CommonJS.

import snapshotWriter = require('snapshot-writer/snapshotWriter.cjs');
import snapshotRecovery = require('snapshot-writer/snapshotRecovery.cjs');
import { SnapshotRecovery, SnapshotWriter } from 'snapshot-writer';

const writer: SnapshotWriter = snapshotWriter;
export const recovery: SnapshotRecovery = snapshotRecovery;
export const empty: Promise<boolean> = writer.isDatabaseEmpty();
