'use strict';

// What settles a restore that was cut off believes only what its entry names. Other files, older sets and
// other people's databases are left alone.

const assert = require('node:assert/strict');
const { randomUUID } = require('node:crypto');
const fs = require('node:fs');
const { test } = require('node:test');
const { contentOf, createDatabase, insertRealities, withDatabase } = require('../support/database.js');
const { withFailpoint } = require('../support/failpoints.js');
const { makeRig, refused } = require('../support/rig.js');

for (const journalMode of ['delete', 'wal']) {
  test(`a set that an earlier restore moved aside never becomes the database again (${journalMode})`, async (t) => {
    const rig = makeRig(t);
    createDatabase(rig.database, { realities: 5, pageSize: 8192, journalMode });
    await rig.writer.createSnapshot('march');
    fs.rmSync(rig.database);
    createDatabase(rig.database, { realities: 2, journalMode });
    const ancient = contentOf(rig.database);
    await rig.writer.restoreFromSnapshot('march');
    withDatabase(rig.database, (db) => insertRealities(db, 3));
    const today = contentOf(rig.database);
    await rig.writer.createSnapshot('today');
    await killRestore(rig, 'march', 'restore.intent');
    fs.rmSync(rig.database);

    const { bootstrapped, snapshot } = await rig.writer.bootstrapDatabase();

    assert.notEqual(contentOf(rig.database), ancient);
    assert.deepEqual([bootstrapped, snapshot?.name], [true, 'today']);
    assert.equal(contentOf(rig.database), today);
  });

  for (const step of ['restore.intent', 'restore.writing', 'restore.before-commit']) {
    test(`a file that an operator puts in place after a kill at ${step} is no restore and is not undone (${journalMode})`, async (t) => {
      const rig = makeRig(t);
      createDatabase(rig.database, { realities: 5, journalMode });
      await rig.writer.createSnapshot('image');
      await rig.writer.restoreFromSnapshot('image');
      withDatabase(rig.database, (db) => insertRealities(db, 3));
      await killRestore(rig, 'image', step);
      // Another inode, and a schema cookie that is lower and far away.
      createDatabase(rig.path('operator.db'), { realities: 7, journalMode });
      withDatabase(rig.path('operator.db'), (db) => db.pragma('schema_version = 3'));
      for (const suffix of ['', '-wal', '-shm', '-journal'])
        fs.rmSync(`${rig.database}${suffix}`, { force: true });
      fs.renameSync(rig.path('operator.db'), rig.database);
      const content = contentOf(rig.database);

      const error = await refused(rig.writer.undoRestore(), 'UNDO_UNAVAILABLE');

      assert.match(error.message, /safety snapshot/);
      assert.equal(contentOf(rig.database), content, 'the file of the operator was overwritten');
      assert.equal((await rig.writer.getSnapshot('image')).restoreStatus, 'FAILED');
    });
  }

  test(`a restore that had committed is known again in a copy of its file (${journalMode})`, async (t) => {
    const rig = makeRig(t);
    createDatabase(rig.database, { realities: 5, journalMode });
    await rig.writer.createSnapshot('image');
    withDatabase(rig.database, (db) => insertRealities(db, 3));
    const live = contentOf(rig.database);
    await killRestore(rig, 'image', 'restore.after-commit');
    withDatabase(rig.database, (db) => db.exec('CREATE TABLE Later (id INTEGER PRIMARY KEY)'));
    fs.copyFileSync(rig.database, rig.path('copy.db'));
    fs.renameSync(rig.path('copy.db'), rig.database);
    await rig.writer.undoRestore();
    assert.equal(contentOf(rig.database), live);
  });
}

test('a restore of another database of the repository is left to those who work with that', async (t) => {
  const rig = makeRig(t);
  createDatabase(rig.database, { realities: 5 });
  await rig.writer.createSnapshot('image');
  await killRestore(rig, 'image', 'restore.before-commit');
  createDatabase(rig.path('other.db'), { realities: 1 });
  const other = rig.newWriter({ databaseUrl: `file:${rig.path('other.db')}` });
  await other.createSnapshot('of the other');
  assert.equal((await rig.writer.getSnapshot('image')).restoreStatus, 'IN_PROGRESS');
  await rig.writer.createSnapshot('of this');
  assert.equal((await rig.writer.getSnapshot('image')).restoreStatus, 'FAILED');
});

test('an entry that nobody can read hinders nothing', async (t) => {
  const rig = makeRig(t);
  createDatabase(rig.database, { realities: 5 });
  await rig.writer.createSnapshot('image');
  await rig.writer.restoreFromSnapshot('image');
  const entry = rig.path('snapshots/local/restores', randomUUID());
  fs.writeFileSync(entry, 'no JSON');
  // Were it younger than the restore, nobody would know which one was the last.
  fs.utimesSync(entry, 1, 1);
  await rig.writer.createSnapshot('another');
  await rig.writer.undoRestore();
  assert.ok(rig.log.warnings().some(({ message }) => /damaged note/.test(message)));
});

async function killRestore(rig, name, step) {
  await withFailpoint(`${step}=kill`, () => refused(rig.writer.restoreFromSnapshot(name), 'WORKER_FAILED'));
}
