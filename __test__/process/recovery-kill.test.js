'use strict';

// Backups before operations, and rollbacks, killed on the way.

const assert = require('node:assert/strict');
const path = require('node:path');
const { test } = require('node:test');
const { countRows, createDatabase } = require('../support/database.js');
const { withFailpoint } = require('../support/failpoints.js');
const { filesBelow } = require('../support/files.js');
const { addRealities, makeRecoveryRig, manifests, names } = require('../support/recovery.js');
const { refused } = require('../support/rig.js');

for (const [step, state, rows] of [
  ['restore.before-begin', 'unchanged', 5],
  ['restore.writing', 'unchanged', 5],
  ['restore.before-outcome', 'restored', 3],
  ['restore.before-row', 'restored', 3],
]) {
  test(`a rollback killed at ${step} leaves the database ${state}`, async (t) => {
    const rig = makeRecoveryRig(t);
    createDatabase(rig.database);
    await rig.writer.createSnapshot('before');
    const { backup } = await rig.recovery.createPreOperationBackup('x');
    await rig.writer.createSnapshot('after');
    addRealities(rig.database, 2);
    const error = await withFailpoint(`${step}=kill`, () =>
      refused(rig.recovery.rollbackToPreOperationBackup(backup.name), 'WORKER_FAILED'),
    );
    assert.deepEqual(await rig.recovery.recoverFromFailedRestore(backup.name, error), {
      success: true,
      state,
      problems: [],
      snapshot: null,
      passedOver: [],
      error: error.message,
    });
    assert.equal(countRows(rig.database, 'Reality'), rows);
    assert.deepEqual(names(rig.database), ['after', 'before']);
    const { lastRestore, unfinishedRestore } = await rig.recovery.getRecoveryStatus();
    assert.equal(unfinishedRestore, false);
    assert.equal(lastRestore.status, state === 'restored' ? 'SUCCESS' : 'FAILED');
  });
}

for (const [step, expected] of [
  ['create.captured', []],
  ['create.before-manifest', []],
  ['create.after-manifest', [{ type: 'first', metadata: { n: 1 } }]],
]) {
  test(`a backup killed at ${step} is whole or not there`, async (t) => {
    const rig = makeRecoveryRig(t);
    createDatabase(rig.database, { megabytes: 1 });
    const listed = async () => {
      const { backups } = await rig.recovery.getRecoveryStatus();
      return backups.map(({ type, metadata }) => ({ type, metadata }));
    };
    await withFailpoint(`${step}=kill`, () =>
      refused(rig.recovery.createPreOperationBackup('first', { n: 1 }), 'WORKER_FAILED'),
    );
    assert.deepEqual(await listed(), expected);
    await rig.recovery.createPreOperationBackup('second');
    assert.deepEqual(await listed(), [{ type: 'second', metadata: null }, ...expected]);
    for (const { name } of (await rig.recovery.getRecoveryStatus()).backups) {
      await rig.recovery.rollbackToPreOperationBackup(name);
    }
  });
}

test('a backup that was cut off leaves no note, and a killed clean-up is finished by the next one', async (t) => {
  const rig = makeRecoveryRig(t);
  createDatabase(rig.database, { megabytes: 1 });
  await withFailpoint('create.before-manifest=kill', () =>
    refused(rig.recovery.createPreOperationBackup('cut off'), 'WORKER_FAILED'),
  );
  for (const type of ['a', 'b', 'c']) {
    addRealities(rig.database, 1);
    await rig.recovery.createPreOperationBackup(type);
  }
  await withFailpoint('delete.before-packs=kill', () =>
    refused(rig.recovery.cleanupOldRecoveryBackups(0), 'WORKER_FAILED'),
  );
  await rig.recovery.cleanupOldRecoveryBackups(0);
  assert.equal(filesBelow(path.join(rig.recoveryDir, 'local', 'operations')).length, 1);
  assert.equal(manifests(rig.recoveryDir).length, 1);
  const { backups } = await rig.recovery.getRecoveryStatus();
  await rig.recovery.rollbackToPreOperationBackup(backups[0].name);
});
