'use strict';

// Backups before risky operations, and the way back.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const { test } = require('node:test');
const Database = require('better-sqlite3');
const { SnapshotRecovery, SnapshotWriter } = require('../../index.js');
const { catalogRow, contentOf, countRows, createDatabase, withDatabase } = require('../support/database.js');
const { fingerprint, flipBit } = require('../support/files.js');
const {
  addRealities,
  breakIndex,
  makeRecoveryRig,
  manifests,
  names,
  packs,
} = require('../support/recovery.js');
const { assertAllVerify, makeRig, refused } = require('../support/rig.js');

for (const journalMode of ['delete', 'wal']) {
  test(`a rollback brings back data, and the table lists every snapshot again (${journalMode})`, async (t) => {
    const rig = makeRecoveryRig(t);
    createDatabase(rig.database, { journalMode, megabytes: 1 });
    await rig.writer.createSnapshot('before');
    const before = contentOf(rig.database);
    const metadata = { ticket: 'OPS-7', steps: ['a', 'b'] };
    const { success, backup, durationMs } = await rig.recovery.createPreOperationBackup(
      'migration',
      metadata,
    );

    assert.equal(success, true);
    assert.ok(durationMs > 0);
    assert.match(backup.name, /^pre_migration_\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d-\d{3}Z$/);
    assert.ok(backup.createdAt instanceof Date);
    assert.ok(fs.existsSync(backup.path) && backup.path.startsWith(rig.recoveryDir));
    assert.equal(catalogRow(rig.database, backup.name), undefined, 'the clean-up would count its row');

    await rig.writer.createSnapshot('after');
    addRealities(rig.database, 5);
    const after = contentOf(rig.database);
    const open = new Database(rig.database);
    rig.defer(() => open.close());
    const rows = open.prepare('SELECT count(*) FROM Reality').pluck();
    assert.equal(rows.get(), 8);
    const { snapshot } = await rig.recovery.rollbackToPreOperationBackup(backup.name);
    assert.equal(rows.get(), 3, 'an open connection sees it');
    assert.deepEqual([snapshot.name, snapshot.restoreStatus], [backup.name, 'SUCCESS']);
    assert.equal(snapshot.s3Key, backup.path);
    assert.ok(snapshot.lastRestoredAt instanceof Date);
    assert.equal(contentOf(rig.database), before);
    assert.deepEqual(names(rig.database), ['after', 'before']);

    const status = await rig.recovery.getRecoveryStatus();
    assert.deepEqual(status.backups, [{ ...backup, type: 'migration', metadata, damaged: false }]);
    assert.equal(status.recoveryDir, rig.recoveryDir);
    assert.ok(status.storedBytes > 0);
    assert.deepEqual(
      [status.unfinishedRestore, status.lastRestore.snapshot, status.lastRestore.status],
      [false, backup.name, 'SUCCESS'],
    );

    await rig.writer.undoRestore();
    assert.equal(contentOf(rig.database), after, 'the main repository kept what the rollback overwrote');
    // The next snapshot and bootstrap still know whose snapshots these are.
    const { lineage } = await rig.writer.getSnapshot('before');
    await rig.writer.createSnapshot('last');
    assert.equal((await rig.writer.getSnapshot('last')).lineage, lineage);
    await assertAllVerify(rig.writer);
  });
}

test('folder and database come from the environment', async (t) => {
  const rig = makeRig(t);
  createDatabase(rig.database);
  process.env.DATABASE_URL = `file:${rig.database}`;
  t.after(() => ['DATABASE_URL', 'RECOVERY_DIR', 'SNAPSHOT_DIR'].forEach((name) => delete process.env[name]));
  const recovery = require('../../snapshotRecovery.cjs');
  recovery.log = rig.log;
  t.after(() => (recovery.log = null));

  await recovery.createPreOperationBackup('first');
  assert.equal(manifests(rig.path('recovery')).length, 1, 'beside the database by default');
  process.env.RECOVERY_DIR = rig.path('elsewhere');
  await recovery.createPreOperationBackup('second');
  assert.equal(manifests(rig.path('elsewhere')).length, 1);
  assert.equal(manifests(rig.path('recovery')).length, 1);

  process.env.SNAPSHOT_DIR = rig.path('folder', '..', 'elsewhere');
  const error = await refused(recovery.createPreOperationBackup('third'), 'INVALID_ARGUMENT');
  assert.match(error.message, /^Failed to create pre-operation backup: RECOVERY_DIR and SNAPSHOT_DIR/);
});

