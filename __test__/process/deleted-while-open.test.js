'use strict';

// A file that is deleted lives on for whoever has it open. An application then goes on writing where
// nobody will ever read, and a file that is put in the place of the old one is not its database.

const assert = require('node:assert/strict');
const { execFile } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { test } = require('node:test');
const { promisify } = require('node:util');
const {
  contentOf,
  countRows,
  createDatabase,
  fill,
  integrityOf,
  withDatabase,
} = require('../support/database.js');
const { filesBelow } = require('../support/files.js');
const { startChild, startConnection } = require('../support/processes.js');
const { makeRig, refused, eventually } = require('../support/rig.js');

const CLI = path.join(__dirname, '..', '..', 'bin', 'snapshot-writer.cjs');
const LATEST = "SELECT count(*) AS n FROM Reality WHERE description = 'the latest'";
const WRITE = "UPDATE Reality SET description = 'the latest' WHERE rowid = 1";
const METRIC = "INSERT INTO Metric VALUES ('after the deletion', 1)";
const MODES = ['wal', 'delete'];
const short = { lockTimeoutMs: 300 };

for (const journalMode of MODES) {
  test(`bootstrap and restore do not replace a deleted ${journalMode} database that is still written to`, async (t) => {
    const { rig, application, remove } = await running(t, journalMode);
    remove();
    const who = new RegExp(`node \\(pid ${application.pid}\\).*rescue`);
    const writer = rig.newWriter(short);

    const result = await writer.bootstrapDatabase();
    assert.deepEqual([result.bootstrapped, result.code], [false, 'DATABASE_DELETED']);
    assert.match(result.error, who);
    const error = await refused(writer.restoreFromSnapshot('early'), 'DATABASE_DELETED');
    assert.match(error.message, who);
    assert.equal(fs.existsSync(rig.database), false);
    const { findings } = await writer.doctor();
    const deleted = findings.find(({ check }) => check === 'deleted');
    assert.equal(deleted.verdict, 'problem');
    assert.match(`${deleted.finding} ${deleted.advice}`, who);

    // Who knows better goes on.
    assert.equal((await writer.bootstrapDatabase({ force: true })).bootstrapped, true);
    assert.equal(integrityOf(rig.database), 'ok');
    fs.rmSync(rig.database);
    const { snapshot } = await writer.restoreFromSnapshot('early', { force: true });
    assert.equal(snapshot.restoreStatus, 'SUCCESS');
  });

  test(`rescue stores what a process still has of a deleted ${journalMode} database`, async (t) => {
    const { rig, application, remove } = await running(t, journalMode);
    remove();
    // In rollback mode SQLite itself refuses to write to a file that has moved.
    const isWritten = journalMode === 'wal';
    if (isWritten) await application.exec(METRIC);

    const { snapshot } = await rig.writer.rescueDatabase('rescued');
    assert.deepEqual([snapshot.name, snapshot.status], ['rescued', 'COMPLETED']);
    assert.deepEqual(rig.log.warnings(), [], 'there is no table to write to, which is no news');
    assert.deepEqual(await application.all(LATEST), [{ n: 1 }]);
    if (isWritten) await application.exec(WRITE);
    await application.close();
    await application.kill();

    const result = await rig.writer.bootstrapDatabase();
    assert.deepEqual([result.bootstrapped, result.snapshot?.name], [true, 'rescued']);
    const seen = withDatabase(rig.database, (db) => [
      db.prepare(LATEST).get().n,
      db.prepare('SELECT key FROM Metric').pluck().all(),
    ]);
    assert.deepEqual(seen, [1, isWritten ? ['after the deletion'] : []]);
    assert.equal(integrityOf(rig.database), 'ok');
    assert.deepEqual(filesBelow(rig.path('snapshots', 'local', 'scratch')), []);
    const lineages = (await rig.writer.listSnapshots()).map(({ lineage }) => lineage);
    assert.equal(new Set(lineages).size, 1, 'it is a snapshot of that database');
  });
}

test('what is rescued of a deleted database is one instant, however much is written', async (t) => {
  const rig = makeRig(t);
  createDatabase(rig.database, { journalMode: 'wal' });
  withDatabase(rig.database, (db) => {
    db.exec('CREATE TABLE Account (id INTEGER PRIMARY KEY, balance INTEGER NOT NULL, filler TEXT)');
    const insert = db.prepare('INSERT INTO Account (balance, filler) VALUES (1000, ?)');
    for (let left = 400; left > 0; left -= 1) insert.run('x'.repeat(3000));
    // Read long before the WAL is.
    fill(db, 60);
  });
  const bank = startChild(rig, 'transfers.js', [rig.database, '5000', '0', 'wal_autocheckpoint = 4']);
  await bank.request('phase', 'before');
  for (const file of filesBelow(rig.folder)) fs.rmSync(file);
  await bank.request('phase', 'deleted');
  for (const name of ['one', 'two', 'three']) {
    await rig.writer.rescueDatabase(name);
    await rig.writer.exportSnapshot(name, rig.path(`${name}.db`));
    const sum = withDatabase(rig.path(`${name}.db`), (db) =>
      db.prepare('SELECT sum(balance) FROM Account').pluck().get(),
    );
    assert.equal(sum, 400_000);
    assert.equal(integrityOf(rig.path(`${name}.db`)), 'ok');
  }
  const { deleted } = await bank.request('stop');
  assert.ok(deleted.committed > 0);
  assert.equal(deleted.failed, 0, 'the writer waited and was not refused');
});

