'use strict';

// What has committed has taken place: nothing that fails afterwards makes the call reject.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { test } = require('node:test');
const {
  contentOf,
  countRows,
  createDatabase,
  insertRealities,
  withDatabase,
} = require('../support/database.js');
const { withFailpoint } = require('../support/failpoints.js');
const { filesBelow } = require('../support/files.js');
const { isAlive } = require('../support/processes.js');
const { makeRig, refused } = require('../support/rig.js');

const STEPS = ['restore.after-commit', 'restore.before-outcome', 'restore.before-row'];

/** A database with the snapshot "image" and other content since. */
async function prepare(rig, options) {
  createDatabase(rig.database, { realities: 5, ...options });
  const image = contentOf(rig.database);
  await rig.writer.createSnapshot('image');
  withDatabase(rig.database, (db) => insertRealities(db, 3));
  return { image, live: contentOf(rig.database) };
}

for (const journalMode of ['delete', 'wal']) {
  for (const step of STEPS) {
    for (const how of ['fail', 'full']) {
      test(`a restore at whose ${step} something fails (${how}) resolves and can be undone (${journalMode})`, async (t) => {
        const rig = makeRig(t);
        const { image, live } = await prepare(rig, { journalMode });
        const { snapshot } = await withFailpoint(`${step}=${how}`, () =>
          rig.writer.restoreFromSnapshot('image'),
        );
        assert.equal(snapshot.restoreStatus, 'SUCCESS');
        assert.equal(contentOf(rig.database), image);
        assert.ok(rig.log.warnings().length > 0, 'a warning says it');
        await rig.writer.undoRestore();
        assert.equal(contentOf(rig.database), live);
        assert.equal((await rig.writer.getSnapshot('image')).restoreStatus, 'SUCCESS');
      });
    }
  }
}

for (const step of STEPS.slice(1)) {
  test(`a bootstrap at whose ${step} something fails says that the database is filled`, async (t) => {
    const rig = makeRig(t);
    const { image } = await prepare(rig);
    fs.rmSync(rig.database);
    const result = await withFailpoint(`${step}=full`, () => rig.writer.bootstrapDatabase());
    assert.equal(result.bootstrapped, true, result.error);
    assert.equal(contentOf(rig.database), image);
  });
}

test('a failed command whose restore cannot be undone says so and leaves the way back open', async (t) => {
  const rig = makeRig(t);
  const { image, live } = await prepare(rig);
  // The undo needs the repository, which the command has made unreadable.
  const away = rig.path('away');
  const broken = rig.newWriter({ postRestoreCommand: `mv ${rig.path('snapshots/packs')} ${away}; exit 3` });
  const error = await refused(broken.restoreFromSnapshot('image'), 'UNDO_CONFLICT');
  assert.match(error.message, /NOT undone/);
  assert.equal(contentOf(rig.database), image);
  fs.rmSync(rig.path('snapshots/packs'), { recursive: true, force: true });
  fs.renameSync(away, rig.path('snapshots/packs'));
  await rig.writer.undoRestore();
  assert.equal(contentOf(rig.database), live);
});

test('a command whose child keeps its output open is over when it ends, and its restore is undone', async (t) => {
  const rig = makeRig(t);
  const { live } = await prepare(rig);
  // The child leaves the group, so that nothing ends it with the command, which waits until it has.
  const pid = rig.path('pid');
  const line = `setsid sh -c 'echo $$ > ${pid}; exec sleep 60' & until [ -s ${pid} ]; do sleep 0.05; done; exit 4`;
  rig.defer(() => process.kill(Number(fs.readFileSync(pid, 'utf8'))));
  const writer = rig.newWriter({ postRestoreCommand: line, postRestoreTimeoutMs: 1_000 });
  const error = await refused(writer.restoreFromSnapshot('image'), 'POST_RESTORE_FAILED');
  assert.match(error.message, /exit status: 4/);
  assert.equal(contentOf(rig.database), live);
  assert.ok(isAlive(Number(fs.readFileSync(pid, 'utf8'))), 'it was waited for');
});

test('what a command says is told to the caller and lies in no file, which only its owner may read', async (t) => {
  const rig = makeRig(t);
  await prepare(rig);
  const line =
    "head -c 3000000 /dev/zero | tr '\\\\0' x >&2; echo 'the last words: hunter2' >&2; exit 5 # TOKEN=s3cret";
  const error = await refused(
    rig.newWriter({ postRestoreCommand: line }).restoreFromSnapshot('image'),
    'POST_RESTORE_FAILED',
  );
  assert.match(error.message, /the last words: hunter2$/);
  assert.ok(error.message.length < 4_000, `${error.message.length} characters`);
  const secret = /hunter2|s3cret|xxxxxxxx/;
  for (const file of [rig.database, ...filesBelow(path.join(rig.snapshotDir, 'local'))]) {
    assert.doesNotMatch(fs.readFileSync(file, 'latin1'), secret, file);
  }
  for (const file of filesBelow(path.join(rig.snapshotDir, 'local', 'restores'))) {
    assert.equal(fs.statSync(file).mode & 0o077, 0, file);
  }
});

test('no trigger of the application runs for rows that are ours', async (t) => {
  const rig = makeRig(t);
  await prepare(rig);
  withDatabase(rig.database, (db) =>
    db.exec(
      ['INSERT', 'UPDATE', 'DELETE']
        .map(
          (what) => `CREATE TRIGGER on_${what} AFTER ${what} ON "Snapshot" BEGIN DELETE FROM Reality; END;`,
        )
        .join(''),
    ),
  );
  await rig.writer.createSnapshot('with triggers');
  assert.equal(countRows(rig.database, 'Reality'), 8);
  await rig.writer.restoreFromSnapshot('with triggers');
  await rig.writer.deleteSnapshot('image');
  assert.equal(countRows(rig.database, 'Reality'), 8);
});
