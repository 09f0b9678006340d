'use strict';

// SQLite finds the -wal of a database by the name that it was opened with. By a second name of the
// same file the latest commits are missing, and a restore is undone by the WAL of the other one.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const { test } = require('node:test');
const { createDatabase, countRows, integrityOf } = require('../support/database.js');
const { filesBelow } = require('../support/files.js');
const { mountFile } = require('../support/mounts.js');
const { inAnotherContainer, ordinaryUser, startConnection, startWriter } = require('../support/processes.js');
const { makeRig, refused } = require('../support/rig.js');

const ROWS = 'SELECT count(*) AS n FROM Reality';
/** Ways to give the database a second name; false where it is not permitted. */
const NAMES = {
  'hard link': (rig, alias) => (fs.linkSync(rig.database, alias), true),
  'mount of the file alone': (rig, alias) => mountFile(rig, rig.database, alias),
};

for (const [how, giveName] of Object.entries(NAMES)) {
  test(`a WAL database that is used by another name is not touched through a ${how}`, async (t) => {
    const { rig, application, aliased, alias } = await twoNames(t, giveName);
    if (!alias) return t.skip('mounting is not permitted here');
    await application.exec("UPDATE Reality SET description = 'in the WAL only'");

    for (const call of [
      () => aliased.createSnapshot('by the alias'),
      () => aliased.restoreFromSnapshot('before'),
      () => aliased._resetDatabase(),
      () => aliased.isDatabaseEmpty(),
    ]) {
      const error = await refused(call(), 'DATABASE_ALIASED');
      assert.match(error.message, /open in WAL mode in .*pid \d+.*mount the whole folder/);
    }
    const { bootstrapped, code } = await aliased.bootstrapDatabase();
    assert.deepEqual([bootstrapped, code], [false, 'DATABASE_ALIASED']);
    const { findings } = await aliased.doctor();
    assert.equal(findings.find(({ check }) => check === 'database').verdict, 'problem');
    const beside = filesBelow(rig.path('elsewhere')).filter((file) => file !== alias);
    assert.deepEqual(beside, [], 'nothing came into being beside the alias');

    // By its own name everything goes on, and nothing was lost.
    await rig.writer.createSnapshot('by the name');
    const seen = await application.all(
      "SELECT count(*) AS n FROM Reality WHERE description = 'in the WAL only'",
    );
    assert.deepEqual(seen, [{ n: 5 }]);
    await rig.writer.restoreFromSnapshot('before');
    const after = await application.all(
      "SELECT count(*) AS n FROM Reality WHERE description = 'in the WAL only'",
    );
    assert.deepEqual(after, [{ n: 0 }]);
    await application.close();
    assert.equal(integrityOf(rig.database), 'ok');
  });
}

test('the other name works as soon as nobody uses the first one', async (t) => {
  const { rig, application, aliased } = await twoNames(t, NAMES['hard link']);
  await application.close();
  const { snapshot } = await aliased.createSnapshot('by the alias');
  assert.equal(snapshot.status, 'COMPLETED');
  const { findings } = await rig.writer.doctor();
  const names = findings.find(({ check }) => check === 'names');
  assert.equal(names.verdict, 'warning');
  assert.match(names.finding, /2 names/);
});

test('in rollback mode a second name is nothing to speak of', async (t) => {
  const { application, aliased, alias } = await twoNames(t, NAMES['hard link'], 'delete');
  await aliased.createSnapshot('by the alias');
  await application.exec('DELETE FROM Reality');
  await aliased.restoreFromSnapshot('by the alias');
  assert.deepEqual(await application.all(ROWS), [{ n: 5 }]);
  const { findings } = await aliased.doctor();
  assert.equal(findings.find(({ check }) => check === 'database').verdict, 'ok');
  assert.equal(
    findings.find(({ check }) => check === 'names'),
    undefined,
  );
  await application.close();
  assert.equal(countRows(alias, 'Reality'), 5);
});

test('readers and writers of the same name are no second name, however many come and go', async (t) => {
  const rig = makeRig(t);
  createDatabase(rig.database, { journalMode: 'wal' });
  let goOn = true;
  const comeAndGo = async () => {
    while (goOn) {
      const one = await startConnection(rig, 'better-sqlite3', rig.database);
      await one.exec("UPDATE Reality SET description = 'again'");
      await one.close();
      await one.kill();
    }
  };
  const others = [comeAndGo(), comeAndGo()];
  for (let left = 8; left > 0; left -= 1) {
    const { snapshot } = await rig.writer.createSnapshot();
    assert.equal(snapshot.status, 'COMPLETED');
  }
  goOn = false;
  await Promise.all(others);
});

test('a container that mounts the file alone is told apart from one that mounts the folder', async (t) => {
  const container = inAnotherContainer();
  if (!container) return t.skip('namespaces are not permitted here');
  const { rig, application, alias } = await twoNames(t, NAMES['hard link']);
  const inside = startWriter(rig, { user: container });
  const { snapshot } = await inside.call('createSnapshot', 'by the folder');
  assert.equal(snapshot.status, 'COMPLETED');
  const aliased = startWriter(rig, { user: container, options: { databaseUrl: alias } });
  const error = await refused(aliased.call('createSnapshot', 'by the file'), 'DATABASE_ALIASED');
  assert.match(error.message, /open in WAL mode in a process of another container or host/);
  assert.deepEqual(await application.all(ROWS), [{ n: 5 }]);
});

test('a reader that may not write beside the database has no second name', async (t) => {
  const user = ordinaryUser();
  if (user.uid === undefined) return t.skip('only root can start processes of another user');
  const rig = makeRig(t);
  createDatabase(rig.database, { journalMode: 'wal', realities: 5 });
  const crashed = await startConnection(rig, 'better-sqlite3', rig.database);
  await crashed.exec("UPDATE Reality SET description = 'in the WAL only'");
  await crashed.kill();
  fs.chmodSync(rig.folder, 0o755);
  for (const suffix of ['', '-wal', '-shm']) fs.chmodSync(`${rig.database}${suffix}`, 0o644);
  const reader = await startConnection(rig, 'better-sqlite3', rig.database, { user, readonly: true });
  assert.deepEqual(await reader.all(ROWS), [{ n: 5 }]);
  const { ino } = fs.statSync(`${rig.database}-shm`);
  const locks = fs.readFileSync('/proc/locks', 'utf8').split('\n');
  assert.equal(
    locks.find((line) => line.includes(`:${ino} `)),
    undefined,
    'it has no lock on the -shm',
  );

  const { snapshot } = await rig.writer.createSnapshot('beside a reader');
  assert.equal(snapshot.status, 'COMPLETED');
  await reader.close();
});

/** An application with the database open, and a writer that knows the file by another name. */
async function twoNames(t, giveName, journalMode = 'wal') {
  const rig = makeRig(t);
  createDatabase(rig.database, { journalMode, realities: 5 });
  await rig.writer.createSnapshot('before');
  const application = await startConnection(rig, 'better-sqlite3', rig.database);
  await application.all(ROWS);
  fs.mkdirSync(rig.path('elsewhere'));
  const alias = rig.path('elsewhere', 'app.db');
  const given = giveName(rig, alias);
  const aliased = rig.newWriter({ databaseUrl: `file:${alias}` });
  return { rig, application, aliased, alias: given ? alias : null };
}
