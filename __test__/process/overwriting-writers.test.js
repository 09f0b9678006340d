'use strict';

// What somebody commits until the very moment at which a call takes the write lock is not lost when
// the call overwrites it: the state that can be taken back holds it.

const assert = require('node:assert/strict');
const { test } = require('node:test');
const { countRows, withDatabase } = require('../support/database.js');
const { pauseAt, withFailpoint, whilePaused } = require('../support/failpoints.js');
const { OVERWRITING, countOf, prepareOverwriting } = require('../support/overwriting.js');
const { startConnection } = require('../support/processes.js');
const { makeRecoveryRig, manifests } = require('../support/recovery.js');
const { eventually, refused } = require('../support/rig.js');

const INSERT = (id) =>
  `INSERT INTO Reality (id, description, parameters, recursionDepth, schemaVersion) VALUES ('${id}', 'acknowledged', '{}', 0, 1)`;

for (const journalMode of ['delete', 'wal']) {
  for (const [name, call] of Object.entries(OVERWRITING)) {
    test(`${name} keeps what is committed between its copy and its lock (${journalMode})`, async (t) => {
      const rig = makeRecoveryRig(t);
      await prepareOverwriting(rig, call, journalMode);
      const outcome = await whilePaused(
        rig,
        'restore.before-begin',
        () => call.act(rig),
        () => withDatabase(rig.database, (db) => db.exec(INSERT('a'))),
      );
      assert.equal(outcome.status, 'fulfilled', outcome.reason?.stack);
      assert.equal(countOf(rig.database, 'acknowledged'), 0, 'it was overwritten');
      await call.takeBack(rig, outcome.value);
      assert.equal(countOf(rig.database, 'acknowledged'), 1, 'and comes back');
    });

    test(`${name} keeps what an open writer commits while it waits for the lock (${journalMode})`, async (t) => {
      const rig = makeRecoveryRig(t);
      await prepareOverwriting(rig, call, journalMode);
      const writer = await startConnection(rig, 'better-sqlite3', rig.database);
      await writer.exec('BEGIN IMMEDIATE');
      await writer.exec(INSERT('a'));
      const pause = pauseAt(rig, 'restore.before-begin');
      const running = withFailpoint(pause.armed, () => call.act(rig));
      await eventually(pause.isReached, 'the call to ask for the lock');
      pause.release();
      await writer.exec('COMMIT');
      const result = await running;
      assert.equal(countOf(rig.database, 'acknowledged'), 0, 'it was overwritten');
      await call.takeBack(rig, result);
      assert.equal(countOf(rig.database, 'acknowledged'), 1, 'and comes back');
      await writer.close();
    });
  }
}

test('a database that is sound again when the lock is taken is not taken back', async (t) => {
  const rig = makeRecoveryRig(t);
  const { prepare, act } = OVERWRITING.recoverFromFailedRestore;
  await prepareOverwriting(rig, { prepare }, 'delete');
  const { status, value } = await whilePaused(
    rig,
    'restore.before-begin',
    () => act(rig),
    () => withDatabase(rig.database, (db) => db.exec(`DROP INDEX Broken; ${INSERT('a')}`)),
  );
  assert.deepEqual([status, value?.state, value?.problems], ['fulfilled', 'unchanged', []]);
  assert.equal(countOf(rig.database, 'acknowledged'), 1);
  assert.equal(countOf(rig.database, 'written since'), 1);
});

test('a checkpoint between copy and lock costs no second safety snapshot', async (t) => {
  const rig = makeRecoveryRig(t);
  await prepareOverwriting(rig, OVERWRITING.restoreFromSnapshot, 'wal');
  const application = await startConnection(rig, 'better-sqlite3', rig.database);
  await application.exec(INSERT('a'));
  const before = manifests(rig.snapshotDir).length;
  const outcome = await whilePaused(
    rig,
    'restore.before-begin',
    () => rig.writer.restoreFromSnapshot('image'),
    () => application.exec('PRAGMA wal_checkpoint(TRUNCATE)'),
  );
  assert.equal(outcome.status, 'fulfilled', outcome.reason?.stack);
  assert.equal(manifests(rig.snapshotDir).length, before + 1);
  await rig.writer.undoRestore();
  assert.equal(countOf(rig.database, 'acknowledged'), 1);
  await application.close();
});

