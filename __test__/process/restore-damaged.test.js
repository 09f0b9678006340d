'use strict';

// A restore is what helps when the database is broken, and applications still have it open then.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const { test } = require('node:test');
const { createDatabase, contentOf, integrityOf, withDatabase } = require('../support/database.js');
const { withFailpoint } = require('../support/failpoints.js');
const { startConnection } = require('../support/processes.js');
const { makeRecoveryRig } = require('../support/recovery.js');
const { makeRig, refused } = require('../support/rig.js');

const COUNT = 'SELECT count(*) AS n FROM Reality';

/** Ways to break a database so badly that SQLite refuses to read it. */
const DAMAGES = {
  'whose schema cannot be parsed': (file) =>
    withDatabase(file, (db) => {
      db.unsafeMode();
      db.pragma('writable_schema = ON');
      db.exec("UPDATE sqlite_schema SET sql = 'CREATE TABLE nonsense(' WHERE name = 'Reality'");
    }),
  'whose first page holds no tree': (file) => overwrite(file, 100, Buffer.alloc(3_996, 0xff)),
  'that was cut off in the middle': (file) => fs.truncateSync(file, 4096 * 20 + 1_234),
};

for (const journalMode of ['delete', 'wal']) {
  for (const [damage, breakIt] of Object.entries(DAMAGES)) {
    test(`a database ${damage} is restored under open handles (${journalMode})`, async (t) => {
      const rig = makeRig(t);
      createDatabase(rig.database, { journalMode, realities: 5, megabytes: 1 });
      const content = contentOf(rig.database);
      await rig.writer.createSnapshot('image');
      breakIt(rig.database);
      assert.throws(() => contentOf(rig.database), 'the database is broken now');
      const handle = await startConnection(rig, 'better-sqlite3', rig.database);
      await assert.rejects(handle.all('SELECT count(body) FROM Filler'), 'the handle meets the damage');
      const { ino } = fs.statSync(rig.database);

      const { snapshot } = await rig.writer.restoreFromSnapshot('image');

      assert.equal(snapshot.restoreStatus, 'SUCCESS');
      assert.equal(fs.statSync(rig.database).ino, ino, 'it is still the same file');
      assert.deepEqual(await handle.all(COUNT), [{ n: 5 }]);
      await handle.exec("INSERT INTO Metric VALUES ('after', 1); DELETE FROM Metric");
      await handle.close();
      assert.equal(integrityOf(rig.database), 'ok');
      assert.equal(contentOf(rig.database), content);
    });
  }
}

for (const [damage, breakIt] of Object.entries(DAMAGES)) {
  test(`a database ${damage} is taken back by recoverFromFailedRestore`, async (t) => {
    const rig = makeRecoveryRig(t);
    createDatabase(rig.database, { realities: 5, megabytes: 1 });
    const content = contentOf(rig.database);
    await rig.writer.createSnapshot('image');
    breakIt(rig.database);
    const { state } = await rig.recovery.recoverFromFailedRestore('image', new Error('it failed'));
    assert.equal(state, 'rolledBack');
    assert.equal(contentOf(rig.database), content);
  });
}

test('an error that says nothing of the database is no damage: nothing is overwritten that is kept nowhere', async (t) => {
  const rig = makeRig(t);
  createDatabase(rig.database, { realities: 5, megabytes: 1 });
  await rig.writer.createSnapshot('image');
  withDatabase(rig.database, (db) => db.exec('DELETE FROM Filler'));
  const content = contentOf(rig.database);
  const stored = await rig.writer.listSnapshots();
  // While the safety snapshot is made.
  await withFailpoint('create.captured=fail', () =>
    refused(rig.writer.restoreFromSnapshot('image'), 'INTERNAL'),
  );
  assert.equal(contentOf(rig.database), content);
  assert.deepEqual(
    (await rig.writer.listSnapshots()).map(({ name }) => name),
    stored.map(({ name }) => name),
  );
  assert.equal(fs.existsSync(rig.path('snapshots', 'local', 'kept')), false, 'no copy of a damaged database');
});

function overwrite(file, at, bytes) {
  const descriptor = fs.openSync(file, 'r+');
  fs.writeSync(descriptor, bytes, 0, bytes.length, at);
  fs.closeSync(descriptor);
}
