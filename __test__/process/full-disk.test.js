'use strict';

// A disk without a free byte, that of the repository and that of the database: what removes something needs no
// room, so the tool can empty the disk that it has filled.

const assert = require('node:assert/strict');
const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { test } = require('node:test');
const { catalogRow, createDatabase, fill, withDatabase } = require('../support/database.js');
const { filesBelow } = require('../support/files.js');
const { fillUp, mountSmall } = require('../support/mounts.js');
const { startConnection } = require('../support/processes.js');
const { assertAllVerify, makeRig, refused } = require('../support/rig.js');

test('a snapshot is deleted on a full disk, and its packs with it', async (t) => {
  const rig = await fullDisk(t);
  if (!rig) return t.skip('mounting is not permitted here');
  const before = freeBytes(rig);
  assert.equal(before, 0);

  const { freedBytes } = await rig.writer.deleteSnapshot('second');

  assert.ok(freedBytes > 100_000, `${freedBytes} bytes freed`);
  assert.ok(freeBytes(rig) > 100_000);
  assert.deepEqual(await namesOf(rig.writer), ['third', 'first']);
  await assertAllVerify(rig.writer);
});

test('prune --now empties a full disk at once, the trash as well', async (t) => {
  const rig = await fullDisk(t, async ({ writer }) => writer.prune({ keepLast: 2 }));
  if (!rig) return t.skip('mounting is not permitted here');
  assert.deepEqual(namesIn(await rig.writer.listSnapshots({ deleted: true })), ['third', 'second', 'first']);

  const { status, stdout, stderr } = cli(rig, 'prune', '--keep-last', '1', '--now');

  assert.equal(status, 0, stderr);
  assert.match(stdout, /Deleted for good: first, second\.\nFreed \d/);
  assert.doesNotMatch(stdout, /undelete/);
  assert.deepEqual(namesIn(await rig.writer.listSnapshots({ deleted: true })), ['third']);
  assert.ok(freeBytes(rig) > 100_000);
  assert.deepEqual(filesBelow(path.join(rig.snapshotDir, 'local', 'trash')), []);
  for (const name of ['first', 'second']) assert.equal(catalogRow(rig.database, name), undefined);
  await assertAllVerify(rig.writer);
  // There is room again.
  await rig.writer.createSnapshot('first');
});

test('a prune that needs the trash is refused on a full disk, names the way out and has done nothing', async (t) => {
  const rig = await fullDisk(t);
  if (!rig) return t.skip('mounting is not permitted here');
  const before = filesBelow(rig.snapshotDir);

  const error = await refused(rig.writer.prune({ keepLast: 1 }), 'REPOSITORY_FULL');

  assert.match(error.message, /nothing was pruned; prune --now/);
  assert.deepEqual(filesBelow(rig.snapshotDir), before);
  assert.deepEqual(await namesOf(rig.writer), ['third', 'second', 'first']);
  const { removed, swept } = await rig.writer.prune({ keepLast: 1, now: true });
  assert.deepEqual(namesIn(removed), ['second', 'first']);
  assert.deepEqual(swept.sort(), ['first', 'second']);
});

for (const journalMode of ['delete', 'wal']) {
  test(`a full disk that holds the database too (${journalMode}) is emptied, and the row goes with a later call`, async (t) => {
    const rig = makeRig(t);
    const folder = rig.path('disk');
    if (!mountSmall(rig, folder, '16m')) return t.skip('mounting is not permitted here');
    const database = path.join(folder, 'app.db');
    const snapshotDir = path.join(folder, 'snapshots');
    const writer = rig.newWriter({ databaseUrl: `file:${database}`, snapshotDir });
    await threeSnapshots(writer, database, { journalMode });
    fillUp(folder);

    await writer.deleteSnapshot('first');
    await writer.prune({ keepLast: 1, now: true });
    await writer.createSnapshot('fourth');

    assert.deepEqual(await namesOf(writer), ['fourth', 'third']);
    for (const name of ['first', 'second']) assert.equal(catalogRow(database, name), undefined);
    for (const notes of ['trash', 'gone']) {
      assert.deepEqual(filesBelow(path.join(snapshotDir, 'local', notes)), []);
    }
  });
}

test('a row that cannot be deleted with its snapshot is deleted by the next call', async (t) => {
  const rig = makeRig(t);
  await threeSnapshots(rig.writer, rig.database);
  const connection = await startConnection(rig, 'better-sqlite3', rig.database);
  await connection.exec('BEGIN IMMEDIATE');
  await rig.writer.deleteSnapshot('first', { lockTimeoutMs: 100 });
  await connection.exec('COMMIT');
  assert.ok(catalogRow(rig.database, 'first'));

  await rig.writer.createSnapshot('fourth');

  assert.equal(catalogRow(rig.database, 'first'), undefined);
  assert.deepEqual(filesBelow(path.join(rig.snapshotDir, 'local', 'gone')), []);
  await rig.writer.createSnapshot('first');
});

function cli(rig, ...args) {
  const program = path.join(__dirname, '..', '..', 'bin', 'snapshot-writer.cjs');
  const env = { ...process.env, DATABASE_URL: `file:${rig.database}`, SNAPSHOT_DIR: rig.snapshotDir };
  return spawnSync(process.execPath, [program, ...args], { env, encoding: 'utf8' });
}

/** Three snapshots that share nothing, on a disk that is full then. */
async function fullDisk(t, then = () => {}) {
  const rig = makeRig(t);
  if (!mountSmall(rig, rig.snapshotDir, '16m')) return null;
  await threeSnapshots(rig.writer, rig.database);
  await then(rig);
  fillUp(rig.snapshotDir);
  return rig;
}

async function threeSnapshots(writer, database, options) {
  createDatabase(database, { ...options, megabytes: 1 });
  for (const name of ['first', 'second', 'third']) {
    withDatabase(database, (db) => {
      db.exec('DELETE FROM Filler');
      fill(db, 1);
    });
    await writer.createSnapshot(name);
  }
}

function freeBytes(rig) {
  const { bavail, bsize } = fs.statfsSync(rig.snapshotDir);
  return bavail * bsize;
}

async function namesOf(writer) {
  return namesIn(await writer.listSnapshots());
}

function namesIn(snapshots) {
  return snapshots.map(({ name }) => name);
}
