'use strict';

// A COMMIT that reports an error may have taken place. What is said of it is what a fresh connection finds.

const assert = require('node:assert/strict');
const { test } = require('node:test');
const { contentOf, createDatabase, insertRealities, withDatabase } = require('../support/database.js');
const { withFailingSync } = require('../support/failing-sync.js');
const { startConnection } = require('../support/processes.js');
const { makeRig } = require('../support/rig.js');

async function prepare(rig, journalMode) {
  createDatabase(rig.database, { realities: 5, journalMode });
  const image = contentOf(rig.database);
  await rig.writer.createSnapshot('image');
  withDatabase(rig.database, (db) => insertRealities(db, 3));
  return { image, live: contentOf(rig.database) };
}

const restore = (writer) => writer.restoreFromSnapshot('image');

test('a commit whose folder sync fails after the journal is gone has taken place', async (t) => {
  const rig = makeRig(t);
  const { image, live } = await prepare(rig, 'delete');
  const fault = {
    failing: rig.folder,
    without: `${rig.database}-journal`,
    armedAt: 'restore.before-commit',
  };
  const { happened, status, reason, value } = await withFailingSync(rig, fault, restore);
  assert.ok(happened, 'the sync failed');
  assert.equal(status, 'fulfilled', reason?.stack);
  assert.equal(value.snapshot.restoreStatus, 'SUCCESS');
  assert.equal(contentOf(rig.database), image);
  assert.ok(rig.log.warnings().some(({ message }) => /has taken place/.test(message)));
  await rig.writer.undoRestore();
  assert.equal(contentOf(rig.database), live);
});

test('a commit whose sync of the file fails is rolled back and is a failure', async (t) => {
  const rig = makeRig(t);
  const { live } = await prepare(rig, 'delete');
  const fault = { failing: rig.database, armedAt: 'restore.before-commit' };
  const { happened, status } = await withFailingSync(rig, fault, restore);
  assert.ok(happened, 'the sync failed');
  assert.equal(status, 'rejected');
  assert.equal(contentOf(rig.database), live);
  assert.equal((await rig.writer.getSnapshot('image')).restoreStatus, 'FAILED');
});

for (const lasts of [false, true]) {
  test(`a commit whose WAL cannot be synced is what it is said to be after every crash (${lasts ? 'lasting' : 'once'})`, async (t) => {
    const rig = makeRig(t);
    const { image, live } = await prepare(rig, 'wal');
    // Somebody keeps the WAL alive, and is killed afterwards: then it is read again from its beginning.
    const holder = await startConnection(rig, 'better-sqlite3', rig.database);
    await holder.all('SELECT count(*) FROM Reality');
    const fault = { failing: `${rig.database}-wal`, armedAt: 'restore.before-commit', lasts };

    const { happened, status, reason } = await withFailingSync(rig, fault, restore);

    assert.ok(happened, 'the sync failed');
    assert.equal(status, 'rejected');
    await holder.kill();
    if (lasts) {
      assert.equal(reason.code, 'UNSETTLED', reason.stack);
      // Whatever recovery makes of it, the next call that writes says the same.
      const content = contentOf(rig.database);
      await rig.writer.createSnapshot('afterwards');
      const { restoreStatus } = await rig.writer.getSnapshot('image');
      assert.equal(restoreStatus, content === image ? 'SUCCESS' : 'FAILED');
    } else {
      assert.equal(contentOf(rig.database), live, 'called a failure, it came back');
      assert.equal((await rig.writer.getSnapshot('image')).restoreStatus, 'FAILED');
    }
  });
}
