'use strict';

// Folders that cannot be written and disks that are full. Permission bits do not bind root, so
// such a call is made by a process of another user when the tests run as root.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { test } = require('node:test');
const { catalogRow, contentOf, createDatabase, fill, withDatabase } = require('../support/database.js');
const { withFailpoint } = require('../support/failpoints.js');
const { filesBelow, fingerprint } = require('../support/files.js');
const { mountReadOnly, mountSmall } = require('../support/mounts.js');
const { ordinaryUser, startConnection, startWriter } = require('../support/processes.js');
const { assertAllVerify, makeRig, refused } = require('../support/rig.js');

/** What a crash leaves beside a database, so that reading it would mean writing. */
const LEFT_BEHIND = {
  'a WAL without its index': async (rig, file) => {
    createDatabase(file, { journalMode: 'wal', megabytes: 1 });
    const handle = await startConnection(rig, 'better-sqlite3', file);
    await handle.exec("UPDATE Filler SET body = 'in the WAL' WHERE id < 9");
    await handle.kill();
    fs.rmSync(`${file}-shm`);
    assert.ok(fs.statSync(`${file}-wal`).size > 0);
  },
  'a hot journal': async (rig, file) => {
    createDatabase(file, { megabytes: 1 });
    const handle = await startConnection(rig, 'better-sqlite3', file, { pragmas: ['cache_size = 10'] });
    await handle.exec("BEGIN IMMEDIATE; UPDATE Filler SET body = replace(body, 'noise', 'NOISE')");
    await handle.kill();
    assert.ok(fs.statSync(`${file}-journal`).size > 512);
  },
};

for (const [what, leave] of Object.entries(LEFT_BEHIND)) {
  test(`a database with ${what} in a folder that may not be written is refused`, async (t) => {
    const rig = makeRig(t);
    const { file, options } = await inFolder(rig, (database) => leave(rig, database));
    fs.chmodSync(path.dirname(file), 0o555);
    const before = fingerprint(path.dirname(file));
    const writer = startWriter(rig, { options, user: ordinaryUser() });
    await refused(writer.call('createSnapshot', 'never'), 'DATABASE_READONLY');
    assert.deepEqual(fingerprint(path.dirname(file)), before);
  });

  test(`a database with ${what} on a read-only file system is refused`, async (t) => {
    const rig = makeRig(t);
    const { file, options } = await inFolder(rig, (database) => leave(rig, database));
    if (!mountReadOnly(rig, path.dirname(file))) return t.skip('mounting is not permitted here');
    const before = fingerprint(path.dirname(file));
    await refused(rig.newWriter(options).createSnapshot('never'), 'DATABASE_READONLY');
    assert.deepEqual(fingerprint(path.dirname(file)), before);
  });
}

test('a settled database in a folder that may not be written is snapshotted', async (t) => {
  const rig = makeRig(t);
  const { file, options } = await inFolder(rig, (database) => createDatabase(database));
  fs.chmodSync(path.dirname(file), 0o555);
  const writer = startWriter(rig, { options, user: ordinaryUser() });
  const { snapshot } = await writer.call('createSnapshot', 'from a read-only folder');
  assert.equal(snapshot.status, 'COMPLETED');
});

test('a repository that may not be written is refused, and the database is left alone', async (t) => {
  const rig = makeRig(t);
  const { file, options } = await inFolder(rig, (database) => createDatabase(database));
  fs.chmodSync(options.snapshotDir, 0o555);
  const content = contentOf(file);
  const writer = startWriter(rig, { options, user: ordinaryUser() });
  await refused(writer.call('createSnapshot', 'never'), 'REPOSITORY_UNWRITABLE');
  assert.deepEqual(fs.readdirSync(options.snapshotDir), []);
  assert.equal(contentOf(file), content);
});

