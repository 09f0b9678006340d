'use strict';

// Closing any descriptor of a database file drops every lock that the process holds on it, those
// of the application's own SQLite included. So nothing the addon does may happen in this process.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const { test } = require('node:test');
const Database = require('better-sqlite3');
const { SnapshotWriter } = require('../../index.js');
const { createDatabase, countRows, integrityOf } = require('../support/database.js');
const { databaseLocks, outcomeOfOtherWriter } = require('../support/locks.js');
const { makeRig } = require('../support/rig.js');

/** Every method, how it is called while a writer holds the database, and what comes of it. */
const CALLS = {
  createSnapshot: [(writer) => writer.createSnapshot('during'), 'resolved'],
  rescueDatabase: [(writer) => writer.rescueDatabase(), 'DATABASE_NOT_FOUND'],
  restoreFromSnapshot: [(writer) => writer.restoreFromSnapshot('before'), 'DATABASE_BUSY'],
  undoRestore: [(writer) => writer.undoRestore(), 'DATABASE_BUSY'],
  bootstrapDatabase: [(writer) => writer.bootstrapDatabase(), 'resolved'],
  isDatabaseEmpty: [(writer) => writer.isDatabaseEmpty(), 'resolved'],
  listSnapshots: [(writer) => writer.listSnapshots(), 'resolved'],
  getSnapshot: [(writer) => writer.getSnapshot('before'), 'resolved'],
  verifySnapshot: [(writer) => writer.verifySnapshot('before', { level: 'database' }), 'resolved'],
  exportSnapshot: [(writer, rig) => writer.exportSnapshot('before', rig.path('export.db')), 'resolved'],
  pinSnapshot: [(writer) => writer.pinSnapshot('during'), 'resolved'],
  unpinSnapshot: [(writer) => writer.unpinSnapshot('during'), 'resolved'],
  prune: [(writer) => writer.prune({ keepLast: 1 }), 'resolved'],
  undelete: [(writer) => writer.undelete('before'), 'resolved'],
  acknowledge: [(writer) => writer.acknowledge(), 'resolved'],
  deleteSnapshot: [(writer) => writer.deleteSnapshot('during'), 'resolved'],
  sync: [(writer) => writer.sync(), 'S3_DISABLED'],
  checkStorage: [(writer) => writer.checkStorage(), 'S3_DISABLED'],
  _claimTick: [(writer) => writer._claimTick('* * * * *', new Date()), 'resolved'],
  _finishTick: [(writer) => writer._finishTick(new Date()), 'resolved'],
  _giveBackTick: [(writer) => writer._giveBackTick(new Date()), 'resolved'],
  drill: [(writer) => writer.drill(), 'resolved'],
  drills: [(writer) => writer.drills(), 'resolved'],
  doctor: [(writer) => writer.doctor(), 'resolved'],
  status: [(writer) => writer.status(), 'resolved'],
  metrics: [(writer) => writer.metrics(), 'resolved'],
  _resetDatabase: [(writer) => writer._resetDatabase(), 'DATABASE_BUSY'],
  _generateTimestamp: [(writer) => writer._generateTimestamp(), 'resolved'],
  _generateChecksum: [(writer, rig) => writer._generateChecksum(rig.database), 'resolved'],
};

test('every method of the writer is called by the lock test', () => {
  const properties = Object.getOwnPropertyDescriptors(SnapshotWriter.prototype);
  const methods = Object.keys(properties).filter(
    (name) => name !== 'constructor' && typeof properties[name].value === 'function',
  );
  assert.deepEqual(methods.sort(), Object.keys(CALLS).sort());
});

for (const journalMode of ['delete', 'wal']) {
  test(`no method drops the locks of a writer in the same process (${journalMode})`, async (t) => {
    const rig = makeRig(t);
    createDatabase(rig.database, { journalMode });
    await rig.writer.createSnapshot('before');
    await rig.writer.restoreFromSnapshot('before');

    const writer = rig.newWriter({ lockTimeoutMs: 300 });
    const connection = holdWriteLock(rig);
    const held = databaseLocks(rig.database);
    assert.notEqual(held.database.length + held.sharedMemory.length, 0, 'the detector sees no lock at all');

    for (const [method, [call, expected]] of Object.entries(CALLS)) {
      const outcome = await outcomeOf(() => call(writer, rig));
      assert.deepEqual(databaseLocks(rig.database), held, `${method} changed the locks`);
      assert.equal(outcomeOfOtherWriter(rig.database), 'SQLITE_BUSY', `${method} let another writer in`);
      assert.equal(outcome.code, expected, `${method}: ${outcome.text}`);
    }

    connection.exec('COMMIT');
    connection.close();
    assert.equal(countRows(rig.database, 'Metric'), 1, 'the held transaction was lost');
    assert.equal(integrityOf(rig.database), 'ok');
  });

  test(`the lock detector notices a file that is opened and closed in this process (${journalMode})`, (t) => {
    const rig = makeRig(t);
    createDatabase(rig.database, { journalMode });
    holdWriteLock(rig);
    assert.equal(outcomeOfOtherWriter(rig.database), 'SQLITE_BUSY');

    const held = databaseLocks(rig.database);
    const files = [rig.database, `${rig.database}-shm`].filter((file) => fs.existsSync(file));
    files.forEach((file) => fs.closeSync(fs.openSync(file)));

    assert.notDeepEqual(databaseLocks(rig.database), held);
    assert.deepEqual(databaseLocks(rig.database), { database: [], sharedMemory: [] });
    assert.equal(outcomeOfOtherWriter(rig.database), 'ok');
  });
}

/** A better-sqlite3 connection of this process in the middle of a write transaction. */
function holdWriteLock(rig) {
  const connection = new Database(rig.database);
  rig.defer(() => connection.close());
  connection.exec('BEGIN IMMEDIATE');
  connection.exec("INSERT INTO Metric VALUES ('held', 1)");
  return connection;
}

async function outcomeOf(call) {
  try {
    const value = await call();
    return { code: 'resolved', text: JSON.stringify(value) };
  } catch (error) {
    return { code: error.code, text: error.stack };
  }
}