test('what changed while a commit waited for readers is kept too', async (t) => {
  const rig = makeRecoveryRig(t, { commitTimeoutMs: 50 });
  const writer = rig.newWriter({ commitTimeoutMs: 50 });
  await prepareOverwriting(rig, OVERWRITING.restoreFromSnapshot, 'delete');
  const reader = await startConnection(rig, 'better-sqlite3', rig.database);
  await reader.step('SELECT * FROM Filler');
  const pause = pauseAt(rig, 'restore.before-begin');
  const running = withFailpoint(pause.armed, () => writer.restoreFromSnapshot('image'));
  await eventually(pause.isReached, 'the first attempt');
  pause.release();
  // The reader keeps the first attempts from committing; the writer comes in between two of them.
  const other = await startConnection(rig, 'better-sqlite3', rig.database);
  await other.exec('BEGIN IMMEDIATE');
  await other.exec(INSERT('a'));
  await reader.drain();
  await other.exec('COMMIT');
  await running;
  assert.equal(countOf(rig.database, 'acknowledged'), 0);
  await rig.writer.undoRestore();
  assert.equal(countOf(rig.database, 'acknowledged'), 1);
  await other.close();
  await reader.close();
});

test('a change that cannot be stored without a long stall is copied without the lock first', async (t) => {
  const rig = makeRecoveryRig(t);
  await prepareOverwriting(rig, OVERWRITING.restoreFromSnapshot, 'wal');
  const impatient = rig.newWriter({ maxWriterStallMs: 1 });
  withDatabase(rig.database, (db) => db.exec('UPDATE Filler SET body = upper(body)'));
  const outcome = await whilePaused(
    rig,
    'restore.before-begin',
    () => impatient.restoreFromSnapshot('image'),
    () => withDatabase(rig.database, (db) => db.exec(INSERT('a'))),
  );
  assert.equal(outcome.status, 'fulfilled', outcome.reason?.stack);
  await rig.writer.undoRestore();
  assert.equal(countOf(rig.database, 'acknowledged'), 1);
});

for (const [name, journalMode] of [
  ['restoreFromSnapshot', 'wal'],
  ['restoreFromSnapshot', 'delete'],
  ['_resetDatabase', 'wal'],
]) {
  test(`${name} gives up with everything as it was when writers would wait for too long (${journalMode})`, async (t) => {
    const rig = makeRecoveryRig(t);
    await prepareOverwriting(rig, OVERWRITING[name], journalMode);
    withDatabase(rig.database, (db) => {
      for (let doubled = 0; doubled < 5; doubled += 1) {
        db.exec('INSERT INTO Filler (body) SELECT hex(randomblob(1800)) FROM Filler');
      }
    });
    const call = (options) => OVERWRITING[name].act({ writer: rig.newWriter(options) });
    const writer = await startConnection(rig, 'better-sqlite3', rig.database);
    let written = 0;
    let over = false;
    const writing = (async () => {
      while (!over) {
        await writer.exec(INSERT(`w${written}`));
        written += 1;
      }
    })();
    const error = await refused(call({ maxWriterStallMs: 1, lockTimeoutMs: 1500 }), 'WRITERS_TOO_BUSY');
    over = true;
    await writing;
    assert.match(error.message, /maxWriterStallMs/);
    assert.equal(countOf(rig.database, 'acknowledged'), written, 'no write was lost');
    assert.equal(countRows(rig.database, 'Reality'), written + 4);
    await writer.close();
    await call({ maxWriterStallMs: 1 });
    assert.equal(countOf(rig.database, 'acknowledged'), 0, 'once it is quiet, nobody would have to wait');
  });
}
