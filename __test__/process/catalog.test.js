'use strict';

// The application's `Snapshot` table mirrors the repository, and never the other way round.

const assert = require('node:assert/strict');
const { randomUUID } = require('node:crypto');
const fs = require('node:fs');
const path = require('node:path');
const { test } = require('node:test');
const {
  catalogRow,
  contentOf,
  countRows,
  createDatabase,
  insertRealities,
  withDatabase,
} = require('../support/database.js');
const { withFailpoint } = require('../support/failpoints.js');
const { sha256 } = require('../support/files.js');
const { startConnection } = require('../support/processes.js');
const { makeRig, refused } = require('../support/rig.js');

const ISO = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00$/;
const catalogNames = (file) =>
  withDatabase(file, (db) => db.prepare('SELECT name FROM Snapshot ORDER BY name').pluck().all());

test('the row of a snapshot says what its result says', async (t) => {
  const rig = makeRig(t);
  createDatabase(rig.database);
  const { success, snapshot, durationMs } = await rig.writer.createSnapshot('image');
  assert.equal(success, true);
  assert.ok(durationMs > 0);

  const row = catalogRow(rig.database, 'image');
  for (const field of [
    'id',
    'name',
    's3Key',
    'checksum',
    'size',
    'status',
    'restoreStatus',
    'schemaVersion',
  ]) {
    assert.equal(row[field], snapshot[field], field);
  }
  for (const field of ['createdAt', 'updatedAt']) {
    assert.match(row[field], ISO, field);
    assert.equal(new Date(row[field]).getTime(), snapshot[field].getTime(), field);
  }
  assert.equal(row.status, 'COMPLETED');
  assert.equal(typeof snapshot.size, 'number');
  assert.ok(fs.existsSync(row.s3Key), 's3Key is the path of the manifest');
});

test('dates are written in the format that the table holds already', async (t) => {
  const rig = makeRig(t);
  createDatabase(rig.database);
  withDatabase(rig.database, (db) =>
    db
      .prepare(
        "INSERT INTO Snapshot (id, name, s3Key, checksum, size, createdAt, updatedAt) VALUES (?, 'old', '', '', 0, 1795384847166, 1795384847166)",
      )
      .run(randomUUID()),
  );
  const { snapshot } = await rig.writer.createSnapshot('new');
  const row = catalogRow(rig.database, 'new');
  assert.equal(row.createdAt, snapshot.createdAt.getTime());
  assert.equal(row.updatedAt, snapshot.updatedAt.getTime());
});

test('a failed snapshot leaves a FAILED row, and its name may be used again', async (t) => {
  const rig = makeRig(t);
  createDatabase(rig.database);
  await withFailpoint('create.before-manifest=fail', () =>
    refused(rig.writer.createSnapshot('again'), 'INTERNAL'),
  );
  const failed = catalogRow(rig.database, 'again');
  assert.equal(failed.status, 'FAILED');
  assert.deepEqual([failed.s3Key, failed.checksum, failed.size], ['', '', 0]);
  assert.match(failed.restoreMessage, /failpoint/);
  assert.deepEqual(await rig.writer.listSnapshots(), []);

  const { snapshot } = await rig.writer.createSnapshot('again');
  assert.equal(catalogRow(rig.database, 'again').status, 'COMPLETED');
  assert.equal(catalogRow(rig.database, 'again').id, snapshot.id);
  assert.equal(countRows(rig.database, 'Snapshot'), 1);
});

test('a restore rewinds the table, which then mirrors every snapshot again', async (t) => {
  const rig = makeRig(t);
  createDatabase(rig.database);
  await rig.writer.createSnapshot('first');
  await rig.writer.createSnapshot('second');
  await rig.writer.createSnapshot('third');

  const { snapshot } = await rig.writer.restoreFromSnapshot('first');

  assert.deepEqual(catalogNames(rig.database), ['first', 'second', 'third']);
  const row = catalogRow(rig.database, 'first');
  assert.equal(row.restoreStatus, 'SUCCESS');
  assert.equal(snapshot.restoreStatus, 'SUCCESS');
  assert.ok(snapshot.lastRestoredAt instanceof Date);
  assert.equal(new Date(row.lastRestoredAt).getTime(), snapshot.lastRestoredAt.getTime());
  assert.equal(catalogRow(rig.database, 'second').restoreStatus, null);
});

test('deleting rows deletes no snapshot, and deleting a snapshot deletes its row', async (t) => {
  const rig = makeRig(t);
  createDatabase(rig.database);
  await rig.writer.createSnapshot('first');
  await rig.writer.createSnapshot('second');
  withDatabase(rig.database, (db) => db.exec('DELETE FROM Snapshot'));

  assert.equal((await rig.writer.listSnapshots()).length, 2);
  assert.equal((await rig.writer.verifySnapshot('first')).ok, true);
  await rig.writer.restoreFromSnapshot('second');
  assert.deepEqual(catalogNames(rig.database), ['first', 'second']);

  await rig.writer.deleteSnapshot('first');
  assert.deepEqual(catalogNames(rig.database), ['second']);
});

