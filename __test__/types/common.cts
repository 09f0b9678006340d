// Compiled, never run: the same from CommonJS.

import snapshotWriter = require('snapshot-writer/snapshotWriter.cjs');
import { SnapshotWriter } from 'snapshot-writer';

const writer: SnapshotWriter = snapshotWriter;
export const empty: Promise<boolean> = writer.isDatabaseEmpty();
