'use strict';

// A status is not green while the database is gone or the newest snapshot is damaged, whatever its age says.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { test } = require('node:test');
const { createDatabase, insertRealities, integrityOf, withDatabase } = require('../support/database.js');
const { filesBelow, fingerprint, flipBit } = require('../support/files.js');
const { samples, verdicts } = require('../support/health.js');
const { startConnection } = require('../support/processes.js');
const { makeRig, refused } = require('../support/rig.js');

/** A database with one snapshot. */
async function makeApplication(t, options) {
  const rig = makeRig(t);
  createDatabase(rig.database, { realities: 50, megabytes: 1, ...options });
  await rig.writer.createSnapshot('first');
  return rig;
}

const check = async (rig, name) =>
  (await rig.writer.status()).checks.find((candidate) => candidate.name === name);
const packsOf = (rig) => filesBelow(path.join(rig.snapshotDir, 'packs'));

test('database: missing, empty, no database, a folder; and whole again', async (t) => {
  const rig = await makeApplication(t);
  const good = fs.readFileSync(rig.database);
  const states = {
    'There is no database: .*does not exist.*"snapshot-writer bootstrap"': () => {},
    'an empty file.*"snapshot-writer bootstrap"': () => fs.writeFileSync(rig.database, ''),
    'is not an SQLite database.*"snapshot-writer restore': () =>
      fs.writeFileSync(rig.database, 'This was a database. '.repeat(1000)),
    'is not a file': () => fs.mkdirSync(rig.database),
  };
  for (const [reason, bringAbout] of Object.entries(states)) {
    fs.rmSync(rig.database, { recursive: true, force: true });
    bringAbout();
    const { healthy, checks } = await rig.writer.status();
    assert.equal(healthy, false, reason);
    assert.equal(checks[0].name, 'database');
    assert.equal(checks[0].verdict, 'critical');
    assert.match(checks[0].reason, new RegExp(reason));
  }
  fs.rmdirSync(rig.database);
  fs.writeFileSync(rig.database, good);
  assert.deepEqual([(await check(rig, 'database')).verdict, await healthy(rig)], ['ok', true]);
  assert.equal(await check({ writer: rig.newWriter({ databaseUrl: undefined }) }, 'database'), undefined);
});

const healthy = async (rig) => (await rig.writer.status()).healthy;

test('database: what is no database any more is damage, until a restore and a snapshot', async (t) => {
  const rig = await makeApplication(t);
  fs.writeFileSync(rig.database, 'This was a database. '.repeat(1000));
  await refused(rig.writer.createSnapshot(), 'DATABASE_INVALID');
  const { database, age, integrity } = await verdicts(rig.writer);
  assert.deepEqual(
    { database, age, integrity },
    { database: 'critical', age: 'warning', integrity: 'critical' },
  );
  assert.match((await check(rig, 'age')).reason, /last attempt .* failed .*\(DATABASE_INVALID\)/);
  assert.equal((await samples(rig.writer)).database_integrity_healthy, 0);

  await rig.writer.restoreFromSnapshot('first');
  assert.equal((await check(rig, 'database')).verdict, 'ok');
  await rig.writer.createSnapshot();
  const after = await verdicts(rig.writer);
  assert.deepEqual([after.age, after.integrity], ['ok', 'ok']);
  assert.equal(integrityOf(rig.database), 'ok');
});

test('age: the last attempt that failed is told until one succeeds; a wrong call is none', async (t) => {
  const rig = await makeApplication(t);
  await refused(rig.writer.createSnapshot('first'), 'SNAPSHOT_EXISTS');
  assert.equal((await check(rig, 'age')).verdict, 'ok');
  fs.renameSync(rig.database, rig.path('away.db'));
  await refused(rig.writer.createSnapshot(), 'DATABASE_NOT_FOUND');
  const { verdict, reason } = await check(rig, 'age');
  assert.equal(verdict, 'warning');
  assert.match(reason, /\(DATABASE_NOT_FOUND\)/);
  fs.renameSync(rig.path('away.db'), rig.database);
  await rig.writer.createSnapshot();
  assert.equal((await check(rig, 'age')).verdict, 'ok');
});

test('age: a snapshot from the future is told, and does not hide that others are missing', async (t) => {
  const rig = makeRig(t);
  createDatabase(rig.database);
  fs.mkdirSync(rig.snapshotDir);
  const plain = (year) => path.join(rig.snapshotDir, `snapshot_${year}-01-02T03-04-05-678Z.db`);
  for (const year of [2020, 2999]) fs.copyFileSync(rig.database, plain(year));
  const { verdict, reason } = await check(rig, 'age');
  assert.equal(verdict, 'critical');
  assert.match(reason, /snapshot_2999.*dated in the future/);
  assert.equal((await samples(rig.writer)).snapshot_missed_runs, 100);
  fs.rmSync(plain(2999));
  await rig.writer.createSnapshot();
  assert.equal((await check(rig, 'age')).verdict, 'ok');
});