test('a backup needs no bucket, not even a well configured one', async (t) => {
  Object.assign(process.env, { S3_BUCKET: 'nowhere', S3_FORCE_PATH_STYLE: 'perhaps' });
  t.after(() => ['S3_BUCKET', 'S3_FORCE_PATH_STYLE'].forEach((name) => delete process.env[name]));
  const rig = makeRecoveryRig(t);
  createDatabase(rig.database);
  await refused(rig.writer.createSnapshot('x'), 'INVALID_ARGUMENT');
  const { backup } = await rig.recovery.createPreOperationBackup('x');
  assert.equal(backup.damaged, false);
  assert.equal((await rig.recovery.validateDatabaseIntegrity()).valid, true);
  assert.equal((await rig.recovery.getRecoveryStatus()).backups.length, 1);
});

test('arguments are refused before anything is made', async (t) => {
  const rig = makeRecoveryRig(t);
  createDatabase(rig.database);
  const circular = {};
  circular.self = circular;
  for (const metadata of ['text', 5, [], circular, { big: 'x'.repeat(20_000) }, { value: 1n }]) {
    await refused(rig.recovery.createPreOperationBackup('x', metadata), 'INVALID_ARGUMENT');
  }
  await refused(rig.recovery.createPreOperationBackup(''), 'SNAPSHOT_NAME_INVALID');
  await refused(rig.recovery.createPreOperationBackup('x'.repeat(180)), 'SNAPSHOT_NAME_INVALID');
  await refused(rig.recovery.cleanupOldRecoveryBackups(-1), 'INVALID_ARGUMENT');
  const unknown = await refused(rig.recovery.rollbackToPreOperationBackup('nope'), 'SNAPSHOT_NOT_FOUND');
  assert.match(unknown.message, /^Failed to roll back to pre-operation backup: .*Snapshot not found: nope/);
  assert.deepEqual(manifests(rig.recoveryDir), []);
  assert.equal(fs.existsSync(rig.snapshotDir), false);
  assert.throws(() => new SnapshotRecovery({ recoverDir: 'x' }), /did you mean "recoveryDir"/);
  assert.throws(() => new SnapshotWriter({ recoveryDir: 'x' }), /unknown option "recoveryDir"/);
});

test('a damaged database is backed up for forensics only', async (t) => {
  const rig = makeRecoveryRig(t, { check: 'full' });
  createDatabase(rig.database);
  breakIndex(rig.database);
  await refused(rig.recovery.createPreOperationBackup('repair', { by: 'me' }), 'CHECK_FAILED');
  const { backups } = await rig.recovery.getRecoveryStatus();
  assert.deepEqual(
    backups.map(({ damaged, type, metadata }) => ({ damaged, type, metadata })),
    [{ damaged: true, type: 'repair', metadata: { by: 'me' } }],
  );
  const before = fingerprint(rig.folder);
  await refused(rig.recovery.rollbackToPreOperationBackup(backups[0].name), 'SNAPSHOT_DAMAGED');
  assert.deepEqual(
    fingerprint(rig.folder).filter((line) => line.startsWith('app.db')),
    before.filter((line) => line.startsWith('app.db')),
  );
});

test('a damaged backup is called damaged, and changes nothing', async (t) => {
  const rig = makeRecoveryRig(t);
  createDatabase(rig.database);
  const { backup } = await rig.recovery.createPreOperationBackup('x');
  addRealities(rig.database, 2);
  flipBit(backup.path, 0.5);
  await refused(rig.recovery.rollbackToPreOperationBackup(backup.name), 'SNAPSHOT_DAMAGED');
  assert.equal(countRows(rig.database, 'Reality'), 5);
});

