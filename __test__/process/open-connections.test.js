'use strict';

// Connections that were open before a restore read the restored rows after it, without being
// reopened, and their next writes succeed.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const { test } = require('node:test');
const {
  createDatabase,
  insertRealities,
  fill,
  integrityOf,
  withDatabase,
} = require('../support/database.js');
const { startConnection } = require('../support/processes.js');
const { makeRig, refused } = require('../support/rig.js');

const COUNT = 'SELECT count(*) AS n FROM Reality';
const WRITE = "INSERT INTO Metric VALUES ('after the restore', 1)";
const READ_BACK = "SELECT value FROM Metric WHERE key = 'after the restore'";

/** How the live database differs from the image that is restored over it. */
const CHANGES = {
  'the database shrinks': { image: [10, 1], live: (db) => fill(db, 3) },
  'the database grows': { image: [10, 4], live: (db) => db.exec('DELETE FROM Filler; VACUUM') },
  'the schema shrinks': {
    image: [10, 1],
    live: (db) => {
      for (let index = 0; index < 60; index += 1) {
        db.exec(`CREATE TABLE Later${index} (id INTEGER PRIMARY KEY, body TEXT, UNIQUE (body))`);
      }
    },
  },
  'the schema grows': {
    image: [10, 1],
    live: (db) => db.exec('DROP TABLE Filler; DROP TABLE ConsciousnessField; VACUUM'),
  },
};

for (const journalMode of ['delete', 'wal']) {
  for (const [change, { image, live }] of Object.entries(CHANGES)) {
    test(`open handles of two libraries go on after a restore when ${change} (${journalMode})`, async (t) => {
      const rig = makeRig(t);
      const [realities, megabytes] = image;
      createDatabase(rig.database, { journalMode, realities, megabytes });
      const { snapshot } = await rig.writer.createSnapshot('image');
      withDatabase(rig.database, (db) => {
        insertRealities(db, 7);
        live(db);
      });
      const handles = [
        await startConnection(rig, 'better-sqlite3', rig.database),
        await startConnection(rig, 'libsql', rig.database),
      ];
      for (const handle of handles) assert.deepEqual(await handle.all(COUNT), [{ n: realities + 7 }]);

      await rig.writer.restoreFromSnapshot('image');

      for (const handle of handles) assert.deepEqual(await handle.all(COUNT), [{ n: realities }]);
      await handles[0].exec(WRITE);
      for (const handle of handles) assert.deepEqual(await handle.all(READ_BACK), [{ value: 1 }]);
      await handles[1].exec('DELETE FROM Metric; UPDATE Reality SET recursionDepth = 5');
      for (const handle of handles) await handle.close();
      assert.equal(integrityOf(rig.database), 'ok');
      await assertLength(rig, snapshot);
    });
  }

  test(`a reader in the middle of a statement is not disturbed by a restore (${journalMode})`, async (t) => {
    const rig = makeRig(t);
    createDatabase(rig.database, { journalMode, realities: 300 });
    await rig.writer.createSnapshot('image');
    withDatabase(rig.database, (db) => insertRealities(db, 200));
    const reader = await startConnection(rig, 'better-sqlite3', rig.database);
    await reader.step('SELECT * FROM Reality');

    const writer = rig.newWriter({ lockTimeoutMs: 1_000, commitTimeoutMs: 200 });
    if (journalMode === 'delete') {
      // Its shared lock keeps every commit out, ours too: refused, nothing changed.
      await refused(writer.restoreFromSnapshot('image'), 'DATABASE_BUSY');
      assert.equal(await reader.drain(), 499);
      assert.deepEqual(await reader.all(COUNT), [{ n: 500 }]);
      await writer.restoreFromSnapshot('image');
    } else {
      await writer.restoreFromSnapshot('image');
      assert.equal(await reader.drain(), 499, 'the statement goes on in the state that it began in');
    }
    assert.deepEqual(await reader.all(COUNT), [{ n: 300 }]);
    await reader.exec(WRITE);
    await reader.close();
    assert.equal(integrityOf(rig.database), 'ok');
  });

  test(`a handle that maps the file into memory reads the restored rows (${journalMode})`, async (t) => {
    const rig = makeRig(t);
    createDatabase(rig.database, { journalMode, realities: 5, megabytes: 1 });
    await rig.writer.createSnapshot('image');
    withDatabase(rig.database, (db) => {
      insertRealities(db, 5);
      fill(db, 4);
    });
    const settings = { pragmas: ['mmap_size = 268435456'] };
    const handle = await startConnection(rig, 'better-sqlite3', rig.database, settings);
    assert.deepEqual(await handle.all('SELECT count(body) AS n FROM Filler'), [{ n: 5 * 256 }]);

    await rig.writer.restoreFromSnapshot('image');

    assert.deepEqual(await handle.all('SELECT count(body) AS n FROM Filler'), [{ n: 256 }]);
    await handle.exec(WRITE);
    await handle.close();
    assert.equal(integrityOf(rig.database), 'ok');
  });
}

test('a restore over a large WAL that was never checkpointed is seen by its writer', async (t) => {
  const rig = makeRig(t);
  createDatabase(rig.database, { journalMode: 'wal', realities: 5, megabytes: 2 });
  const { snapshot } = await rig.writer.createSnapshot('image');
  const handle = await startConnection(rig, 'better-sqlite3', rig.database, {
    pragmas: ['wal_autocheckpoint = 0'],
  });
  for (let round = 0; round < 8; round += 1) {
    await handle.exec(`UPDATE Filler SET body = body || '${round}'`);
  }
  assert.ok(fs.statSync(`${rig.database}-wal`).size > 16 << 20, 'the WAL is large');

  await rig.writer.restoreFromSnapshot('image');

  assert.deepEqual(await handle.all("SELECT count(*) AS n FROM Filler WHERE body LIKE '%}'"), [{ n: 512 }]);
  await handle.exec(WRITE);
  await handle.close();
  assert.equal(integrityOf(rig.database), 'ok');
  await assertLength(rig, snapshot);
});

test('a zero-byte database that others have open is filled under their handles', async (t) => {
  const rig = makeRig(t);
  createDatabase(rig.database, { realities: 5, pageSize: 8192 });
  await rig.writer.createSnapshot('image');
  fs.rmSync(rig.database);
  fs.writeFileSync(rig.database, '');
  const handles = [
    await startConnection(rig, 'better-sqlite3', rig.database),
    await startConnection(rig, 'libsql', rig.database),
  ];
  for (const handle of handles) {
    assert.deepEqual(await handle.all('SELECT count(*) AS n FROM sqlite_master'), [{ n: 0 }]);
  }
  const { ino } = fs.statSync(rig.database);

  const result = await rig.writer.bootstrapDatabase();

  assert.equal(result.bootstrapped, true, result.error);
  assert.equal(fs.statSync(rig.database).ino, ino, 'it is still the same file');
  for (const handle of handles) assert.deepEqual(await handle.all(COUNT), [{ n: 5 }]);
  await handles[0].exec(WRITE);
  for (const handle of handles) await handle.close();
  assert.equal(integrityOf(rig.database), 'ok');
});

/** After a checkpoint the file is as long as the image; the catalog's row needs no further page here. */
async function assertLength(rig, snapshot) {
  withDatabase(rig.database, (db) => db.pragma('wal_checkpoint(TRUNCATE)'));
  assert.equal(fs.statSync(rig.database).size, snapshot.size);
}
