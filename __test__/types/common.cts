// Compiled, never run: the same from CommonJS.

import snapshotWriter = require('snapshot-writer/snapshotWriter.cjs');
import { main, runOnce, startDaemon } from 'snapshot-writer/runSnapshotCron.cjs';
import { SnapshotWriter } from 'snapshot-writer';

const writer: SnapshotWriter = snapshotWriter;
export const empty: Promise<boolean> = writer.isDatabaseEmpty();

export const exitCode: Promise<number> = main();
export const checksum: Promise<string | undefined> = runOnce({ writer, keep: { keepLast: 3 } }).then(
  ({ snapshot }) => snapshot?.checksum,
);
export const stopped: Promise<void> = startDaemon({ schedule: '0 3 * * *', timezone: 'UTC' });
// @ts-expect-error misspelt
startDaemon({ expression: '0 3 * * *' });