test('a missing table costs one warning and is not created', async (t) => {
  const rig = makeRig(t);
  createDatabase(rig.database, { catalog: false });
  const content = contentOf(rig.database);

  await rig.writer.createSnapshot('image');
  assert.equal(rig.log.warnings().length, 1, JSON.stringify(rig.log.warnings()));
  assert.match(rig.log.warnings()[0].message + JSON.stringify(rig.log.warnings()[0].fields), /Snapshot/);

  rig.log.lines.length = 0;
  const { snapshot } = await rig.writer.restoreFromSnapshot('image');
  assert.equal(snapshot.restoreStatus, 'SUCCESS');
  assert.equal(rig.log.warnings().length, 1, JSON.stringify(rig.log.warnings()));
  assert.throws(() => countRows(rig.database, 'Snapshot'), /no such table/);
  assert.equal(contentOf(rig.database), content);
});

test('a database that is locked when the row is due costs a warning, and the next call adds the row', async (t) => {
  const rig = makeRig(t);
  createDatabase(rig.database);
  const holder = await startConnection(rig, 'better-sqlite3', rig.database);
  await holder.exec('BEGIN IMMEDIATE');
  const { snapshot } = await rig.newWriter({ lockTimeoutMs: 200 }).createSnapshot('without row');
  assert.equal(snapshot.status, 'COMPLETED');
  assert.equal(rig.log.warnings().length, 1, JSON.stringify(rig.log.warnings()));
  await holder.exec('COMMIT');
  assert.deepEqual(catalogNames(rig.database), []);

  await rig.writer.createSnapshot('next');

  assert.deepEqual(catalogNames(rig.database), ['next', 'without row']);
  assert.equal(catalogRow(rig.database, 'without row').id, snapshot.id);
});

test('bootstrapping passes over snapshots of an empty database and over safety snapshots', async (t) => {
  const rig = makeRig(t);
  createDatabase(rig.database, { realities: 4 });
  const { snapshot } = await rig.writer.createSnapshot('good');
  const content = contentOf(rig.database);
  assert.deepEqual(await rig.writer.bootstrapDatabase(), { bootstrapped: false });
  // A safety snapshot of other, younger content.
  withDatabase(rig.database, (db) => insertRealities(db, 9));
  await rig.writer.restoreFromSnapshot('good');
  // The scheduler runs on a database that was lost and made anew.
  withDatabase(rig.database, (db) => db.exec('DELETE FROM Reality'));
  await rig.writer.createSnapshot('of nothing');
  assert.equal(await rig.writer.isDatabaseEmpty(), true);

  const result = await rig.writer.bootstrapDatabase();

  const { name, timestamp, checksum } = result.snapshot;
  assert.equal(result.bootstrapped, true);
  assert.equal(name, 'good');
  assert.equal(timestamp.getTime(), snapshot.createdAt.getTime());
  assert.equal(checksum, snapshot.checksum);
  assert.deepEqual(result.counts, { realities: 4, paths: 0, fields: 0 });
  assert.equal(contentOf(rig.database), content);
  assert.equal(await rig.writer.isDatabaseEmpty(), false);
});

test('plain snapshots of the module before this one are listed, restored and deleted', async (t) => {
  const rig = makeRig(t);
  const name = 'snapshot_2026-01-02T03-04-05-678Z';
  const file = path.join(rig.snapshotDir, `${name}.db`);
  fs.mkdirSync(rig.snapshotDir);
  createDatabase(file, { realities: 6 });
  const content = contentOf(file);
  const checksum = sha256(file);
  const { size } = fs.statSync(file);
  createDatabase(rig.database, { realities: 1 });
  const id = randomUUID();
  withDatabase(rig.database, (db) =>
    db
      .prepare(
        "INSERT INTO Snapshot (id, name, s3Key, checksum, size, status, createdAt, updatedAt) VALUES (?, ?, ?, ?, ?, 'COMPLETED', ?, ?)",
      )
      .run(id, name, file, checksum, size, '2026-01-02T03:04:05.678+00:00', '2026-01-02T03:04:05.678+00:00'),
  );

  const [listed, ...others] = await rig.writer.listSnapshots();
  assert.deepEqual(others, []);
  assert.deepEqual([listed.id, listed.name, listed.checksum, listed.size], [id, name, checksum, size]);
  assert.equal((await rig.writer.verifySnapshot(name)).ok, true);

  const { snapshot } = await rig.writer.restoreFromSnapshot(name);
  assert.equal(snapshot.restoreStatus, 'SUCCESS');
  assert.equal(contentOf(rig.database), content);
  assert.equal(sha256(file), checksum, 'the old snapshot was changed');
  assert.equal(catalogRow(rig.database, name).restoreStatus, 'SUCCESS');

  await rig.writer.deleteSnapshot(name);
  assert.equal(fs.existsSync(file), false);
  assert.equal(catalogRow(rig.database, name), undefined);
});
