// Compiled, never run: the types that an application relies on.

import { SnapshotError, SnapshotRecovery, SnapshotWriter, snapshotWriter } from 'snapshot-writer';
import type {
  DrillOutcome,
  PruneResult,
  SnapshotInfo,
  SnapshotRecord,
  SnapshotTier,
  StorageCheck,
  Verdict,
} from 'snapshot-writer';
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

const rescued: SnapshotRecord = (await writer.rescueDatabase(null, { lockTimeoutMs: 1 })).snapshot;
await writer.restoreFromSnapshot(rescued.name, { tier: 'local', force: true });

const { bootstrapped, snapshot: source, error } = await writer.bootstrapDatabase({ force: false });
const when: Date | undefined = source?.timestamp;

await writer.verifySnapshot('a', { level: 'database' });
// @ts-expect-error a level belongs to verifySnapshot alone
await writer.createSnapshot('a', { level: 'data' });

const { healthy, verdict, checks: judged, latest } = await writer.status();
const verdicts: Verdict[] = judged.map((check) => ((check.value ?? 0) > 0 ? check.verdict : verdict));
const text: string = healthy && latest ? latest.name : await writer.metrics();

const remote = new SnapshotWriter({
  s3: {
    bucket: 'b',
    prefix: 'p/',
    region: 'eu-central-1',
    endpoint: 'http://127.0.0.1:8333',
    forcePathStyle: true,
  },
  deleteGraceMs: 3_600_000,
});
new SnapshotWriter({ s3: false });
// @ts-expect-error credentials are no options
new SnapshotWriter({ s3: { bucket: 'b', accessKeyId: 'x' } });
const { uploaded, skipped, bytesDownloaded } = await remote.sync({ direction: 'both' });
const reasons: string[] = skipped.map(({ name, reason }) => `${name}: ${reason}` + bytesDownloaded.toFixed());
const { ok, checks, conditionalWrites } = await remote.checkStorage();
const failed: StorageCheck[] = checks.filter((check) => check.required && !check.ok);
const tiers: SnapshotTier[] | undefined = list[0]?.tiers;
await remote.verifySnapshot('a', { tier: 's3', level: 'structure' });
await remote.restoreFromSnapshot('a', { tier: 'local' });
await remote.exportSnapshot('a', 'a.db', { tier: 's3' });
// @ts-expect-error both is what it does anyway
await remote.exportSnapshot('a', 'a.db', { tier: 'both' });
// @ts-expect-error a tier belongs to reading
await remote.createSnapshot('a', { tier: 's3' });

const drill = await writer.drill({
  tier: 's3',
  maxDrift: 0.2,
  assertions: [{ name: 'rows', sql: 'SELECT count(*) FROM Reality', min: 1 }],
});
const drilledAt: Date | undefined = drill.snapshot?.createdAt;
const outcomes: DrillOutcome[] = (await writer.drills()).map(({ outcome }) => outcome);
// @ts-expect-error a value has to be expected
await writer.drill({ assertions: [{ name: 'rows', sql: 'SELECT 1', equals: true }] });
const { findings } = await writer.doctor();
const advice: (string | null)[] = findings.map((finding) => finding.advice);

// As the SDK declares its commands.
class HeadObjectCommand {
  constructor(
    readonly input: { Bucket: string | undefined; Key: string | undefined; Range?: string | undefined },
  ) {}
}
const { ContentLength, LastModified } =
  (await remote.s3Client?.send(new HeadObjectCommand({ Bucket: 'b', Key: 'k' }))) ?? {};
const bytes: number | undefined = ContentLength;
const modified: Date | undefined = LastModified;

const pruned: PruneResult = await writer.prune({
  keepLast: 10,
  keepWithin: '7d',
  tier: 'local',
  dryRun: true,
});
const why: string[] | undefined = pruned.removed[0]?.reasons;
const { pinned, deletedAt } = await writer.pinSnapshot('a');
await writer.unpinSnapshot('a', { trashGraceMs: 0 });
const inTrash: (Date | null)[] = (await writer.listSnapshots({ deleted: true })).map((one) => one.deletedAt);
const loss: string | undefined = (await writer.acknowledge()).acknowledged?.reason;
const back: SnapshotInfo = await writer.undelete('a');
// @ts-expect-error a rule belongs to prune
await writer.createSnapshot('a', { keepLast: 10 });
// @ts-expect-error misspelt
await writer.prune({ keepLasts: 10 });

// @ts-expect-error misspelt
new SnapshotWriter({ lockTimeout: 5 });
// @ts-expect-error a name is needed
await writer.restoreFromSnapshot();

try {
  await writer.undoRestore();
} catch (failure) {
  if (failure instanceof SnapshotError && failure.code === 'S3_UNREACHABLE') console.log(failure.cause);
}

const recovery = new SnapshotRecovery({ recoveryDir: 'kept', log: console });
const { backup } = await recovery.createPreOperationBackup('migration', { ticket: 7 });
const before: string = (await recovery.rollbackToPreOperationBackup(backup.name)).snapshot.name;
const { state } = await recovery.recoverFromFailedRestore('a', new Error('x'));
const changed: boolean = state === 'rolledBack';
const { valid, problems } = await recovery.validateDatabaseIntegrity();
const emptied: string = (await recovery.emergencyDatabaseReset()).backup;
const { deleted } = await recovery.cleanupOldRecoveryBackups(86_400_000);
const lastAt: Date | undefined = (await recovery.getRecoveryStatus()).lastRestore?.at;
// @ts-expect-error metadata is an object
await recovery.createPreOperationBackup('migration', 'text');
// @ts-expect-error a folder of backups is none of the writer's options
new SnapshotWriter({ recoveryDir: 'kept' });

export { before, changed, valid, problems, emptied, deleted, lastAt };
export { success, durationMs, created, restored, record, list, bootstrapped, error, when };
export { verdicts, text };
export { drilledAt, outcomes, advice };
export { uploaded, reasons, ok, failed, conditionalWrites, tiers, bytes, modified };
export { why, pinned, deletedAt, inTrash, loss, back };
