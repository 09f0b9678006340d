'use strict';

// SQLite takes a file of zero bytes for a new database and deletes the -wal or -journal beside it. When
// a file was emptied by mistake, they may be all that is left of it.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const { test } = require('node:test');
const { SnapshotRecovery } = require('../../index.js');
const { createDatabase, contentOf, integrityOf } = require('../support/database.js');
const { filesBelow, sha256 } = require('../support/files.js');
const { startConnection } = require('../support/processes.js');
const { makeRig, refused } = require('../support/rig.js');

const WAYS = {
  'a full -wal': { journalMode: 'wal', suffix: '-wal' },
  'a hot -journal': { journalMode: 'delete', suffix: '-journal' },
};

const TRUNCATED = 'DATABASE_TRUNCATED';
/** Calls that look, and what they answer. */
const LOOKS = {
  listSnapshots: async ({ writer }) => assert.equal((await writer.listSnapshots()).length, 1),
  getSnapshot: async ({ writer }) => assert.equal((await writer.getSnapshot('early')).name, 'early'),
  status: async ({ writer }) => assert.ok(await writer.status()),
  metrics: async ({ writer }) => assert.ok(await writer.metrics()),
  isDatabaseEmpty: async ({ writer }) => assert.equal(await writer.isDatabaseEmpty(), true),
  doctor: async ({ writer }) => {
    const { findings } = await writer.doctor();
    const { verdict, finding } = findings.find(({ check }) => check === 'database');
    assert.equal(verdict, 'problem');
    assert.match(finding, /has zero bytes, but .*app\.db-(wal|journal) beside it is not empty/);
  },
  verifySnapshot: async ({ writer }) =>
    assert.equal((await writer.verifySnapshot('early', { level: 'database' })).ok, true),
  exportSnapshot: ({ writer, path }) => writer.exportSnapshot('early', path('out.db')),
  drill: async ({ writer }) => assert.equal((await writer.drill()).outcome, 'passed'),
  deleteSnapshot: ({ writer }) => writer.deleteSnapshot('early'),
  createSnapshot: ({ writer }) => refused(writer.createSnapshot('later'), TRUNCATED),
  reset: ({ writer }) => refused(writer._resetDatabase(), TRUNCATED),
  createPreOperationBackup: (rig) => refused(recovery(rig).createPreOperationBackup('try'), TRUNCATED),
  claimTick: ({ writer }) => refused(writer._claimTick('* * * * *', new Date()), TRUNCATED),
};

for (const [what, way] of Object.entries(WAYS)) {
  for (const [call, look] of Object.entries(LOOKS)) {
    test(`${call} leaves ${what} beside an emptied database alone`, async (t) => {
      const { rig, left, hash } = await emptied(t, way);
      await look(rig);
      assert.equal(sha256(left), hash);
      assert.equal(fs.statSync(rig.database).size, 0);
    });
  }

  for (const call of ['restoreFromSnapshot', 'bootstrapDatabase', 'rollbackToPreOperationBackup']) {
    test(`${call} moves an emptied database aside together with ${what}`, async (t) => {
      const { rig, hash, content, backup } = await emptied(t, way);
      if (call === 'restoreFromSnapshot') await rig.writer.restoreFromSnapshot('early');
      else if (call === 'bootstrapDatabase')
        assert.equal((await rig.writer.bootstrapDatabase()).bootstrapped, true);
      else await recovery(rig).rollbackToPreOperationBackup(backup);
      assert.equal(contentOf(rig.database), content);
      assert.equal(integrityOf(rig.database), 'ok');
      const kept = filesBelow(rig.folder).filter((file) => sha256(file) === hash);
      assert.equal(kept.length, 1, 'it was kept');
      const main = kept[0].slice(0, -way.suffix.length);
      assert.match(main, /app\.db\.orphaned-/);
      assert.equal(fs.statSync(main).size, 0, 'as one set');
    });
  }
}

test('an emptied database is not taken from a process that still has it open', async (t) => {
  const rig = makeRig(t);
  createDatabase(rig.database, { journalMode: 'wal' });
  await rig.writer.createSnapshot('early');
  const application = await startConnection(rig, 'better-sqlite3', rig.database);
  await application.exec("UPDATE Reality SET description = 'in the WAL only'");
  fs.truncateSync(rig.database, 0);
  const hash = sha256(`${rig.database}-wal`);
  const writer = rig.newWriter({ lockTimeoutMs: 300 });
  await refused(writer.restoreFromSnapshot('early'), 'DATABASE_DELETED');
  const { bootstrapped, code } = await writer.bootstrapDatabase();
  assert.deepEqual([bootstrapped, code], [false, 'DATABASE_DELETED']);
  assert.equal(sha256(`${rig.database}-wal`), hash);
  await application.kill();
  assert.equal((await writer.bootstrapDatabase()).bootstrapped, true);
});

const recovery = (rig) =>
  new SnapshotRecovery({ ...rig.options, recoveryDir: rig.path('recovery'), log: rig.log });

/** A database whose file was emptied after its writer was killed. */
async function emptied(t, { journalMode, suffix }) {
  const rig = makeRig(t);
  createDatabase(rig.database, { journalMode, realities: 5, megabytes: 2 });
  const content = contentOf(rig.database);
  await rig.writer.createSnapshot('early');
  const { backup } = await recovery(rig).createPreOperationBackup('test');
  const pragmas = ['cache_size = 10', 'wal_autocheckpoint = 0'];
  const handle = await startConnection(rig, 'better-sqlite3', rig.database, { pragmas });
  // The small cache spills, so that the journal is synced and hot.
  const begin = journalMode === 'wal' ? '' : 'BEGIN IMMEDIATE;';
  await handle.exec(`${begin} UPDATE Filler SET body = replace(body, 'noise', 'NOISE')`);
  await handle.kill();
  fs.truncateSync(rig.database, 0);
  const left = `${rig.database}${suffix}`;
  assert.ok(fs.statSync(left).size > 4096, `${suffix} is there`);
  return { rig, left, hash: sha256(left), content, backup: backup.name };
}
