'use strict';

// Another page size or text encoding cannot be written into a file that somebody has open: then
// the file is replaced, but only if nobody has.

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
const { filesBelow, sha256 } = require('../support/files.js');
const { startConnection } = require('../support/processes.js');
const { makeRig, refused } = require('../support/rig.js');

/** Live databases that cannot take the image page by page. */
const OTHERS = {
  'another page size': (file) => createDatabase(file, { realities: 9, pageSize: 8192 }),
  'another text encoding': (file) => createDatabase(file, { realities: 9, encoding: 'UTF-16le' }),
  'an unreadable header': (file) => fs.writeFileSync(file, Buffer.alloc(3 * 4096, 0xa5)),
};

for (const [what, make] of Object.entries(OTHERS)) {
  test(`a file with ${what} is replaced once nobody has it open, and kept aside`, async (t) => {
    const rig = makeRig(t);
    createDatabase(rig.database, { realities: 5 });
    const image = contentOf(rig.database);
    await rig.writer.createSnapshot('image');
    fs.rmSync(rig.database);
    make(rig.database);
    const hash = sha256(rig.database);
    const writer = rig.newWriter({ lockTimeoutMs: 500 });

    const handle = await startConnection(rig, 'better-sqlite3', rig.database);
    await handle.all('SELECT * FROM sqlite_master').catch(() => 'unreadable');
    const error = await refused(writer.restoreFromSnapshot('image'), 'DATABASE_BUSY');
    assert.ok(error.message.includes(String(handle.pid)), `the holder is not named: ${error.message}`);
    if (what !== 'an unreadable header') assert.equal(countOf(rig.database), 9);
    await handle.close();

    await writer.restoreFromSnapshot('image');
    assert.equal(contentOf(rig.database), image);
    assert.equal(integrityOf(rig.database), 'ok');
    if (what === 'an unreadable header') {
      assert.ok(
        filesBelow(rig.folder).some((file) => sha256(file) === hash),
        'the old file was thrown away',
      );
    } else {
      await writer.undoRestore();
      assert.equal(countOf(rig.database), 9);
    }
  });
}

for (const journalMode of ['delete', 'wal']) {
  test(`what is written before the file is replaced comes back with undoRestore (${journalMode})`, async (t) => {
    const rig = makeRig(t);
    createDatabase(rig.database, { realities: 5 });
    await rig.writer.createSnapshot('image');
    fs.rmSync(rig.database);
    createDatabase(rig.database, { realities: 9, pageSize: 8192, journalMode });
    const restored = await whilePaused(
      rig,
      'restore.before-replace',
      () => rig.writer.restoreFromSnapshot('image'),
      () => withDatabase(rig.database, (db) => insertRealities(db, 1, 'committed late')),
    );
    assert.equal(restored.status, 'fulfilled', restored.reason?.stack);
    assert.equal(countOf(rig.database), 5);
    await rig.writer.undoRestore();
    assert.equal(countOf(rig.database), 10);
  });
}

for (const step of ['restore.before-replace', 'restore.before-exchange', 'replace.before-publish']) {
  test(`a file that takes the database's place at ${step} stays as it is`, async (t) => {
    const rig = makeRig(t);
    createDatabase(rig.database, { realities: 5 });
    await rig.writer.createSnapshot('image');
    fs.rmSync(rig.database);
    createDatabase(rig.database, { realities: 9, pageSize: 8192 });
    const other = rig.path('other.db');
    createDatabase(other, { realities: 7 });
    const outcome = await whilePaused(
      rig,
      step,
      () => rig.newWriter({ lockTimeoutMs: 2_000 }).restoreFromSnapshot('image'),
      () => fs.renameSync(other, rig.database),
    );
    // Before the file is locked, the newcomer is the one that is replaced, and kept.
    if (step === 'restore.before-replace') {
      assert.equal(outcome.status, 'fulfilled', outcome.reason?.stack);
      await rig.writer.undoRestore();
    } else {
      assert.equal(outcome.reason?.code, 'DATABASE_MOVED', outcome.reason?.stack);
    }
    assert.equal(countOf(rig.database), 7);
    assert.equal(integrityOf(rig.database), 'ok');
  });
}

test('rows that appear in an empty database before it is replaced are not overwritten', async (t) => {
  const rig = makeRig(t);
  createDatabase(rig.database, { realities: 5 });
  await rig.writer.createSnapshot('image');
  fs.rmSync(rig.database);
  createDatabase(rig.database, { realities: 0, pageSize: 8192 });
  const { value } = await whilePaused(
    rig,
    'restore.before-replace',
    () => rig.writer.bootstrapDatabase(),
    () => withDatabase(rig.database, (db) => insertRealities(db, 1, 'the first')),
  );
  assert.equal(value.bootstrapped, false);
  assert.equal(countOf(rig.database), 1);
});

function countOf(file) {
  return withDatabase(file, (db) => db.prepare('SELECT count(*) FROM Reality').pluck().get());
}
