'use strict';

// Above 1 GiB a database has a page that holds nothing, because SQLite's locks are bytes of it.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const { test } = require('node:test');
const Database = require('better-sqlite3');
const { sha256 } = require('../support/files.js');
const { makeRig } = require('../support/rig.js');
const { integrityOf, withDatabase } = require('../support/database.js');

const PAGE_SIZE = 65_536;
const LOCK_BYTE = 2 ** 30;
const ROWS = 18;
const ROW_BYTES = 60 << 20;

test('a database beyond the lock-byte page is snapshotted, exported and restored byte by byte', async (t) => {
  const rig = makeRig(t, { lockTimeoutMs: 120_000 });
  makeSparse(rig.database);
  assert.ok(fs.statSync(rig.database).size > LOCK_BYTE + PAGE_SIZE);

  const { snapshot } = await rig.writer.createSnapshot('large');
  assert.equal(snapshot.size, fs.statSync(rig.database).size);
  assert.equal(snapshot.checksum, sha256(rig.database), 'the checksum is that of the file');

  await rig.writer.exportSnapshot('large', rig.path('export.db'));
  assert.equal(sha256(rig.path('export.db')), snapshot.checksum);
  fs.rmSync(rig.path('export.db'));

  // In place: pages on both sides of the hole differ.
  withDatabase(rig.database, (db) => db.exec("UPDATE Sparse SET label = 'changed' WHERE id IN (1, 18)"));
  await rig.writer.restoreFromSnapshot('large');
  assertRestored(rig);

  // To a new file.
  fs.rmSync(rig.database);
  await rig.writer.restoreFromSnapshot('large');
  assert.equal(fs.statSync(rig.database).size, snapshot.size);
  assertRestored(rig);
});

function makeSparse(file) {
  withDatabase(file, (db) => {
    db.pragma(`page_size = ${PAGE_SIZE}`);
    db.exec('CREATE TABLE Sparse (id INTEGER PRIMARY KEY, label TEXT NOT NULL, body BLOB NOT NULL)');
    const insert = db.prepare("INSERT INTO Sparse (label, body) VALUES ('as it was', zeroblob(?))");
    db.transaction(() => {
      for (let row = 0; row < ROWS; row += 1) insert.run(ROW_BYTES);
    })();
  });
}

function assertRestored(rig) {
  const db = new Database(rig.database);
  const labels = db.prepare('SELECT DISTINCT label FROM Sparse').pluck().all();
  const bytes = db.prepare('SELECT sum(length(body)) FROM Sparse').pluck().get();
  db.close();
  assert.deepEqual(labels, ['as it was']);
  assert.equal(bytes, ROWS * ROW_BYTES);
  assert.equal(integrityOf(rig.database), 'ok');
}
