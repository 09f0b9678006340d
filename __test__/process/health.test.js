'use strict';

// Every check of the status goes red or yellow when it should, and back.

const assert = require('node:assert/strict');
const { randomUUID } = require('node:crypto');
const fs = require('node:fs');
const path = require('node:path');
const { test } = require('node:test');
const { createDatabase, damageFiller, insertRealities, withDatabase } = require('../support/database.js');
const { whilePaused, withFailpoint } = require('../support/failpoints.js');
const { filesBelow, flipBit } = require('../support/files.js');
const { samples, verdicts } = require('../support/health.js');
const { mountSmall } = require('../support/mounts.js');
const { startConnection } = require('../support/processes.js');
const { makeRig, refused } = require('../support/rig.js');

/** A database with one snapshot. */
async function makeApplication(t) {
  const rig = makeRig(t);
  createDatabase(rig.database, { realities: 50, megabytes: 1 });
  await rig.writer.createSnapshot('first');
  return rig;
}

const verdict = async (rig, name) => (await verdicts(rig.writer))[name];

/** Which the repository knows the database by. */
function lineageOf(rig) {
  const file = path.join(rig.snapshotDir, 'local/lineages.json');
  return JSON.parse(fs.readFileSync(file, 'utf8'))[rig.database];
}

/** As `drill` notes it. */
function writeDrill(rig, drill) {
  const folder = path.join(rig.snapshotDir, 'local/drills');
  fs.mkdirSync(folder, { recursive: true });
  const id = randomUUID();
  const note = {
    id,
    reason: null,
    snapshot: null,
    tier: 'local',
    lineage: lineageOf(rig),
    newest: true,
    rtoMs: 70,
    rpoMs: null,
    checks: [],
    ...drill,
  };
  fs.writeFileSync(path.join(folder, id), JSON.stringify(note));
}

test('a fresh snapshot is good, and the status keeps the fields that it had', async (t) => {
  const rig = await makeApplication(t);
  writeDrill(rig, { at: new Date().toISOString(), outcome: 'passed' });
  const status = await rig.writer.status();
  assert.deepEqual(
    status.checks.filter((check) => check.verdict !== 'ok'),
    [],
  );
  assert.equal(status.healthy, true);
  assert.equal(status.verdict, 'ok');
  assert.equal(status.latest.name, 'first');
  assert.ok(status.latest.createdAt instanceof Date);
  assert.equal(status.databasePath, rig.database);
  assert.equal(status.snapshotDir, rig.snapshotDir);
  assert.equal(status.snapshots, 1);
  assert.equal(status.unfinishedRestore, false);
  assert.equal(status.bucket, null);
  assert.equal(status.pendingUploads, 0);
  assert.ok(status.storedBytes > 0);
  assert.ok(!('facts' in status));
});

test('age: no snapshot, an old one, a new one', async (t) => {
  const rig = makeRig(t);
  createDatabase(rig.database);
  assert.equal(await verdict(rig, 'age'), 'critical');
  fs.mkdirSync(rig.snapshotDir);
  fs.copyFileSync(rig.database, path.join(rig.snapshotDir, 'snapshot_2020-01-02T03-04-05-678Z.db'));
  assert.equal(await verdict(rig, 'age'), 'critical');
  assert.equal((await samples(rig.writer)).snapshot_missed_runs, 100);
  await rig.writer.createSnapshot();
  assert.equal(await verdict(rig, 'age'), 'ok');
  assert.equal((await samples(rig.writer)).snapshot_missed_runs, 0);
});

test('age: the snapshots of another database do not count', async (t) => {
  const rig = await makeApplication(t);
  const other = rig.path('other.db');
  createDatabase(other);
  const writer = rig.newWriter({ databaseUrl: `file:${other}` });
  assert.equal((await verdicts(writer)).age, 'critical');
  await writer.createSnapshot();
  assert.equal((await verdicts(writer)).age, 'ok');
});

