'use strict';

// Databases that share a folder of backups: none is rolled back to, or clears away, another one's.

const assert = require('node:assert/strict');
const { test } = require('node:test');
const { SnapshotRecovery } = require('../../index.js');
const { contentOf, createDatabase } = require('../support/database.js');
const { makeRig, refused } = require('../support/rig.js');

function prepare(t) {
  const rig = makeRig(t);
  return ['one.db', 'other.db'].map((name, index) => {
    const database = rig.path(name);
    createDatabase(database, { realities: 3 + index });
    const places = { databaseUrl: `file:${database}`, recoveryDir: rig.path('recovery') };
    return { database, recovery: new SnapshotRecovery({ ...rig.options, ...places, log: rig.log }) };
  });
}

test("a database is not rolled back to another one's backup", async (t) => {
  const [one, other] = prepare(t);
  const { backup } = await other.recovery.createPreOperationBackup('restore');
  const content = contentOf(one.database);
  const error = await refused(one.recovery.rollbackToPreOperationBackup(backup.name), 'SNAPSHOT_FOREIGN');
  assert.match(error.message, /other\.db.*one\.db.*nothing was changed/);
  assert.equal(contentOf(one.database), content);
  await other.recovery.rollbackToPreOperationBackup(backup.name);
});

test("clearing away old backups leaves another database's", async (t) => {
  const [one, other] = prepare(t);
  const names = [];
  for (const { recovery } of [other, other, one, one]) {
    names.push((await recovery.createPreOperationBackup('reset')).backup.name);
  }
  const { deleted } = await one.recovery.cleanupOldRecoveryBackups(0);
  assert.deepEqual(deleted, [names[2]]);
  const { backups } = await one.recovery.getRecoveryStatus();
  assert.deepEqual(backups.map(({ name }) => name).sort(), [names[0], names[1], names[3]].sort());
});
