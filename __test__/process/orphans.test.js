'use strict';

// SQLite applies whatever -wal or -journal lies beside a file of the right name. A new database
// must therefore never be published beside those of a lost one, nor may they be thrown away.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const { test } = require('node:test');
const {
  createDatabase,
  contentOf,
  insertRealities,
  integrityOf,
  withDatabase,
} = require('../support/database.js');
const { filesBelow, sha256 } = require('../support/files.js');
const { startConnection } = require('../support/processes.js');
const { makeRig } = require('../support/rig.js');

/** What a crash leaves beside a database, and what the lost database is brought back with. */
const ORPHANS = {
  'a stale -wal': { journalMode: 'wal', suffix: '-wal' },
  'a hot -journal': { journalMode: 'delete', suffix: '-journal' },
};
const RETURNS = {
  'restored by name': (writer) => writer.restoreFromSnapshot('image'),
  bootstrapped: async (writer) => {
    const result = await writer.bootstrapDatabase();
    assert.equal(result.bootstrapped, true, result.error);
  },
};

for (const [what, { journalMode, suffix }] of Object.entries(ORPHANS)) {
  for (const [how, bringBack] of Object.entries(RETURNS)) {
    test(`a lost database with ${what} beside it is ${how} to a sound file`, async (t) => {
      const rig = makeRig(t);
      createDatabase(rig.database, { journalMode, realities: 5, megabytes: 2 });
      const content = contentOf(rig.database);
      await rig.writer.createSnapshot('image');
      await crashInTransaction(rig, journalMode);
      const orphan = `${rig.database}${suffix}`;
      assert.ok(fs.statSync(orphan).size > 4096, `${suffix} is there`);
      const orphanHash = sha256(orphan);
      fs.rmSync(rig.database);

      await bringBack(rig.writer);

      assert.equal(integrityOf(rig.database), 'ok');
      assert.equal(contentOf(rig.database), content);
      withDatabase(rig.database, (db) => insertRealities(db, 1));
      assert.equal(integrityOf(rig.database), 'ok');
      const kept = filesBelow(rig.folder).filter((file) => sha256(file) === orphanHash);
      assert.equal(kept.length, 1, `${suffix} was kept`);
      assert.notEqual(kept[0], orphan, `${suffix} was moved aside`);
    });
  }
}

/** Kills a process so that its journal or WAL stays behind. */
async function crashInTransaction(rig, journalMode) {
  const pragmas = ['cache_size = 10', 'wal_autocheckpoint = 0'];
  const handle = await startConnection(rig, 'better-sqlite3', rig.database, { pragmas });
  if (journalMode === 'wal') {
    await handle.exec("UPDATE Filler SET body = 'written to the WAL only'");
  } else {
    // The small cache spills, so that the journal is synced and hot.
    await handle.exec("BEGIN IMMEDIATE; UPDATE Filler SET body = replace(body, 'noise', 'NOISE')");
  }
  await handle.kill();
}