test('age: a schedule that cannot be understood is critical, and named', async (t) => {
  const rig = await makeApplication(t);
  process.env.SNAPSHOT_CRON_SCHEDULE = 'every now and then';
  rig.defer(() => delete process.env.SNAPSHOT_CRON_SCHEDULE);
  const { checks, healthy } = await rig.writer.status();
  assert.equal(healthy, false);
  assert.match(
    checks.find(({ name }) => name === 'age').reason,
    /SNAPSHOT_CRON_SCHEDULE is no cron expression/,
  );
  process.env.SNAPSHOT_CRON_SCHEDULE = '0 0 * * *';
  assert.equal(await verdict(rig, 'age'), 'ok');
});

test('drill: none, failed, inconclusive, old, passed; files that are no drill are passed over', async (t) => {
  const rig = await makeApplication(t);
  const hour = 60 * 60 * 1000;
  const at = (ago) => new Date(Date.now() - ago).toISOString();
  assert.equal(await verdict(rig, 'drill'), 'warning');
  for (const [ago, outcome, expected] of [
    [9 * 24 * hour, 'passed', 'warning'],
    [5 * hour, 'failed', 'critical'],
    [4 * hour, 'inconclusive', 'warning'],
    [3 * hour, 'passed', 'ok'],
  ]) {
    writeDrill(rig, { at: at(ago), outcome });
    assert.equal(await verdict(rig, 'drill'), expected, outcome);
  }
  fs.writeFileSync(path.join(rig.snapshotDir, 'local/drills/broken'), '{');
  assert.equal(await verdict(rig, 'drill'), 'ok');
  const read = await samples(rig.writer);
  assert.equal(read['snapshot_last_drill_result{tier="local",result="passed"}'], 1);
  assert.equal(read['snapshot_drill_rto_seconds{tier="local"}'], 0.07);
});

test('a real drill is seen, counted, and says whether the database is whole', async (t) => {
  const rig = makeRig(t);
  createDatabase(rig.database);
  await rig.writer.createSnapshot('first', { check: 'none' });
  assert.equal((await samples(rig.writer)).database_integrity_healthy, undefined);
  const { outcome } = await rig.writer.drill({ tier: 'local' });
  assert.equal(outcome, 'passed');
  assert.equal(await verdict(rig, 'drill'), 'ok');
  const passed = await samples(rig.writer);
  assert.equal(passed['snapshot_drills_total{result="passed"}'], 1);
  assert.equal(passed['snapshot_last_drill_result{tier="local",result="passed"}'], 1);
  assert.ok(passed['snapshot_drill_rto_seconds{tier="local"}'] > 0);
  assert.equal(passed.database_integrity_healthy, 1);

  await rig.writer.drill({ tier: 'local', assertions: [{ name: 'no rows', sql: 'SELECT 1', equals: 2 }] });
  assert.equal(await verdict(rig, 'drill'), 'critical');
  const failed = await samples(rig.writer);
  assert.equal(failed['snapshot_drills_total{result="failed"}'], 1);
  assert.equal(failed['snapshot_last_drill_result{tier="local",result="failed"}'], 1);
  assert.equal(failed.database_integrity_healthy, 1, 'the data are wrong, the file is whole');
});

test('a drill that finds a broken index says that the database is damaged', async (t) => {
  const rig = makeRig(t);
  createDatabase(rig.database, { realities: 50 });
  withDatabase(rig.database, (db) => {
    db.exec('CREATE INDEX broken ON Reality (description)');
    db.unsafeMode(true);
    db.pragma('writable_schema = ON');
    db.exec(
      "UPDATE sqlite_schema SET sql = 'CREATE INDEX broken ON Reality (parameters)' WHERE name = 'broken'",
    );
  });
  // Its quick_check does not compare indexes with their tables.
  await rig.writer.createSnapshot('first');
  assert.equal(await verdict(rig, 'integrity'), 'ok');
  const { outcome, reason } = await rig.writer.drill();
  assert.equal(outcome, 'failed');
  assert.match(reason, /broken/);
  assert.deepEqual([await verdict(rig, 'drill'), await verdict(rig, 'integrity')], ['critical', 'critical']);
  assert.equal((await samples(rig.writer)).database_integrity_healthy, 0);

  withDatabase(rig.database, (db) => insertRealities(db, 3));
  await rig.writer.createSnapshot('second');
  const { checks } = await rig.writer.status();
  const { verdict: judged, reason: told } = checks.find(({ name }) => name === 'integrity');
  assert.equal(judged, 'critical', 'the check of a new snapshot cannot tell that the index was mended');
  assert.match(told, /Then make a snapshot and drill it/);

  withDatabase(rig.database, (db) => db.exec('DROP INDEX broken'));
  await rig.writer.createSnapshot('third');
  assert.equal(await verdict(rig, 'integrity'), 'critical', 'nobody has looked that closely');
  assert.equal((await rig.writer.drill()).outcome, 'passed');
  assert.deepEqual([await verdict(rig, 'drill'), await verdict(rig, 'integrity')], ['ok', 'ok']);
  assert.equal((await samples(rig.writer)).database_integrity_healthy, 1);
});

