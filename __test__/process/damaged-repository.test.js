'use strict';

// Damage in the repository is found before it can reach the database.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { test } = require('node:test');
const { contentOf, createDatabase, insertRealities, withDatabase } = require('../support/database.js');
const { filesBelow, flipBit } = require('../support/files.js');
const { makeRig, refused } = require('../support/rig.js');

const KINDS = { manifest: 'snapshots', pack: 'packs' };
const DAMAGES = {
  'a flipped bit at its start': (file) => flipBit(file, 8),
  'a flipped bit in its middle': (file) => flipBit(file, 0.5),
  'a flipped bit at its end': (file) => flipBit(file, fs.statSync(file).size - 1),
  'its end cut off': (file) => fs.truncateSync(file, fs.statSync(file).size - 10),
  'nothing left in it': (file) => fs.truncateSync(file, 0),
};

for (const [kind, folder] of Object.entries(KINDS)) {
  for (const [damage, breakIt] of Object.entries(DAMAGES)) {
    test(`a ${kind} with ${damage} is found, and nothing is restored from it`, async (t) => {
      const { rig, live, file } = await prepare(t, folder);
      breakIt(file);
      await assertRefused(rig, live);
    });
  }
}

test('a missing pack is found, and nothing is restored from its snapshot', async (t) => {
  const { rig, live, file } = await prepare(t, KINDS.pack);
  fs.rmSync(file);
  await assertRefused(rig, live);
});

test('one pack in the place of another is found', async (t) => {
  const { rig, live, file } = await prepare(t, KINDS.pack);
  withDatabase(rig.database, (db) => insertRealities(db, 50));
  await rig.writer.createSnapshot('another');
  const other = filesBelow(path.join(rig.snapshotDir, KINDS.pack)).find((name) => name !== file);
  fs.copyFileSync(other, file);
  await assertRefused(rig, contentOf(rig.database));
  assert.notEqual(contentOf(rig.database), live);
});

test('bootstrapping passes over a damaged snapshot to the one before it', async (t) => {
  const { rig, image } = await prepare(t, KINDS.pack);
  const known = new Set(filesBelow(path.join(rig.snapshotDir, KINDS.pack)));
  withDatabase(rig.database, (db) => insertRealities(db, 50));
  await rig.writer.createSnapshot('newest');
  const [newest] = filesBelow(path.join(rig.snapshotDir, KINDS.pack)).filter((file) => !known.has(file));
  flipBit(newest, 0.5);
  fs.rmSync(rig.database);

  const result = await rig.writer.bootstrapDatabase();

  assert.equal(result.bootstrapped, true, result.error);
  assert.equal(result.snapshot.name, 'image');
  assert.equal(contentOf(rig.database), image);
});

test('a snapshot taken after damage does not build on the damaged pack', async (t) => {
  const { rig, file } = await prepare(t, KINDS.pack);
  fs.rmSync(file);
  const outcome = await rig.writer.createSnapshot('after the damage').catch((error) => error);
  if (outcome instanceof Error) {
    // Refusing is sound as well, as long as it says what is damaged.
    assert.equal(outcome.code, 'SNAPSHOT_DAMAGED', outcome.stack);
  } else {
    const verdict = await rig.writer.verifySnapshot('after the damage', { level: 'database' });
    assert.deepEqual(verdict.problems, []);
  }
});

test('a repository of a newer format is refused by every operation and left alone', async (t) => {
  const { rig, live } = await prepare(t, KINDS.pack);
  const description = path.join(rig.snapshotDir, 'repository.json');
  const newer = { ...JSON.parse(fs.readFileSync(description, 'utf8')), format: 999 };
  fs.writeFileSync(description, JSON.stringify(newer));
  const { writer } = rig;
  for (const call of [
    () => writer.createSnapshot('never'),
    () => writer.restoreFromSnapshot('image'),
    () => writer.listSnapshots(),
    () => writer.verifySnapshot('image'),
    () => writer.exportSnapshot('image', rig.path('export.db')),
    () => writer.deleteSnapshot('image'),
    () => writer.undoRestore(),
    () => writer.drill(),
    () => writer.status(),
  ]) {
    await refused(call(), 'REPOSITORY_NEWER');
  }
  assert.equal((await writer.bootstrapDatabase()).bootstrapped, false);
  assert.equal(contentOf(rig.database), live);
  assert.deepEqual(JSON.parse(fs.readFileSync(description, 'utf8')), newer);
});

/** A database with the snapshot "image" and other content since; `file` is the only one of its folder. */
async function prepare(t, folder) {
  const rig = makeRig(t);
  createDatabase(rig.database, { realities: 5, megabytes: 1 });
  const image = contentOf(rig.database);
  await rig.writer.createSnapshot('image');
  withDatabase(rig.database, (db) => {
    insertRealities(db, 5);
    // No page may be like the image's: such a page is not read from the pack.
    db.exec("UPDATE Filler SET body = replace(body, 'noise', 'NOISE')");
  });
  const [file, ...others] = filesBelow(path.join(rig.snapshotDir, folder));
  assert.deepEqual(others, [], 'a small snapshot is one manifest and one pack');
  return { rig, image, live: contentOf(rig.database), file };
}

async function assertRefused(rig, live) {
  const verdict = await rig.writer.verifySnapshot('image', { level: 'data' });
  assert.equal(verdict.ok, false, 'verification missed the damage');
  assert.notEqual(verdict.problems.length, 0);
  await refused(rig.writer.restoreFromSnapshot('image'), 'SNAPSHOT_DAMAGED');
  await refused(rig.writer.exportSnapshot('image', rig.path('export.db')), 'SNAPSHOT_DAMAGED');
  assert.equal(fs.existsSync(rig.path('export.db')), false, 'half an export is left');
  assert.equal(contentOf(rig.database), live, 'the database was changed');
}
