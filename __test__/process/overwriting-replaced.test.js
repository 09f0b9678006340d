'use strict';

// Somebody renames another file over the database while a call overwrites it: that file stays as it
// is, whenever it comes, and the call says that it did nothing to it.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const { test } = require('node:test');
const { contentOf, createDatabase, integrityOf, withDatabase } = require('../support/database.js');
const { whilePaused } = require('../support/failpoints.js');
const { sha256 } = require('../support/files.js');
const { OVERWRITING, countOf, prepareOverwriting } = require('../support/overwriting.js');
const { makeRecoveryRig } = require('../support/recovery.js');

/** Before the lock, under it, after everything was written, and when it is committed already. */
const STEPS = ['restore.before-begin', 'restore.locked', 'restore.before-commit', 'restore.after-commit'];

for (const journalMode of ['delete', 'wal']) {
  for (const [name, call] of Object.entries(OVERWRITING)) {
    for (const step of STEPS) {
      test(`a file that takes the database's place at ${step} of ${name} stays as it is (${journalMode})`, async (t) => {
        const rig = makeRecoveryRig(t);
        await prepareOverwriting(rig, call, journalMode);
        const other = anotherDatabase(rig);

        const outcome = await whilePaused(
          rig,
          step,
          () => call.act(rig),
          () => fs.renameSync(other.file, rig.database),
        );

        assert.equal(outcome.status, 'rejected');
        assert.equal(outcome.reason.code, 'DATABASE_MOVED', outcome.reason.stack);
        assert.equal(sha256(rig.database), other.sha256, 'not a byte of it was written');
        assert.equal(contentOf(rig.database), other.content, 'and SQLite sees nothing else in it');
        assert.equal(integrityOf(rig.database), 'ok');
        // The repository goes on as before.
        await rig.writer.createSnapshot('afterwards');
        assert.equal((await rig.writer.verifySnapshot('image')).ok, true);
      });
    }
  }
}

test('a database whose folder was exchanged is not taken for the one that was copied', async (t) => {
  const rig = makeRecoveryRig(t);
  fs.mkdirSync(rig.path('data'));
  const database = rig.path('data', 'app.db');
  createDatabase(database, { megabytes: 1 });
  const writer = rig.newWriter({ databaseUrl: `file:${database}` });
  await writer.createSnapshot('image');
  fs.cpSync(rig.path('data'), rig.path('other'), { recursive: true });
  withDatabase(rig.path('other', 'app.db'), (db) => db.exec("UPDATE Reality SET description = 'other'"));
  const outcome = await whilePaused(
    rig,
    'restore.before-begin',
    () => writer.restoreFromSnapshot('image'),
    () => {
      fs.renameSync(rig.path('data'), rig.path('before'));
      fs.renameSync(rig.path('other'), rig.path('data'));
    },
  );
  assert.equal(outcome.reason?.code, 'DATABASE_MOVED', outcome.reason?.stack);
  assert.equal(countOf(database, 'other'), 3);
});

test('a link that is set to another database meanwhile leads to no restore', async (t) => {
  const rig = makeRecoveryRig(t);
  const [blue, green] = [rig.path('blue.db'), rig.path('green.db')];
  createDatabase(blue, { megabytes: 1 });
  createDatabase(green, { realities: 7 });
  const contents = [blue, green].map(contentOf);
  fs.symlinkSync(blue, rig.database);
  await rig.writer.createSnapshot('image');
  withDatabase(blue, (db) => db.exec("UPDATE Reality SET description = 'later'"));
  const outcome = await whilePaused(
    rig,
    'restore.before-begin',
    () => rig.writer.restoreFromSnapshot('image'),
    () => {
      fs.rmSync(rig.database);
      fs.symlinkSync(green, rig.database);
    },
  );
  assert.equal(outcome.reason?.code, 'DATABASE_MOVED', outcome.reason?.stack);
  assert.equal(countOf(blue, 'later'), 3, 'the one that was copied was not written');
  assert.equal(contentOf(green), contents[1]);
});

/** A sound database with rows of its own, and what is in it. */
function anotherDatabase(rig) {
  const file = rig.path('another.db');
  createDatabase(file, { realities: 9, megabytes: 1 });
  return { file, sha256: sha256(file), content: contentOf(file) };
}