test('whoever lets go in time is waited for', async (t) => {
  const { rig, application, remove, content } = await running(t, 'delete');
  remove();
  const bootstrapping = rig.writer.bootstrapDatabase();
  const isWaiting = () =>
    rig.log.warnings().some(({ message }) => message.includes('waiting until it is closed'));
  await eventually(isWaiting, 'the word that it waits');
  assert.equal(fs.existsSync(rig.database), false);
  await application.close();
  const result = await bootstrapping;
  assert.equal(result.bootstrapped, true, result.error);
  assert.equal(contentOf(rig.database), content);
});

test('a transaction that is not finished is not in what is rescued', async (t) => {
  for (const journalMode of MODES) {
    const { rig, application, remove } = await running(t, journalMode);
    await application.exec(`BEGIN IMMEDIATE; ${METRIC}`);
    remove();
    await rig.writer.rescueDatabase('rescued');
    await application.exec('ROLLBACK');
    await rig.writer.exportSnapshot('rescued', rig.path('out.db'));
    assert.equal(
      withDatabase(rig.path('out.db'), (db) => db.prepare(LATEST).get().n),
      1,
    );
    assert.equal(countRows(rig.path('out.db'), 'Metric'), 0);
    await application.kill();
  }
});

test('the hot journal of a writer that died is rolled back in what is rescued', async (t) => {
  const rig = makeRig(t);
  createDatabase(rig.database, { megabytes: 2 });
  const content = contentOf(rig.database);
  const reader = await startConnection(rig, 'better-sqlite3', rig.database);
  await reader.all(LATEST);
  const writer = await startConnection(rig, 'better-sqlite3', rig.database, { pragmas: ['cache_size = 10'] });
  await writer.exec("BEGIN IMMEDIATE; UPDATE Filler SET body = 'half of a transaction'");
  await writer.kill();
  fs.rmSync(rig.database);
  await rig.writer.rescueDatabase('rescued');
  await rig.writer.exportSnapshot('rescued', rig.path('out.db'));
  assert.equal(contentOf(rig.path('out.db')), content);
  await reader.close();
});

test('a database that only lost its -wal is rescued with it', async (t) => {
  const { rig, application } = await running(t, 'wal');
  fs.rmSync(`${rig.database}-wal`);
  await refused(rig.writer.createSnapshot('without'), 'DATABASE_ALIASED');
  await rig.writer.rescueDatabase('rescued');
  await rig.writer.exportSnapshot('rescued', rig.path('out.db'));
  assert.equal(
    withDatabase(rig.path('out.db'), (db) => db.prepare(LATEST).get().n),
    1,
  );
  await application.kill();
});

test('a file that was replaced under an application is rescued, and an empty one in its place is not filled', async (t) => {
  const { rig, application } = await running(t, 'wal');
  createDatabase(rig.path('new.db'), { realities: 0 });
  fs.renameSync(rig.path('new.db'), rig.database);
  for (const suffix of ['-wal', '-shm']) fs.rmSync(`${rig.database}${suffix}`);
  const writer = rig.newWriter(short);
  const { bootstrapped, code } = await writer.bootstrapDatabase();
  assert.deepEqual([bootstrapped, code], [false, 'DATABASE_DELETED']);
  await writer.rescueDatabase('rescued');
  // A name is an order, and whoever opens the new file sees what comes of it.
  await writer.restoreFromSnapshot('rescued');
  assert.equal(
    withDatabase(rig.database, (db) => db.prepare(LATEST).get().n),
    1,
  );
  await application.kill();
});

test('whoever only reads a deleted file is not waited for', async (t) => {
  const rig = makeRig(t);
  createDatabase(rig.database);
  await rig.writer.createSnapshot('early');
  const reader = await startConnection(rig, 'better-sqlite3', rig.database, { readonly: true });
  await reader.all(LATEST);
  fs.rmSync(rig.database);
  const result = await rig.newWriter(short).bootstrapDatabase();
  assert.equal(result.bootstrapped, true, result.error);
});

test('the command rescues too, and says when there is nothing to rescue', async (t) => {
  const { rig, application, remove } = await running(t, 'wal');
  const env = { ...process.env, DATABASE_URL: `file:${rig.database}`, SNAPSHOT_DIR: rig.snapshotDir };
  const cli = (...args) =>
    promisify(execFile)(process.execPath, [CLI, ...args], { env }).catch((error) => error);
  const nothing = await cli('rescue');
  assert.equal(nothing.code, 1);
  assert.match(nothing.stderr, /no process that can be seen has a deleted .*app\.db open/);
  remove();
  const { stdout } = await cli('rescue');
  assert.match(stdout, /Created "rescued_\d{4}-/);
  await application.kill();
  assert.match((await cli('bootstrap')).stdout, /Filled the empty database from "rescued_/);
});

/** An application that has written what only its own files hold. */
async function running(t, journalMode) {
  const rig = makeRig(t);
  createDatabase(rig.database, { journalMode, realities: 5 });
  await rig.writer.createSnapshot('early');
  const content = contentOf(rig.database);
  const application = await startConnection(rig, 'better-sqlite3', rig.database);
  await application.exec(WRITE);
  const remove = () => {
    for (const name of fs.readdirSync(rig.folder)) {
      if (name.startsWith('app.db')) fs.rmSync(rig.path(name));
    }
  };
  return { rig, application, remove, content };
}
