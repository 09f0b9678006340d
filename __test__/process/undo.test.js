'use strict';

// Taking a restore back: on demand, and when the command that should follow it fails.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const { test } = require('node:test');
const {
  contentOf,
  createDatabase,
  insertRealities,
  integrityOf,
  withDatabase,
} = require('../support/database.js');
const { whilePaused } = require('../support/failpoints.js');
const { isAlive, startConnection } = require('../support/processes.js');
const { assertAllVerify, eventually, makeRig, refused } = require('../support/rig.js');

/** A database with the snapshot "image" and other content since; returns both contents. */
async function prepare(rig, options) {
  createDatabase(rig.database, { realities: 5, megabytes: 1, ...options });
  const image = contentOf(rig.database);
  await rig.writer.createSnapshot('image');
  withDatabase(rig.database, (db) => insertRealities(db, 5));
  return { image, live: contentOf(rig.database) };
}

/** A command that runs JavaScript with this Node.js. */
const javascript = (code, ...args) => [process.execPath, '-e', code, ...args];

for (const journalMode of ['delete', 'wal']) {
  test(`undoRestore brings back what the restore had overwritten (${journalMode})`, async (t) => {
    const rig = makeRig(t);
    const { image, live } = await prepare(rig, { journalMode });
    await refused(rig.writer.undoRestore(), 'UNDO_UNAVAILABLE');

    await rig.writer.restoreFromSnapshot('image');
    assert.equal(contentOf(rig.database), image);
    await rig.writer.undoRestore();
    assert.equal(contentOf(rig.database), live);

    await refused(rig.writer.undoRestore(), 'UNDO_UNAVAILABLE');
    assert.equal(contentOf(rig.database), live);
    await assertAllVerify(rig.writer);
  });

  test(`undoRestore also brings back what was committed just before the restore took its lock (${journalMode})`, async (t) => {
    const rig = makeRig(t);
    await prepare(rig, { journalMode });
    const outcome = await whilePaused(
      rig,
      'restore.before-begin',
      () => rig.writer.restoreFromSnapshot('image'),
      () => withDatabase(rig.database, (db) => insertRealities(db, 1, 'at the last moment')),
    );
    assert.equal(outcome.status, 'fulfilled', outcome.reason?.stack);
    await rig.writer.undoRestore();
    const atTheLastMoment = withDatabase(rig.database, (db) =>
      db.prepare("SELECT count(*) FROM Reality WHERE description LIKE 'at the last%'").pluck().get(),
    );
    assert.equal(atTheLastMoment, 1);
    assert.equal(integrityOf(rig.database), 'ok');
  });

  test(`a command that fails after the restore undoes it and tells why (${journalMode})`, async (t) => {
    const rig = makeRig(t);
    const { live } = await prepare(rig, { journalMode });
    const command = javascript('console.error("migration 7 is broken"); process.exit(3)');
    const writer = rig.newWriter({ postRestoreCommand: command });

    const error = await refused(writer.restoreFromSnapshot('image'), 'POST_RESTORE_FAILED');

    assert.match(error.message, /^Failed to restore from snapshot: /);
    assert.match(error.message, /migration 7 is broken/);
    assert.equal(contentOf(rig.database), live);
    assert.equal(integrityOf(rig.database), 'ok');
    const { restoreStatus, restoreMessage } = await writer.getSnapshot('image');
    assert.equal(restoreStatus, 'FAILED');
    assert.match(restoreMessage, /postRestoreCommand failed/);
  });
}

test('a command that succeeds finds the restored database under DATABASE_URL and keeps what it writes', async (t) => {
  const rig = makeRig(t);
  await prepare(rig);
  const code = `
    const file = process.env.DATABASE_URL.slice('file:'.length);
    const db = new (require(process.argv[1]))(file);
    const n = db.prepare('SELECT count(*) FROM Reality').pluck().get();
    db.prepare("INSERT INTO Metric VALUES ('realities at migration', ?)").run(n);`;
  const command = javascript(code, require.resolve('better-sqlite3'));
  const { snapshot } = await rig.newWriter({ postRestoreCommand: command }).restoreFromSnapshot('image');
  assert.equal(snapshot.restoreStatus, 'SUCCESS');
  const metrics = withDatabase(rig.database, (db) => db.prepare('SELECT * FROM Metric').all());
  assert.deepEqual(metrics, [{ key: 'realities at migration', value: 5 }]);
});

test('a failing command that had written itself is undone with what it wrote', async (t) => {
  const rig = makeRig(t);
  const { live } = await prepare(rig);
  const code = `
    const db = new (require(process.argv[1]))(process.env.DATABASE_URL.slice('file:'.length));
    db.exec("CREATE TABLE HalfMigrated (id INTEGER); INSERT INTO Metric VALUES ('half', 1)");
    process.exit(1);`;
  const command = javascript(code, require.resolve('better-sqlite3'));
  const writer = rig.newWriter({ postRestoreCommand: command });
  await refused(writer.restoreFromSnapshot('image'), 'POST_RESTORE_FAILED');
  assert.equal(contentOf(rig.database), live);
});

test('a restore is not undone over what another process has committed since', async (t) => {
  const rig = makeRig(t);
  const { live } = await prepare(rig);
  const other = await startConnection(rig, 'better-sqlite3', rig.database);
  const [started, mayFail] = [rig.path('started'), rig.path('may-fail')];
  const code = `
    const fs = require('node:fs');
    fs.writeFileSync(process.argv[1], '');
    const wait = () => (fs.existsSync(process.argv[2]) ? process.exit(1) : setTimeout(wait, 10));
    wait();`;
  const writer = rig.newWriter({ postRestoreCommand: javascript(code, started, mayFail) });

  const restore = writer.restoreFromSnapshot('image').then(assert.fail, (error) => error);
  await eventually(() => fs.existsSync(started), 'the command to start');
  await other.exec("INSERT INTO Metric VALUES ('precious', 1)");
  fs.writeFileSync(mayFail, '');
  const error = await restore;

  assert.equal(error.code, 'UNDO_CONFLICT', error.stack);
  assert.deepEqual(await other.all('SELECT count(*) AS n FROM Reality'), [{ n: 5 }]);
  assert.deepEqual(await other.all('SELECT * FROM Metric'), [{ key: 'precious', value: 1 }]);
  const safety = (await assertAllVerify(writer)).filter(({ kind }) => kind === 'safety');
  assert.equal(safety.length, 1, 'the state before the restore is kept');
  await writer.exportSnapshot(safety[0].name, rig.path('before.db'));
  assert.equal(contentOf(rig.path('before.db')), live);
});

test('a command that exceeds its time limit is ended with its children, and the restore is undone', async (t) => {
  const rig = makeRig(t);
  const { live } = await prepare(rig);
  const code = `
    const { spawn } = require('node:child_process');
    const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'ignore' });
    require('node:fs').writeFileSync(process.argv[1], process.pid + ' ' + child.pid);
    setInterval(() => {}, 1000);`;
  const pids = rig.path('pids');
  const writer = rig.newWriter({ postRestoreCommand: javascript(code, pids), postRestoreTimeoutMs: 1_500 });

  await refused(writer.restoreFromSnapshot('image'), 'POST_RESTORE_FAILED');

  const started = fs.readFileSync(pids, 'utf8').split(' ').map(Number);
  assert.equal(started.length, 2);
  for (const pid of started) await eventually(() => !isAlive(pid), `process ${pid} to be ended`);
  assert.equal(contentOf(rig.database), live);
});
