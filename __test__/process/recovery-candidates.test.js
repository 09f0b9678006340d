'use strict';

// What is looked for when a good state is needed: one that cannot be read ends no search, and the last
// one with data is never cleaned up.

const assert = require('node:assert/strict');
const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { test } = require('node:test');
const { contentOf, countRows, createDatabase, withDatabase } = require('../support/database.js');
const { withFailpoint } = require('../support/failpoints.js');
const { addRealities, breakIndex, makeRecoveryRig, manifests, packs } = require('../support/recovery.js');
const { makeRig } = require('../support/rig.js');

const CLI = path.join(__dirname, '..', '..', 'bin', 'snapshot-writer.cjs');
/** Where a manifest says its format. */
const VERSION_AT = 8;

/** What `files` lists after `make` and not before it. */
async function made(files, make) {
  const before = new Set(files());
  await make();
  return files().filter((file) => !before.has(file));
}

/** The operating system refuses to read it, whoever asks: a link to itself. */
function makeUnreadable(file) {
  fs.rmSync(file);
  fs.symlinkSync(path.basename(file), file);
}

function makeNewer(manifest) {
  const bytes = fs.readFileSync(manifest);
  bytes[VERSION_AT] = 2;
  fs.writeFileSync(manifest, bytes);
}

/** Takes a snapshot of a changed database; its own files. */
async function snapshot(rig, name) {
  addRealities(rig.database, 1);
  const files = () => [...manifests(rig.snapshotDir), ...packs(rig.snapshotDir)];
  const own = await made(files, () => rig.writer.createSnapshot(name));
  assert.equal(own.length, 2);
  return { manifest: own[0], pack: own[1] };
}

test('a damaged database is taken back although newer states cannot be read', async (t) => {
  const rig = makeRecoveryRig(t);
  createDatabase(rig.database);
  await rig.writer.createSnapshot('good');
  const good = contentOf(rig.database);
  makeUnreadable((await snapshot(rig, 'unreadable')).pack);
  makeUnreadable((await snapshot(rig, 'nameless')).manifest);
  addRealities(rig.database, 1);
  const { backup } = await rig.recovery.createPreOperationBackup('newer');
  makeNewer(backup.path);
  breakIndex(rig.database);

  const result = await rig.recovery.recoverFromFailedRestore('x');
  assert.deepEqual([result.state, result.snapshot.name], ['rolledBack', 'good']);
  assert.equal(contentOf(rig.database), good);
  assert.equal(result.passedOver.length, 3);
  assert.match(result.passedOver[0], /^unreadable: .*cannot open/);
  const others = result.passedOver.slice(1).join('\n');
  assert.match(others, /^manifest .*was written in format 2/m);
  assert.match(others, /^manifest .*cannot open/m);
});

test('bootstrapping passes over what cannot be read', async (t) => {
  const rig = makeRig(t);
  createDatabase(rig.database);
  await rig.writer.createSnapshot('good');
  const good = contentOf(rig.database);
  makeUnreadable((await snapshot(rig, 'unreadable')).pack);
  makeNewer((await snapshot(rig, 'newer')).manifest);
  fs.rmSync(rig.database);

  const result = await rig.writer.bootstrapDatabase();
  assert.equal(result.snapshot?.name, 'good', result.stack);
  assert.equal(contentOf(rig.database), good);
  assert.equal(result.passedOver.length, 2);
  assert.match(result.passedOver.join('\n'), /was written in format 2/);
  assert.match(result.passedOver.join('\n'), /^unreadable: cannot open/m);
});

test('bootstrapping ends where it is the database that cannot be made', async (t) => {
  const rig = makeRig(t);
  createDatabase(rig.database);
  await rig.writer.createSnapshot('older');
  await snapshot(rig, 'newest');
  fs.rmSync(rig.database);
  const result = await withFailpoint('restore.before-publish=fail', () => rig.writer.bootstrapDatabase());
  assert.equal(result.bootstrapped, false);
  assert.ok(result.error);
  assert.equal(fs.existsSync(rig.database), false, 'an older state was put there');
});

test('snapshots of other databases alone are an error with a code', async (t) => {
  const rig = makeRig(t);
  createDatabase(rig.database);
  await rig.writer.createSnapshot('x');
  const databaseUrl = `file:${rig.path('other.db')}`;
  const { bootstrapped, code, error } = await rig.newWriter({ databaseUrl }).bootstrapDatabase();
  assert.deepEqual([bootstrapped, code], [false, 'SNAPSHOT_NOT_FOUND']);
  assert.match(error, /certain to be of other\.db.*app\.db/);
  const env = { ...process.env, DATABASE_URL: databaseUrl, SNAPSHOT_DIR: rig.snapshotDir };
  const { status, stdout } = spawnSync(process.execPath, [CLI, 'bootstrap', '--json'], {
    env,
    encoding: 'utf8',
  });
  assert.deepEqual([status, JSON.parse(stdout).error.code], [1, 'SNAPSHOT_NOT_FOUND']);
});

test('cleaning up keeps the newest good backup with data, however empty the newer ones are', async (t) => {
  const rig = makeRecoveryRig(t);
  createDatabase(rig.database);
  const first = (await rig.recovery.createPreOperationBackup('full')).backup.name;
  withDatabase(rig.database, (db) => db.exec('DELETE FROM Reality'));
  const second = (await rig.recovery.createPreOperationBackup('emptied')).backup.name;
  const cleaned = await rig.recovery.cleanupOldRecoveryBackups(0);
  assert.deepEqual([cleaned.deleted, cleaned.kept], [[second], [first]]);
  await rig.recovery.rollbackToPreOperationBackup(first);
  assert.equal(countRows(rig.database, 'Reality'), 3);
});

test('an empty backup stays where there is no other', async (t) => {
  const rig = makeRecoveryRig(t);
  createDatabase(rig.database, { realities: 0 });
  const only = (await rig.recovery.createPreOperationBackup('empty')).backup.name;
  assert.deepEqual((await rig.recovery.cleanupOldRecoveryBackups(0)).kept, [only]);
});

test('the way back needs no well configured bucket', async (t) => {
  const rig = makeRecoveryRig(t);
  createDatabase(rig.database);
  const { backup } = await rig.recovery.createPreOperationBackup('x');
  addRealities(rig.database, 2);
  Object.assign(process.env, { S3_BUCKET: 'nowhere', S3_FORCE_PATH_STYLE: 'perhaps' });
  t.after(() => ['S3_BUCKET', 'S3_FORCE_PATH_STYLE'].forEach((name) => delete process.env[name]));

  await rig.recovery.rollbackToPreOperationBackup(backup.name);
  assert.equal(countRows(rig.database, 'Reality'), 3);
  const warnings = rig.log.warnings().map(({ message }) => message);
  assert.match(warnings.join('\n'), /the bucket is left out: S3_FORCE_PATH_STYLE must be true or false/);
  breakIndex(rig.database);
  assert.equal((await rig.recovery.recoverFromFailedRestore('y')).state, 'rolledBack');
});
