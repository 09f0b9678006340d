'use strict';

// What is no usable database is refused under a code of its own, and nothing is changed.

const assert = require('node:assert/strict');
const { randomBytes } = require('node:crypto');
const fs = require('node:fs');
const { test } = require('node:test');
const {
  catalogRow,
  createDatabase,
  contentOf,
  damageFiller,
  withDatabase,
} = require('../support/database.js');
const { whilePaused } = require('../support/failpoints.js');
const { fingerprint } = require('../support/files.js');
const { startConnection } = require('../support/processes.js');
const { makeRig, refused } = require('../support/rig.js');

/** What lies where the database should be, and what a snapshot of it says. */
const REFUSALS = {
  'a missing file': { code: 'DATABASE_NOT_FOUND', make: () => {} },
  'a directory': { code: 'DATABASE_NOT_A_FILE', make: (file) => fs.mkdirSync(file) },
  'a text file': {
    code: 'DATABASE_INVALID',
    make: (file) => fs.writeFileSync(file, 'No database. '.repeat(500)),
  },
  'random bytes in whole pages': {
    code: 'DATABASE_ENCRYPTED',
    make: (file) => fs.writeFileSync(file, randomBytes(16 * 4096)),
  },
};

for (const [what, { code, make }] of Object.entries(REFUSALS)) {
  test(`a snapshot of ${what} is refused as ${code} and changes nothing`, async (t) => {
    const rig = makeRig(t);
    make(rig.database);
    const before = fingerprint(rig.folder);
    const error = await refused(rig.writer.createSnapshot('never'), code);
    assert.match(error.message, /^Failed to create snapshot: /);
    assert.deepEqual(fingerprint(rig.folder), before);
  });
}

test('without DATABASE_URL every call on the database is refused', async (t) => {
  const rig = makeRig(t);
  const kept = process.env.DATABASE_URL;
  delete process.env.DATABASE_URL;
  rig.defer(() => kept === undefined || (process.env.DATABASE_URL = kept));
  const writer = rig.newWriter({ databaseUrl: undefined });
  for (const call of [
    () => writer.createSnapshot(),
    () => writer.restoreFromSnapshot('a'),
    () => writer.isDatabaseEmpty(),
  ]) {
    await refused(call(), 'DATABASE_URL_MISSING');
  }
  assert.deepEqual(fs.readdirSync(rig.folder), []);
});

test('a PostgreSQL URL is refused without its password in the message', async (t) => {
  const rig = makeRig(t);
  const writer = rig.newWriter({ databaseUrl: 'postgresql://admin:hunter2@db.invalid:5432/app' });
  const error = await refused(writer.createSnapshot(), 'DATABASE_URL_UNSUPPORTED');
  assert.doesNotMatch(`${error.stack}${error.cause?.stack}`, /hunter2/);
  assert.deepEqual(fs.readdirSync(rig.folder), []);
});

test('a corrupt database makes a FAILED row with the finding of SQLite, and its image is kept', async (t) => {
  const rig = makeRig(t);
  createDatabase(rig.database, { megabytes: 1 });
  await rig.writer.createSnapshot('sound');
  damageFiller(rig.database);
  const finding = withDatabase(rig.database, (db) => db.pragma('quick_check', { simple: true }));
  assert.notEqual(finding, 'ok');

  const error = await refused(rig.writer.createSnapshot('corrupt'), 'CHECK_FAILED');

  const told = finding.split('\n').at(-1).slice(0, 40);
  assert.ok(error.message.includes(told), `${error.message} does not repeat ${told}`);
  const row = catalogRow(rig.database, 'corrupt');
  assert.equal(row.status, 'FAILED');
  assert.deepEqual([row.s3Key, row.checksum, row.size], ['', '', 0]);
  assert.ok(row.restoreMessage.includes(told), row.restoreMessage);

  const [forensic, ...others] = (await rig.writer.listSnapshots()).filter(({ name }) => name !== 'sound');
  assert.deepEqual(others, []);
  assert.ok(error.message.includes(forensic.name), 'the error names the image that is kept');
  await rig.writer.exportSnapshot(forensic.name, rig.path('forensic.db'));
  const kept = withDatabase(rig.path('forensic.db'), (db) => db.pragma('quick_check', { simple: true }));
  assert.equal(kept, finding, 'the image has the damage');
  assert.equal((await rig.writer.verifySnapshot('sound', { level: 'database' })).ok, true);
});

test('a connection in exclusive locking mode is named as the obstacle', async (t) => {
  const rig = makeRig(t);
  createDatabase(rig.database);
  const settings = { pragmas: ['locking_mode = EXCLUSIVE'] };
  const holder = await startConnection(rig, 'better-sqlite3', rig.database, settings);
  await holder.exec("INSERT INTO Metric VALUES ('mine', 1)");
  const writer = rig.newWriter({ lockTimeoutMs: 500 });

  const error = await refused(writer.createSnapshot('never'), 'DATABASE_EXCLUSIVE');
  assert.ok(error.message.includes(String(holder.pid)) || /exclusive/i.test(error.message), error.message);
  assert.deepEqual(await writer.listSnapshots(), []);

  await holder.close();
  await writer.createSnapshot('at last');
  assert.equal((await writer.listSnapshots()).length, 1);
});

test('a database that is replaced during a snapshot is noticed', async (t) => {
  const rig = makeRig(t);
  createDatabase(rig.database, { realities: 5 });
  createDatabase(rig.path('other.db'), { realities: 50 });
  const other = contentOf(rig.path('other.db'));

  const outcome = await whilePaused(
    rig,
    'create.captured',
    () => rig.writer.createSnapshot('of which?'),
    () => {
      fs.renameSync(rig.database, rig.path('moved.db'));
      fs.renameSync(rig.path('other.db'), rig.database);
    },
  );

  assert.equal(outcome.reason?.code, 'DATABASE_MOVED', JSON.stringify(outcome));
  assert.deepEqual(await rig.writer.listSnapshots(), []);
  assert.equal(contentOf(rig.database), other);
  assert.equal(catalogRow(rig.database, 'of which?'), undefined, 'no row in the other database');
});