test('newest: its packs are gone, until there is another one', async (t) => {
  const rig = await makeApplication(t);
  assert.equal((await check(rig, 'newest')).verdict, 'ok');
  const before = packsOf(rig);
  withDatabase(rig.database, (db) => insertRealities(db, 50));
  await rig.writer.createSnapshot('second');
  const [ofSecond] = packsOf(rig).filter((file) => !before.includes(file));
  fs.truncateSync(ofSecond, 100);
  const cutOff = await check(rig, 'newest');
  assert.equal(cutOff.verdict, 'critical');
  assert.match(
    cutOff.reason,
    /second: packs\/\S+ has 100 bytes instead of \d+\. Run "snapshot-writer create"/,
  );
  // The one before it is what a restore would take.
  assert.match((await check(rig, 'age')).reason, /^The newest good snapshot/);
  assert.equal((await check(rig, 'age')).verdict, 'ok');

  for (const file of packsOf(rig)) fs.rmSync(file);
  const { newest, age } = await verdicts(rig.writer);
  assert.deepEqual({ newest, age }, { newest: 'critical', age: 'critical' });
  const read = await samples(rig.writer);
  assert.deepEqual([read.snapshot_newest_damaged, read.snapshot_overdue_timestamp], [1, undefined]);

  await rig.writer.createSnapshot('third');
  const mended = await verdicts(rig.writer);
  assert.deepEqual([mended.newest, mended.age], ['ok', 'ok']);
  assert.deepEqual((await rig.writer.verifySnapshot('third')).problems, []);
});

test('newest: what verification found is remembered, and nothing is built on it', async (t) => {
  const rig = await makeApplication(t);
  flipBit(packsOf(rig)[0], 0.5);
  const { ok, problems } = await rig.writer.verifySnapshot('first');
  assert.equal(ok, false);
  const { verdict, reason } = await check(rig, 'newest');
  assert.equal(verdict, 'critical');
  assert.ok(reason.includes(`first: ${problems[0]}`.slice(0, 60)), reason);
  assert.equal((await samples(rig.writer)).snapshot_newest_damaged, 1);
  // It does not look that deep.
  assert.equal((await rig.writer.verifySnapshot('first', { level: 'structure' })).ok, true);
  assert.equal((await check(rig, 'newest')).verdict, 'critical');

  await rig.writer.createSnapshot('second');
  assert.deepEqual((await rig.writer.verifySnapshot('second')).problems, []);
  assert.equal((await check(rig, 'newest')).verdict, 'warning');
  assert.equal((await samples(rig.writer)).snapshot_newest_damaged, 0);
  await rig.writer.deleteSnapshot('first');
  assert.equal((await check(rig, 'newest')).verdict, 'ok');
});

test('newest: whoever mends the damage verifies it away', async (t) => {
  const rig = await makeApplication(t);
  const [pack] = packsOf(rig);
  flipBit(pack, 0.5);
  await rig.writer.verifySnapshot('first', { tier: 'local' });
  flipBit(pack, 0.5);
  assert.equal((await check(rig, 'newest')).verdict, 'critical');
  assert.equal((await rig.writer.verifySnapshot('first')).ok, true);
  assert.equal((await check(rig, 'newest')).verdict, 'ok');
});

test('the newest snapshot of another database is neither the latest nor counted', async (t) => {
  const rig = await makeApplication(t);
  const other = rig.path('other.db');
  createDatabase(other);
  await rig.newWriter({ databaseUrl: `file:${other}` }).createSnapshot('of the other one');
  const { latest, snapshots } = await rig.writer.status();
  assert.deepEqual([latest.name, snapshots], ['first', 2]);
});

for (const journalMode of ['delete', 'wal']) {
  test(`whoever only looks leaves nothing beside a database in ${journalMode} mode`, async (t) => {
    const rig = await makeApplication(t, { journalMode });
    // As the application leaves it when it ends.
    withDatabase(rig.database, (db) => insertRealities(db, 1));
    const state = () => fingerprint(rig.folder).filter((line) => !line.includes('/local/drills/'));
    const before = state();
    assert.ok(!before.some((line) => /^app\.db-/.test(line)));
    await rig.writer.status();
    await rig.writer.listSnapshots();
    await rig.writer.getSnapshot('first');
    const { outcome, checks } = await rig.writer.drill();
    assert.deepEqual(state(), before);
    assert.equal(outcome, 'passed');
    assert.match(checks.find(({ name }) => name === 'row_counts').detail, /^\d+ rows in \d+ tables/);
  });
}

test('what an application has committed to its WAL is seen', async (t) => {
  const rig = await makeApplication(t, { journalMode: 'wal' });
  const application = await startConnection(rig, 'better-sqlite3', rig.database, {});
  await application.exec('DELETE FROM Reality');
  assert.ok(fs.existsSync(`${rig.database}-wal`));
  const { checks } = await rig.writer.drill();
  const rows = checks.find(({ name }) => name === 'row_counts');
  assert.match(rows.detail, /Reality has 50 rows in the snapshot and 0 now/);
});