test('a rollback is undone when the command after it fails', async (t) => {
  const rig = makeRecoveryRig(t, { postRestoreCommand: [process.execPath, '-e', 'process.exit(3)'] });
  createDatabase(rig.database);
  const { backup } = await rig.recovery.createPreOperationBackup('x');
  addRealities(rig.database, 2);
  await refused(rig.recovery.rollbackToPreOperationBackup(backup.name), 'POST_RESTORE_FAILED');
  assert.equal(countRows(rig.database, 'Reality'), 5);
});

test('rollbacks, backups and snapshots at once take turns', async (t) => {
  const rig = makeRecoveryRig(t);
  createDatabase(rig.database, { megabytes: 1 });
  const content = contentOf(rig.database);
  const { backup } = await rig.recovery.createPreOperationBackup('first');
  const outcomes = await Promise.allSettled([
    rig.recovery.rollbackToPreOperationBackup(backup.name),
    rig.recovery.recoverFromFailedRestore('x'),
    rig.writer.createSnapshot('a'),
    rig.recovery.createPreOperationBackup('second'),
    rig.recovery.validateDatabaseIntegrity(),
    rig.recovery.rollbackToPreOperationBackup(backup.name),
  ]);
  const failed = outcomes.filter(({ status }) => status === 'rejected').map(({ reason }) => reason.stack);
  assert.deepEqual(failed, []);
  assert.equal(contentOf(rig.database), content);
  await assertAllVerify(rig.writer);
});

test('after a failed restore a damaged database goes back to the newest state that is good', async (t) => {
  const rig = makeRecoveryRig(t, { check: 'none' });
  createDatabase(rig.database);
  await rig.writer.createSnapshot('oldest');
  addRealities(rig.database, 1);
  const good = contentOf(rig.database);
  const { backup } = await rig.recovery.createPreOperationBackup('good');
  addRealities(rig.database, 1);
  const { backup: rotten } = await rig.recovery.createPreOperationBackup('rotten');
  flipBit(rotten.path, 0.5);
  breakIndex(rig.database);
  const unsound = await rig.writer.createSnapshot('unsound', { check: 'none' });

  const result = await rig.recovery.recoverFromFailedRestore('whatever', 'it failed');
  assert.equal(result.state, 'rolledBack');
  assert.equal(result.snapshot.name, backup.name);
  assert.equal(result.error, 'it failed');
  assert.match(result.problems[0], /Broken/);
  assert.match(result.passedOver.join('\n'), new RegExp(`^${unsound.snapshot.name}: .*Broken`));
  assert.equal(contentOf(rig.database), good);
  assert.equal((await rig.recovery.validateDatabaseIntegrity()).valid, true);
});

test('a database without a good state is left as it is', async (t) => {
  const rig = makeRecoveryRig(t);
  createDatabase(rig.database);
  breakIndex(rig.database);
  const before = fs.readFileSync(rig.database);
  const error = await refused(rig.recovery.recoverFromFailedRestore('x'), 'DATABASE_CORRUPT');
  assert.match(error.message, /^Failed to recover from failed restore: .*nothing was changed/);
  assert.ok(fs.readFileSync(rig.database).equals(before));
});

test('what is no database, or gone, goes back to the newest good state', async (t) => {
  const rig = makeRecoveryRig(t);
  createDatabase(rig.database);
  const content = contentOf(rig.database);
  await rig.recovery.createPreOperationBackup('x');
  fs.writeFileSync(rig.database, Buffer.alloc(8192, 0x5a));
  assert.equal((await rig.recovery.validateDatabaseIntegrity()).damaged, true);
  assert.equal((await rig.recovery.recoverFromFailedRestore('x')).state, 'rolledBack');
  assert.equal(contentOf(rig.database), content);
  fs.rmSync(rig.database);
  const { damaged, problems } = await rig.recovery.validateDatabaseIntegrity();
  assert.equal(damaged, true);
  assert.match(problems[0], /does not exist/);
  assert.equal((await rig.recovery.recoverFromFailedRestore('x')).state, 'rolledBack');
  assert.equal(contentOf(rig.database), content);
});

