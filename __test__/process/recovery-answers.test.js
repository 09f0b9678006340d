'use strict';

// What recoverFromFailedRestore answers after restores that failed, where an earlier one of the same
// snapshot had succeeded. "restored" is for one that took place although nobody heard of it.

const assert = require('node:assert/strict');
const { spawn } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { test } = require('node:test');
const { contentOf, countRows, createDatabase } = require('../support/database.js');
const { pauseAt, whilePaused, withFailpoint } = require('../support/failpoints.js');
const { filesBelow } = require('../support/files.js');
const { addRealities, makeRecoveryRig, packs } = require('../support/recovery.js');
const { eventually, refused } = require('../support/rig.js');

/** Three rows in the snapshot "x", which was restored once; five in the database now. */
async function restoredBefore(t, options) {
  const rig = makeRecoveryRig(t, options);
  createDatabase(rig.database, { megabytes: 1 });
  await rig.writer.createSnapshot('x');
  await rig.writer.restoreFromSnapshot('x');
  addRealities(rig.database, 2);
  return {
    ...rig,
    stateAfter: async (error) => (await rig.recovery.recoverFromFailedRestore('x', error)).state,
  };
}

test('a damaged snapshot that was restored before', async (t) => {
  const rig = await restoredBefore(t);
  const before = contentOf(rig.database);
  for (const pack of packs(rig.snapshotDir)) fs.rmSync(pack);
  const error = await refused(rig.writer.restoreFromSnapshot('x'), 'SNAPSHOT_DAMAGED');
  assert.equal(await rig.stateAfter(error), 'unchanged');
  assert.equal(contentOf(rig.database), before);
  const { lastRestore } = await rig.recovery.getRecoveryStatus();
  assert.deepEqual([lastRestore.snapshot, lastRestore.status], ['x', 'FAILED']);
});

test('a restore that never began leaves no trace', async (t) => {
  const rig = await restoredBefore(t);
  const killed = await withFailpoint('job.start=kill', () =>
    refused(rig.writer.restoreFromSnapshot('x'), 'WORKER_FAILED'),
  );
  assert.equal(await rig.stateAfter(killed), 'unchanged');

  const impatient = rig.newWriter({ lockTimeoutMs: 100 });
  let busy;
  await whilePaused(
    rig,
    'create.captured',
    () => rig.writer.createSnapshot('takes long'),
    async () => (busy = await refused(impatient.restoreFromSnapshot('x'), 'REPOSITORY_BUSY')),
  );
  assert.equal(await rig.stateAfter(busy), 'unchanged');
});

test('one that was cut off after its commit, and then a refused one', async (t) => {
  const rig = await restoredBefore(t);
  const error = await withFailpoint('restore.before-outcome=kill', () =>
    refused(rig.writer.restoreFromSnapshot('x'), 'WORKER_FAILED'),
  );
  assert.equal(await rig.stateAfter(error), 'restored');
  assert.equal(await rig.stateAfter(error), 'restored', 'the answer stays');
  addRealities(rig.database, 1);
  for (const pack of packs(rig.snapshotDir)) fs.rmSync(pack);
  const damaged = await refused(rig.writer.restoreFromSnapshot('x'), 'SNAPSHOT_DAMAGED');
  assert.equal(await rig.stateAfter(damaged), 'unchanged');
});

test('one that was cut off and undone', async (t) => {
  const rig = await restoredBefore(t);
  const error = await withFailpoint('restore.before-row=kill', () =>
    refused(rig.writer.restoreFromSnapshot('x'), 'WORKER_FAILED'),
  );
  await rig.writer.undoRestore();
  assert.equal(countRows(rig.database, 'Reality'), 5);
  assert.equal(await rig.stateAfter(error), 'unchanged');
});

test('one that is killed while the command after it runs took place', async (t) => {
  const rig = await restoredBefore(t);
  const writer = rig.newWriter({ postRestoreCommand: ['/bin/sh', '-c', 'kill -9 $PPID'] });
  const error = await refused(writer.restoreFromSnapshot('x'), 'WORKER_FAILED');
  assert.equal(countRows(rig.database, 'Reality'), 3);
  assert.equal(await rig.stateAfter(error), 'restored');
});

test('one whose application is gone took place', async (t) => {
  const rig = await restoredBefore(t);
  const pause = pauseAt(rig, 'restore.before-outcome');
  const script = `new (require('./index.js').SnapshotWriter)(${JSON.stringify(rig.options)}).restoreFromSnapshot('x')`;
  const application = spawn(process.execPath, ['-e', script], {
    env: { ...process.env, ...pause.env },
    stdio: 'ignore',
  });
  rig.defer(() => application.kill('SIGKILL'));
  await eventually(pause.isReached, 'the commit');
  application.kill('SIGKILL');
  await new Promise((resolve) => application.once('exit', resolve));
  pause.release();
  assert.equal(await rig.stateAfter('the application was killed'), 'restored');
  assert.equal(countRows(rig.database, 'Reality'), 3);
});

test('what was told leaves no note', async (t) => {
  const rig = await restoredBefore(t);
  await rig.writer.undoRestore();
  const { backup } = await rig.recovery.createPreOperationBackup('y');
  await rig.recovery.rollbackToPreOperationBackup(backup.name);
  assert.deepEqual(filesBelow(path.join(rig.snapshotDir, 'local', 'untold')), []);
});
