'use strict';

// What is stored stays close to what is needed, however many snapshots come and go.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const { test } = require('node:test');
const { createDatabase, rewriteFiller, withDatabase, fillerBody } = require('../support/database.js');
const { bytesBelow, sha256 } = require('../support/files.js');
const { wearOf } = require('../support/format.js');
const { assertAllVerify, makeRig } = require('../support/rig.js');

const MEGABYTES = process.env.SNAPSHOT_WRITER_TEST_LARGE === '1' ? 256 : 8;
const KEPT = 10;
const SNAPSHOTS = 500;
/** Snapshots between two calls of `prune`, and between two looks at what is stored. */
const PRUNE_EVERY = 5;
const LOOK_EVERY = 20;
const OPTIONS = { trashGraceMs: 0, check: 'none' };

test('500 snapshots with 1 % random changes under keep-last-10 stay small and fast to restore', async (t) => {
  const rig = makeRig(t, OPTIONS);
  createDatabase(rig.database, { megabytes: MEGABYTES });
  const [most, checksums] = [{ stored: 0, read: 0, packs: 0 }, new Map()];
  let repacked = 0;
  for (let number = 1; number <= SNAPSHOTS; number += 1) {
    changeAtRandom(rig.database, 0.01);
    const { snapshot } = await rig.writer.createSnapshot();
    checksums.set(snapshot.name, snapshot.checksum);
    if (number % PRUNE_EVERY === 0) {
      const pruned = await rig.writer.prune({ keepLast: KEPT });
      repacked += pruned.repacked === null ? 0 : 1;
    }
    if (number % LOOK_EVERY === 0) {
      const { stored, needed, read, packs } = wearOf(rig.snapshotDir);
      most.stored = Math.max(most.stored, stored / needed);
      most.read = Math.max(most.read, read);
      most.packs = Math.max(most.packs, packs);
    }
  }
  t.diagnostic(`at most ${JSON.stringify(most)}, prune repacked ${repacked} times`);
  assert.ok(most.stored < 2.2, `${most.stored} times what is needed was stored`);
  assert.ok(most.read < 1.6, `a restore would have read ${most.read} times the image`);
  assert.ok(most.packs <= 65, `${most.packs} packs`);

  const kept = await assertAllVerify(rig.writer);
  assert.equal(kept.length, KEPT);
  for (const { name, checksum } of kept) assert.equal(checksum, checksums.get(name), name);
  await assertRestores(rig, kept.at(-1));

  const anew = await storedAnew(rig, kept);
  const stored = bytesBelow(rig.snapshotDir);
  t.diagnostic(`${stored} bytes stored at the end, ${anew} when the same snapshots are stored anew`);
  assert.ok(stored < 2.2 * anew);
});

test('what only deletions by name made wasteful is repacked by the next snapshot', async (t) => {
  const rig = makeRig(t, OPTIONS);
  createDatabase(rig.database, { megabytes: MEGABYTES });
  await rig.writer.createSnapshot('full');
  for (const number of [1, 2, 3, 4, 5]) {
    rewriteFiller(rig.database, 2);
    await rig.writer.createSnapshot(`half ${number}`);
  }
  for (const name of ['full', 'half 1', 'half 2', 'half 3', 'half 4']) await rig.writer.deleteSnapshot(name);
  const before = wearOf(rig.snapshotDir);
  for (let number = 1; number <= 3; number += 1) await rig.writer.createSnapshot(`again ${number}`);
  const after = wearOf(rig.snapshotDir);
  t.diagnostic(`${JSON.stringify(before)}, then ${JSON.stringify(after)}`);
  assert.ok(after.stored <= 2 * after.needed);
  await assertAllVerify(rig.writer);
});

/** New content for so many rows of the filler, wherever they are. */
function changeAtRandom(file, share) {
  withDatabase(file, (db) => {
    const count = db.prepare('SELECT count(*) FROM Filler').pluck().get();
    const update = db.prepare('UPDATE Filler SET body = ? WHERE id = ?');
    db.transaction(() => {
      for (let left = count * share; left > 0; left -= 1) {
        update.run(fillerBody(), 1 + Math.floor(Math.random() * count));
      }
    })();
  });
}

async function assertRestores(rig, { name, checksum }) {
  const file = rig.path('restored.db');
  await rig.writer.exportSnapshot(name, file);
  assert.equal(sha256(file), checksum);
}

/** Bytes of a fresh repository with the same images, the oldest first. */
async function storedAnew(rig, kept) {
  const database = rig.path('anew.db');
  const snapshotDir = rig.path('anew');
  const writer = rig.newWriter({ ...OPTIONS, databaseUrl: `file:${database}`, snapshotDir });
  for (const { name } of [...kept].reverse()) {
    const file = rig.path(`${name}.db`);
    await rig.writer.exportSnapshot(name, file);
    fs.copyFileSync(file, database);
    await writer.createSnapshot(name);
  }
  return bytesBelow(snapshotDir);
}
