'use strict';

// Bootstrapping fills an empty database. Whether it is empty is asked again under the write lock, so
// what somebody writes while the snapshot is looked for and read stays.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const { test } = require('node:test');
const { contentOf, createDatabase, withDatabase } = require('../support/database.js');
const { pauseAt, whilePaused, withFailpoint } = require('../support/failpoints.js');
const { countOf } = require('../support/overwriting.js');
const { startConnection } = require('../support/processes.js');
const { eventually, makeRig } = require('../support/rig.js');

const INSERT = `INSERT INTO Reality (id, description, parameters, recursionDepth, schemaVersion)
  VALUES ('a', 'acknowledged', '{}', 0, 1)`;

/** A repository with a snapshot of three realities, and the database empty but for its schema. */
async function emptied(t, journalMode) {
  const rig = makeRig(t);
  createDatabase(rig.database, { journalMode, realities: 3, megabytes: 1 });
  await rig.writer.createSnapshot('image');
  withDatabase(rig.database, (db) => db.exec('DELETE FROM Reality; DELETE FROM Filler'));
  return rig;
}

async function assertNothingWasOverwritten(rig, result) {
  assert.deepEqual(result, { bootstrapped: false });
  assert.equal(countOf(rig.database, 'acknowledged'), 1, 'the row is still there');
  assert.equal(countOf(rig.database, ''), 1, 'and nothing else');
  assert.equal((await rig.writer.getSnapshot('image')).restoreStatus, null);
  const kinds = (await rig.writer.listSnapshots()).map(({ kind }) => kind);
  assert.deepEqual(kinds, ['snapshot'], 'nothing is kept of a restore that never began');
}

for (const journalMode of ['delete', 'wal']) {
  for (const step of ['restore.intent', 'restore.before-begin']) {
    test(`rows that are committed at ${step} are not overwritten (${journalMode})`, async (t) => {
      const rig = await emptied(t, journalMode);
      const { value } = await whilePaused(
        rig,
        step,
        () => rig.writer.bootstrapDatabase(),
        () => withDatabase(rig.database, (db) => db.exec(INSERT)),
      );
      await assertNothingWasOverwritten(rig, value);
    });
  }

  test(`rows of a transaction that is open all the time are not overwritten (${journalMode})`, async (t) => {
    const rig = await emptied(t, journalMode);
    const writer = await startConnection(rig, 'better-sqlite3', rig.database);
    await writer.exec('BEGIN IMMEDIATE');
    await writer.exec(INSERT);
    const pause = pauseAt(rig, 'restore.before-begin');
    const running = withFailpoint(pause.armed, () => rig.writer.bootstrapDatabase());
    await eventually(pause.isReached, 'the bootstrap to ask for the lock');
    pause.release();
    await writer.exec('COMMIT');
    await assertNothingWasOverwritten(rig, await running);
    await writer.close();
  });

  test(`a database that stays empty is filled, whatever else is written (${journalMode})`, async (t) => {
    const rig = await emptied(t, journalMode);
    const { value } = await whilePaused(
      rig,
      'restore.before-begin',
      () => rig.writer.bootstrapDatabase(),
      () => withDatabase(rig.database, (db) => db.exec("INSERT INTO Metric VALUES ('starts', 1)")),
    );
    assert.equal(value.bootstrapped, true);
    assert.equal(value.counts.realities, 3);
    await rig.writer.undoRestore();
    const metrics = withDatabase(rig.database, (db) => db.prepare('SELECT * FROM Metric').all());
    assert.deepEqual(metrics, [{ key: 'starts', value: 1 }], 'it can be taken back');
  });

  test(`a file with rows that takes the empty database's place stays (${journalMode})`, async (t) => {
    const rig = await emptied(t, journalMode);
    const other = rig.path('other.db');
    createDatabase(other, { realities: 7 });
    const content = contentOf(other);
    const { value } = await whilePaused(
      rig,
      'restore.before-begin',
      () => rig.writer.bootstrapDatabase(),
      () => fs.renameSync(other, rig.database),
    );
    assert.equal(value.bootstrapped, false);
    assert.equal(contentOf(rig.database), content);
  });
}

test('a zero-byte file in which somebody begins a database meanwhile is left to them', async (t) => {
  const rig = await emptied(t, 'delete');
  fs.writeFileSync(rig.database, '');
  const { value } = await whilePaused(
    rig,
    'restore.before-begin',
    () => rig.writer.bootstrapDatabase(),
    () => createDatabase(rig.database, { realities: 5 }),
  );
  assert.deepEqual(value, { bootstrapped: false });
  assert.equal(countOf(rig.database, 'a reality'), 5);
});

test('a missing file that comes into being with rows is left as it is', async (t) => {
  const rig = await emptied(t, 'delete');
  fs.rmSync(rig.database);
  let content;
  const { value } = await whilePaused(
    rig,
    'restore.before-publish',
    () => rig.writer.bootstrapDatabase(),
    () => {
      createDatabase(rig.database, { realities: 5 });
      content = contentOf(rig.database);
    },
  );
  assert.deepEqual(value, { bootstrapped: false });
  assert.equal(contentOf(rig.database), content);
});

test('a missing file that comes into being empty is left as it is, and filled by the next call', async (t) => {
  const rig = await emptied(t, 'delete');
  fs.rmSync(rig.database);
  const { value } = await whilePaused(
    rig,
    'restore.before-publish',
    () => rig.writer.bootstrapDatabase(),
    () => createDatabase(rig.database, { realities: 0 }),
  );
  assert.deepEqual([value.bootstrapped, value.code], [false, 'DATABASE_MOVED']);
  assert.equal(countOf(rig.database, ''), 0);
  assert.equal((await rig.writer.bootstrapDatabase()).bootstrapped, true);
  assert.equal(countOf(rig.database, 'a reality'), 3);
});