test('validating tells damage from broken foreign keys, and leaves nothing behind', async (t) => {
  const rig = makeRecoveryRig(t);
  createDatabase(rig.database, { megabytes: 1 });
  const validate = () => rig.recovery.validateDatabaseIntegrity();
  const { durationMs, ...verdict } = await validate();
  assert.deepEqual(verdict, { success: true, valid: true, damaged: false, problems: [] });
  assert.ok(durationMs > 0);
  assert.deepEqual([manifests(rig.recoveryDir), packs(rig.recoveryDir)], [[], []]);

  withDatabase(rig.database, (db) => {
    db.pragma('foreign_keys = OFF');
    db.exec('CREATE TABLE Child (id INTEGER PRIMARY KEY, parent TEXT REFERENCES Reality(id))');
    db.exec("INSERT INTO Child VALUES (1, 'nobody')");
  });
  const orphan = await validate();
  assert.deepEqual([orphan.valid, orphan.damaged], [false, false]);
  assert.match(orphan.problems.join(), /row 1 of Child points to a missing row of Reality/);
  await rig.recovery.createPreOperationBackup('x');
  const recovered = await rig.recovery.recoverFromFailedRestore('x');
  assert.equal(recovered.state, 'unchanged', 'data are not thrown away for a broken reference');

  const stored = fingerprint(rig.recoveryDir);
  breakIndex(rig.database);
  const broken = await validate();
  assert.deepEqual([broken.valid, broken.damaged], [false, true]);
  assert.match(broken.problems.join(), /Broken/);
  assert.deepEqual(fingerprint(rig.recoveryDir), stored);
});

test('an emergency reset keeps the schema, and a rollback takes it back', async (t) => {
  const rig = makeRecoveryRig(t);
  createDatabase(rig.database);
  await rig.writer.createSnapshot('a');
  const content = contentOf(rig.database);
  const { success, backup, backupPath, message } = await rig.recovery.emergencyDatabaseReset();
  assert.equal(success, true);
  assert.ok(backupPath.startsWith(rig.recoveryDir));
  assert.match(message, new RegExp(backup));
  assert.equal(countRows(rig.database, 'Reality'), 0);
  const { backups } = await rig.recovery.getRecoveryStatus();
  assert.deepEqual([backups[0].name, backups[0].type], [backup, 'emergency_reset']);

  await rig.recovery.rollbackToPreOperationBackup(backup);
  assert.equal(contentOf(rig.database), content);
  assert.deepEqual(names(rig.database), ['a']);
});

test('a database that cannot be backed up is not reset', async (t) => {
  const rig = makeRecoveryRig(t);
  fs.writeFileSync(rig.database, Buffer.alloc(8192, 0x5a));
  const error = await refused(rig.recovery.emergencyDatabaseReset(), 'DATABASE_INVALID');
  assert.match(error.message, /^Failed to reset database: /);
  assert.ok(fs.readFileSync(rig.database).equals(Buffer.alloc(8192, 0x5a)));
});

test('cleaning up goes by age and never takes the newest good backup', async (t) => {
  const rig = makeRecoveryRig(t);
  createDatabase(rig.database, { megabytes: 1 });
  const clean = (maxAge) => rig.recovery.cleanupOldRecoveryBackups(maxAge);
  assert.deepEqual(await clean(0), { success: true, deleted: [], kept: [], freedBytes: 0 });
  const made = [];
  for (const type of ['a', 'b', 'c']) {
    addRealities(rig.database, 1);
    made.push((await rig.recovery.createPreOperationBackup(type)).backup);
  }
  const [a, b, c] = made.map(({ name }) => name);
  assert.deepEqual((await clean()).deleted, [], 'a week is not over');

  // Every pack that only the newest one needs: its data, not its manifest.
  const inUse = packs(rig.recoveryDir);
  flipBit(inUse.sort((one, other) => fs.statSync(one).mtimeMs - fs.statSync(other).mtimeMs).at(-1), 0.5);
  const { deleted, kept, freedBytes } = await clean(0);
  assert.deepEqual([deleted, kept], [[a, c], [b]]);
  assert.ok(freedBytes > 0);
  const { backups } = await rig.recovery.getRecoveryStatus();
  assert.deepEqual(
    backups.map(({ name, type }) => [name, type]),
    [[b, 'b']],
  );
  await rig.recovery.rollbackToPreOperationBackup(b);
  assert.equal(countRows(rig.database, 'Reality'), 5);
});