test('drill: only drills of the newest snapshot of the database count', async (t) => {
  const rig = await makeApplication(t);
  withDatabase(rig.database, (db) => insertRealities(db, 3));
  await rig.writer.createSnapshot('second');
  const wrong = [{ name: 'no rows', sql: 'SELECT 1', equals: 2 }];
  assert.equal((await rig.writer.drill({ assertions: wrong })).newest, true);
  assert.equal(await verdict(rig, 'drill'), 'critical');
  const older = await rig.writer.drill({ name: 'first' });
  assert.deepEqual([older.outcome, older.newest], ['passed', false]);
  assert.equal(await verdict(rig, 'drill'), 'critical', 'an older one that is good does not help');
  assert.equal((await samples(rig.writer))['snapshot_last_drill_result{tier="any",result="failed"}'], 1);

  const other = rig.path('other.db');
  createDatabase(other);
  const otherWriter = rig.newWriter({ databaseUrl: `file:${other}` });
  await otherWriter.createSnapshot('of the other');
  assert.equal((await verdicts(otherWriter)).drill, 'warning', 'it was never drilled');
  assert.equal((await otherWriter.drill()).outcome, 'passed');
  assert.deepEqual([(await verdicts(otherWriter)).drill, await verdict(rig, 'drill')], ['ok', 'critical']);

  const named = await rig.writer.drill({ name: 'second', tier: 'local' });
  assert.deepEqual([named.outcome, named.newest], ['passed', true]);
  assert.equal(await verdict(rig, 'drill'), 'ok');
  assert.equal((await samples(rig.writer))['snapshot_last_drill_result{tier="local",result="passed"}'], 1);
});

test('integrity: damaged at the last snapshot, mended at the next', async (t) => {
  const rig = await makeApplication(t);
  damageFiller(rig.database);
  await refused(rig.writer.createSnapshot('second'), 'CHECK_FAILED');
  assert.equal(await verdict(rig, 'integrity'), 'critical');
  await rig.writer.restoreFromSnapshot('first');
  assert.equal(await verdict(rig, 'integrity'), 'critical', 'nobody has looked since');
  await rig.writer.createSnapshot('third');
  assert.equal(await verdict(rig, 'integrity'), 'ok');
});

test('collapse: a database that was emptied, until the empty snapshot is gone', async (t) => {
  const rig = await makeApplication(t);
  withDatabase(rig.database, (db) => db.exec('DELETE FROM Reality'));
  await rig.writer.createSnapshot('empty');
  assert.equal(await verdict(rig, 'collapse'), 'critical');
  assert.equal((await samples(rig.writer)).snapshot_collapse, 1);
  await rig.writer.restoreFromSnapshot('first');
  await rig.writer.deleteSnapshot('empty');
  assert.equal(await verdict(rig, 'collapse'), 'ok');
});

test('collapse: until somebody says that it is meant', async (t) => {
  const rig = await makeApplication(t);
  withDatabase(rig.database, (db) => db.exec('DELETE FROM Reality'));
  await rig.writer.createSnapshot('empty');
  assert.equal(await verdict(rig, 'collapse'), 'critical');
  await rig.writer.acknowledge();
  assert.equal(await verdict(rig, 'collapse'), 'ok');
  assert.equal((await samples(rig.writer)).snapshot_collapse, 0);
});

