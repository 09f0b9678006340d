// Compiled, never run: the types that an application relies on.

import { SnapshotError, SnapshotWriter, snapshotWriter } from 'snapshot-writer';
import type { SnapshotInfo, SnapshotRecord } from 'snapshot-writer';
import instance from 'snapshot-writer/snapshotWriter.cjs';

const writer: SnapshotWriter = new SnapshotWriter({ lockTimeoutMs: 5_000, log: console });
const same: SnapshotWriter = instance;
same.log = { warn: (message: string) => message.length };
same.log = null;

const { success, snapshot, durationMs } = await writer.createSnapshot('a', {
  signal: AbortSignal.timeout(1000),
  onProgress: ({ phase, done, total }) => `${phase} ${done / total}`,
});
const created: Date = snapshot.createdAt;
const restored: Date | null = snapshot.lastRestoredAt;
const record: SnapshotRecord = (await snapshotWriter.restoreFromSnapshot(snapshot.name)).snapshot;
const list: SnapshotInfo[] = await writer.listSnapshots();

const { bootstrapped, snapshot: source, error } = await writer.bootstrapDatabase();
const when: Date | undefined = source?.timestamp;

await writer.verifySnapshot('a', { level: 'database' });
// @ts-expect-error a level belongs to verifySnapshot alone
await writer.createSnapshot('a', { level: 'data' });
// @ts-expect-error misspelt
new SnapshotWriter({ lockTimeout: 5 });
// @ts-expect-error a name is needed
await writer.restoreFromSnapshot();

try {
  await writer.undoRestore();
} catch (failure) {
  if (failure instanceof SnapshotError && failure.code === 'UNDO_CONFLICT') console.log(failure.cause);
}

export { success, durationMs, created, restored, record, list, bootstrapped, error, when };
