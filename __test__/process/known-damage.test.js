'use strict';

// Snapshots share packs. One that is found damaged, whoever finds it and whichever snapshot that was about, is no ground
// to build on: the next snapshot stores its pages again.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { test } = require('node:test');
const { createDatabase, contentOf, withDatabase } = require('../support/database.js');
const { filesBelow, flipBit } = require('../support/files.js');
const { verdicts } = require('../support/health.js');
const { makeRecoveryRig } = require('../support/recovery.js');
const { assertAllVerify, makeRig, refused } = require('../support/rig.js');

const NOTES = path.join('local', 'damaged-packs');
const change = (rig, text) =>
  withDatabase(rig.database, (db) => db.prepare('UPDATE Reality SET description = ?').run(text));
const largestPack = (folder) =>
  filesBelow(path.join(folder, 'packs')).sort(
    (one, other) => fs.statSync(other).size - fs.statSync(one).size,
  )[0];
/** A restore has to read every frame of the pack, and yet most pages stay what they are. */
const IN_EVERY_FRAME = "UPDATE Filler SET body = 'other' WHERE id % 20 = 0";
const notes = (rig) => filesBelow(path.join(rig.snapshotDir, NOTES));

/** Two snapshots that share a pack, which holds nearly all of both. */
async function makeNeighbours(t) {
  const rig = makeRig(t);
  createDatabase(rig.database, { realities: 3, megabytes: 1 });
  await rig.writer.createSnapshot('one');
  change(rig, 'two');
  await rig.writer.createSnapshot('two');
  return rig;
}

/** Who finds the damage. */
const FINDERS = {
  'a verification': async ({ writer }) => {
    assert.equal((await writer.verifySnapshot('one')).ok, false);
  },
  'a verification, before a weaker one that finds nothing': async ({ writer }) => {
    assert.equal((await writer.verifySnapshot('one')).ok, false);
    for (const name of ['one', 'two']) {
      assert.equal((await writer.verifySnapshot(name, { level: 'structure' })).ok, true);
    }
  },
  'a restore': async (rig) => {
    withDatabase(rig.database, (db) => db.exec(IN_EVERY_FRAME));
    await refused(rig.writer.restoreFromSnapshot('one'), 'SNAPSHOT_DAMAGED');
  },
  'an export': (rig) => refused(rig.writer.exportSnapshot('one', rig.path('one.db')), 'SNAPSHOT_DAMAGED'),
  'a drill': async ({ writer }) => {
    assert.equal((await writer.drill({ name: 'one' })).outcome, 'failed');
  },
  'a bootstrap': async (rig) => {
    const live = fs.readFileSync(rig.database);
    fs.rmSync(rig.database);
    assert.equal((await rig.writer.bootstrapDatabase()).bootstrapped, false);
    fs.writeFileSync(rig.database, live);
  },
};

for (const [who, find] of Object.entries(FINDERS)) {
  test(`what ${who} found damaged is stored again`, async (t) => {
    const rig = await makeNeighbours(t);
    flipBit(largestPack(rig.snapshotDir), 0.5);
    await find(rig);
    assert.equal((await verdicts(rig.writer)).newest, 'critical', 'both need the damaged page');
    change(rig, 'three');
    await rig.writer.createSnapshot('three');
    assert.deepEqual((await rig.writer.verifySnapshot('three', { level: 'database' })).problems, []);
    const { age, newest } = await verdicts(rig.writer);
    assert.equal(age, 'ok');
    assert.notEqual(newest, 'critical');
    const content = contentOf(rig.database);
    withDatabase(rig.database, (db) => db.exec('DELETE FROM Filler'));
    await rig.writer.restoreFromSnapshot('three');
    assert.equal(contentOf(rig.database), content);
    await rig.writer.undoRestore();
    assert.equal(
      withDatabase(rig.database, (db) => db.prepare('SELECT count(*) FROM Filler').pluck().get()),
      0,
    );
  });
}

test('what an undo found damaged is stored again', async (t) => {
  const rig = await makeNeighbours(t);
  change(rig, 'before the restore');
  await rig.writer.restoreFromSnapshot('two');
  flipBit(largestPack(rig.snapshotDir), 0.5);
  withDatabase(rig.database, (db) => db.exec(IN_EVERY_FRAME));
  await refused(rig.writer.undoRestore(), 'SNAPSHOT_DAMAGED');
  await rig.writer.createSnapshot('three');
  assert.deepEqual((await rig.writer.verifySnapshot('three')).problems, []);
});

test('a damaged pack that was put right is built on again, once every page of it was read', async (t) => {
  const rig = await makeNeighbours(t);
  const pack = largestPack(rig.snapshotDir);
  const good = fs.readFileSync(pack);
  flipBit(pack, 0.5);
  assert.equal((await rig.writer.verifySnapshot('one')).ok, false);
  assert.equal(notes(rig).length, 1);
  fs.writeFileSync(pack, good);
  assert.equal((await rig.writer.verifySnapshot('one', { level: 'structure' })).ok, true);
  assert.equal(notes(rig).length, 1, 'nobody has read the pages');
  assert.equal((await rig.writer.verifySnapshot('one')).ok, true);
  assert.deepEqual(notes(rig), []);
  change(rig, 'three');
  await rig.writer.createSnapshot('three');
  const { storedSize, size } = await rig.writer.getSnapshot('three');
  assert.ok(storedSize < size / 10, `${storedSize} of ${size} bytes were stored`);
  await assertAllVerify(rig.writer);
});

test('the note about a damaged pack goes with the pack', async (t) => {
  const rig = await makeNeighbours(t);
  flipBit(largestPack(rig.snapshotDir), 0.5);
  assert.equal((await rig.writer.verifySnapshot('one')).ok, false);
  await rig.writer.createSnapshot('three');
  for (const name of ['one', 'two']) await rig.writer.deleteSnapshot(name);
  await rig.writer.createSnapshot('four');
  assert.deepEqual(notes(rig), []);
  await assertAllVerify(rig.writer);
});

test('a backup before an operation is not built on a damaged one', async (t) => {
  const rig = makeRecoveryRig(t);
  createDatabase(rig.database, { megabytes: 1 });
  const { backup } = await rig.recovery.createPreOperationBackup('first');
  flipBit(largestPack(rig.recoveryDir), 0.5);
  withDatabase(rig.database, (db) => db.exec(IN_EVERY_FRAME));
  await refused(rig.recovery.rollbackToPreOperationBackup(backup.name), 'SNAPSHOT_DAMAGED');
  const second = await rig.recovery.createPreOperationBackup('second');
  const content = contentOf(rig.database);
  withDatabase(rig.database, (db) => db.exec('DELETE FROM Filler'));
  await rig.recovery.rollbackToPreOperationBackup(second.backup.name);
  assert.equal(contentOf(rig.database), content);
});