test('what is in the trash is no snapshot any more', async (t) => {
  const rig = await makeApplication(t);
  for (const name of ['second', 'third']) await rig.writer.createSnapshot(name);
  await rig.writer.prune({ keepLast: 1 });
  const { snapshots, latest } = await rig.writer.status();
  assert.deepEqual([snapshots, latest.name], [1, 'third']);
  assert.equal((await samples(rig.writer))['snapshot_kept{tier="local"}'], 1);
});

test('manifests: one that is damaged, until it is gone', async (t) => {
  const rig = await makeApplication(t);
  await rig.writer.createSnapshot('second');
  const { s3Key: manifest } = await rig.writer.getSnapshot('first');
  flipBit(manifest, 0.5);
  assert.equal(await verdict(rig, 'manifests'), 'critical');
  assert.equal((await samples(rig.writer)).snapshot_damaged_manifests, 1);
  fs.rmSync(manifest);
  assert.equal(await verdict(rig, 'manifests'), 'ok');
});

test('restore: one that was cut off, until the next operation has settled it', async (t) => {
  const rig = await makeApplication(t);
  withDatabase(rig.database, (db) => insertRealities(db, 3));
  await withFailpoint('restore.before-commit=kill', () =>
    refused(rig.writer.restoreFromSnapshot('first'), 'WORKER_FAILED'),
  );
  assert.equal(await verdict(rig, 'restore'), 'warning');
  assert.equal((await samples(rig.writer)).snapshot_unfinished_restore, 1);
  await rig.writer.createSnapshot('second');
  assert.equal(await verdict(rig, 'restore'), 'ok');
});

test('disk: too little for an image, for two, and enough', async (t) => {
  const rig = makeRig(t);
  createDatabase(rig.database, { megabytes: 2 });
  if (!mountSmall(rig, rig.snapshotDir, '6m')) return t.skip('mounting is not permitted here');
  await rig.writer.createSnapshot('first');
  const ballast = path.join(rig.snapshotDir, 'ballast');
  const leave = async (bytes) => {
    fs.rmSync(ballast, { force: true });
    const { bavail, bsize } = fs.statfsSync(rig.snapshotDir);
    fs.writeFileSync(ballast, Buffer.alloc(bavail * bsize - bytes));
    return verdict(rig, 'disk');
  };
  const image = fs.statSync(rig.database).size;
  assert.equal(await leave(image / 2), 'critical');
  assert.equal(await leave(image * 1.2), 'warning');
  fs.rmSync(ballast);
  assert.equal(await verdict(rig, 'disk'), 'ok');
  return undefined;
});

test('whoever watches gets an answer although the database is locked', async (t) => {
  const rig = await makeApplication(t);
  const holder = await startConnection(rig, 'better-sqlite3', rig.database, {});
  await holder.exec('PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE');
  const writer = rig.newWriter({ lockTimeoutMs: 200 });
  assert.equal((await verdicts(writer)).age, 'ok');
  assert.equal((await samples(writer)).snapshot_created_total, 1);
});

test('whoever watches gets an answer while a snapshot is being made', async (t) => {
  const rig = await makeApplication(t);
  const outcome = await whilePaused(
    rig,
    'create.captured',
    () => rig.writer.createSnapshot('second'),
    async () => {
      assert.equal((await verdicts(rig.newWriter())).age, 'ok');
      assert.equal((await samples(rig.newWriter())).snapshot_failed_total, 0);
    },
  );
  assert.equal(outcome.status, 'fulfilled');
});

test('looking changes nothing but the locks', async (t) => {
  const rig = await makeApplication(t);
  const state = () =>
    filesBelow(rig.snapshotDir)
      .filter((file) => !/local\/metrics\.lock/.test(file))
      .map((file) => [file, fs.readFileSync(file, 'utf8')]);
  const before = state();
  await rig.writer.status();
  await rig.writer.metrics();
  assert.deepEqual(state(), before);
});