test('a full repository is reported, earlier snapshots stay whole and no scraps are left', async (t) => {
  const rig = makeRig(t);
  if (!mountSmall(rig, rig.snapshotDir, '4m')) return t.skip('mounting is not permitted here');
  createDatabase(rig.database, { megabytes: 2 });
  await rig.writer.createSnapshot('fits');
  withDatabase(rig.database, (db) => fill(db, 20));
  const live = contentOf(rig.database);

  await refused(rig.writer.createSnapshot('does not fit'), 'REPOSITORY_FULL');

  assert.deepEqual(await namesOf(rig.writer), ['fits']);
  assert.equal(catalogRow(rig.database, 'does not fit').status, 'FAILED');
  await assertAllVerify(rig.writer);
  assert.equal(filesBelow(path.join(rig.snapshotDir, 'packs')).length, 1, 'packs of the failed snapshot');
  assert.deepEqual(filesBelow(path.join(rig.snapshotDir, 'local', 'scratch')), []);
  assert.equal(contentOf(rig.database), live);
  // A restore needs room for what it overwrites: refused before anything is touched.
  await refused(rig.writer.restoreFromSnapshot('fits'), 'REPOSITORY_FULL');
  assert.equal(contentOf(rig.database), live);
  await assertAllVerify(rig.writer);
});

test('a disk without room for the page table of the newest snapshot is full, and the snapshot is not damaged', async (t) => {
  const rig = makeRig(t);
  if (!mountSmall(rig, rig.snapshotDir, '4m')) return t.skip('mounting is not permitted here');
  createDatabase(rig.database, { megabytes: 2 });
  await rig.writer.createSnapshot('first');
  fillUp(rig.snapshotDir);
  const error = await refused(rig.writer.createSnapshot('second'), 'REPOSITORY_FULL');
  assert.doesNotMatch(`${error.message} ${JSON.stringify(rig.log.lines)}`, /damaged/);
  fs.rmSync(path.join(rig.snapshotDir, 'ballast'));
  await rig.writer.createSnapshot('second');
  const { storedSize, size } = await rig.writer.getSnapshot('second');
  assert.ok(storedSize < size / 10, `${storedSize} of ${size} bytes were stored`);
});

for (const step of ['publish.before-sync', 'publish.before-rename', 'create.before-manifest']) {
  test(`a disk that is full at ${step} costs only that snapshot`, async (t) => {
    const rig = makeRig(t);
    createDatabase(rig.database, { megabytes: 1 });
    await rig.writer.createSnapshot('before');
    withDatabase(rig.database, (db) => fill(db, 1));
    const stored = filesBelow(path.join(rig.snapshotDir, 'packs'));

    await withFailpoint(`${step}=full`, () => refused(rig.writer.createSnapshot('full'), 'REPOSITORY_FULL'));

    assert.deepEqual(await namesOf(rig.writer), ['before']);
    assert.deepEqual(filesBelow(path.join(rig.snapshotDir, 'packs')), stored);
    assert.deepEqual(filesBelow(path.join(rig.snapshotDir, 'local', 'scratch')), []);
    await rig.writer.createSnapshot('full');
    await assertAllVerify(rig.writer);
  });
}

/** Leaves no byte of a file system. */
function fillUp(folder) {
  const ballast = fs.openSync(path.join(folder, 'ballast'), 'w');
  try {
    for (;;) fs.writeSync(ballast, Buffer.alloc(4096));
  } catch (error) {
    assert.equal(error.code, 'ENOSPC');
  } finally {
    fs.closeSync(ballast);
  }
}

async function namesOf(writer) {
  return (await writer.listSnapshots()).map(({ name }) => name);
}

/** A database that everybody may read, in a folder of its own, and a repository that everybody may write. */
async function inFolder(rig, make) {
  const folder = rig.path('database');
  const options = { databaseUrl: `file:${path.join(folder, 'app.db')}`, snapshotDir: rig.path('repository') };
  for (const name of [folder, options.snapshotDir]) fs.mkdirSync(name);
  await make(path.join(folder, 'app.db'));
  fs.chmodSync(rig.folder, 0o777);
  fs.chmodSync(options.snapshotDir, 0o777);
  rig.defer(() => fs.chmodSync(folder, 0o755));
  for (const name of fs.readdirSync(folder)) fs.chmodSync(path.join(folder, name), 0o444);
  return { file: path.join(folder, 'app.db'), options };
}
