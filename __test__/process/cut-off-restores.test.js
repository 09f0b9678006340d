'use strict';

// A restore that was cut off before its commit did not take place, whatever the application has
// done to the database by the time that the next call finds its traces.

const assert = require('node:assert/strict');
const { test } = require('node:test');
const { contentOf, createDatabase, insertRealities, withDatabase } = require('../support/database.js');
const { withFailpoint } = require('../support/failpoints.js');
const { makeRig, refused } = require('../support/rig.js');

/** What the application does before the next call of ours. */
const MEANWHILE = {
  'adds rows': (db) => insertRealities(db, 4, 'precious'),
  'migrates its schema': (db) => db.exec('CREATE TABLE Later (id INTEGER PRIMARY KEY)'),
  'leaves the database alone': () => {},
};

for (const step of ['restore.intent', 'restore.before-begin', 'restore.writing', 'restore.before-commit']) {
  for (const [what, change] of Object.entries(MEANWHILE)) {
    test(`a restore cut off at ${step} is not undone when the application ${what}`, async (t) => {
      const rig = makeRig(t);
      createDatabase(rig.database, { realities: 5 });
      await rig.writer.createSnapshot('image');
      withDatabase(rig.database, (db) => insertRealities(db, 3));
      await withFailpoint(`${step}=kill`, () =>
        refused(rig.writer.restoreFromSnapshot('image'), 'WORKER_FAILED'),
      );
      withDatabase(rig.database, change);
      const content = contentOf(rig.database);

      const outcome = await rig.writer.undoRestore().then(
        () => 'undone',
        (error) => error.code,
      );

      assert.equal(contentOf(rig.database), content, 'undoing what never happened lost data');
      assert.equal(outcome, 'UNDO_UNAVAILABLE');
      assert.equal((await rig.writer.getSnapshot('image')).restoreStatus, 'FAILED');
    });
  }
}

test('a restore cut off right after its commit took place, and can be undone', async (t) => {
  const rig = makeRig(t);
  createDatabase(rig.database, { realities: 5 });
  await rig.writer.createSnapshot('image');
  withDatabase(rig.database, (db) => insertRealities(db, 3));
  const live = contentOf(rig.database);
  await withFailpoint('restore.after-commit=kill', () =>
    refused(rig.writer.restoreFromSnapshot('image'), 'WORKER_FAILED'),
  );
  assert.notEqual(contentOf(rig.database), live);
  await rig.writer.undoRestore();
  assert.equal(contentOf(rig.database), live);
});
