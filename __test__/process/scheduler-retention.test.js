'use strict';

// A database that is lost at night and snapshotted empty by the scheduler: the good snapshots outlive it.

const assert = require('node:assert/strict');
const { test } = require('node:test');
const { contentOf, createDatabase, withDatabase } = require('../support/database.js');
const { assertAllVerify, makeRig } = require('../support/rig.js');
const { runScheduler } = require('../support/scheduler.js');

const NIGHTS = 20;
const TABLES = ['Reality', 'RecursionPath', 'ConsciousnessField'];

test(`${NIGHTS} snapshots of an emptied database age no good one out, and bootstrapping brings it back`, async (t) => {
  const rig = makeRig(t);
  createDatabase(rig.database, { realities: 20 });
  const good = contentOf(rig.database);
  assert.equal((await runScheduler(rig)).code, 0);
  const [{ name }] = await rig.writer.listSnapshots();

  withDatabase(rig.database, (db) => TABLES.forEach((table) => db.exec(`DELETE FROM "${table}"`)));
  for (let night = 1; night <= NIGHTS; night += 1) {
    const { code, output } = await runScheduler(rig, [], { SNAPSHOT_KEEP_LAST: '3' });
    assert.equal(code, 0, output);
    assert.match(output, /WARN Nothing from before scheduled_\S+ is removed: /);
  }
  const snapshots = await assertAllVerify(rig.writer);
  assert.ok(
    snapshots.some((snapshot) => snapshot.name === name),
    'the good one is still there',
  );

  const { bootstrapped, snapshot } = await rig.writer.bootstrapDatabase();
  assert.deepEqual([bootstrapped, snapshot?.name], [true, name]);
  assert.equal(contentOf(rig.database), good);
});
