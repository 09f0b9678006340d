'use strict';

// A file that cannot be rewritten in place is exchanged. Killed at any step of that, the name has the old
// or the new database; only one that SQLite cannot read may be aside, and then nobody calls it empty.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const { test } = require('node:test');
const { contentOf, createDatabase, integrityOf, withDatabase } = require('../support/database.js');
const { OF_A_SET, knownFailpoints, withFailpoint } = require('../support/failpoints.js');
const { startConnection } = require('../support/processes.js');
const { makeRig, refused } = require('../support/rig.js');

const SUFFIXES = ['', '-wal', '-shm', '-journal'];
const STEPS = knownFailpoints().filter(
  (name) => name.startsWith('replace.') || /^restore\.before-(replace|exchange|outcome)$/.test(name),
);

for (const journalMode of ['wal', 'persist']) {
  for (const step of STEPS) {
    test(`an exchange killed at ${step} beside what a crash left (${journalMode}) leaves the old or the new database`, async (t) => {
      const rig = makeRig(t);
      const { old, image } = await prepare(rig, journalMode);

      await withFailpoint(`${step}=kill`, () =>
        refused(rig.writer.restoreFromSnapshot('image'), 'WORKER_FAILED'),
      );

      assert.ok(fs.existsSync(rig.database), 'the name is without a database');
      const left = contentOfCopy(rig, 'left');
      assert.ok([old, image].includes(left), 'neither the old nor the new database');
      assert.equal(await rig.writer.isDatabaseEmpty(), false);
      // Whatever settles it, the database stays what it is, journal mode included.
      await rig.writer.pinSnapshot('image');
      assert.equal(contentOfCopy(rig, 'settled'), left);
      if (left === old && journalMode === 'wal') assert.equal(journalModeOf(rig.database), 'wal');
      const { restoreStatus } = await rig.writer.getSnapshot('image');
      assert.equal(restoreStatus === 'SUCCESS', left === image);
      await rig.writer.restoreFromSnapshot('image');
      assert.equal(contentOf(rig.database), image);
      assert.equal(integrityOf(rig.database), 'ok');
    });
  }

  test(`an exchange that fails leaves the database as it was, journal mode included (${journalMode})`, async (t) => {
    const rig = makeRig(t);
    const { old } = await prepare(rig, journalMode);
    for (const step of ['replace.before-link', 'replace.before-publish', 'replace.published']) {
      await withFailpoint(`${step}=fail`, () => refused(rig.writer.restoreFromSnapshot('image'), 'INTERNAL'));
      assert.equal(contentOfCopy(rig, step), old, step);
      if (journalMode === 'wal') assert.equal(journalModeOf(rig.database), 'wal', step);
      assert.deepEqual(
        fs.readdirSync(rig.folder).filter((name) => name.includes('.replaced-')),
        [],
      );
    }
  });
}

const AFTER_A_KILL = {
  'isDatabaseEmpty rejects': async (rig) => {
    await refused(rig.writer.isDatabaseEmpty(), 'UNSETTLED');
  },
  'status is critical and names the remedy': async (rig) => {
    const { healthy, checks } = await rig.writer.status();
    assert.equal(healthy, false);
    const { verdict, reason } = checks.find(({ name }) => name === 'database');
    assert.equal(verdict, 'critical');
    assert.match(reason, /snapshot-writer create/);
  },
  'listSnapshots lists and warns': async (rig) => {
    assert.ok((await rig.writer.listSnapshots()).some(({ name }) => name === 'image'));
    assert.ok(rig.log.warnings().some(({ fields }) => fields?.code === 'UNSETTLED'));
  },
  'doctor says it': async (rig) => {
    assert.match(JSON.stringify(await rig.writer.doctor()), /is being replaced by a restore/);
  },
  'bootstrapDatabase fills nothing': async (rig) => {
    const { bootstrapped } = await rig.writer.bootstrapDatabase();
    assert.equal(bootstrapped, false);
  },
  'createSnapshot settles it first': async (rig) => {
    await rig.writer.createSnapshot('of the damaged one').catch(() => 'refused, as before');
    assert.ok(fs.existsSync(rig.database));
  },
};

for (const step of knownFailpoints().filter((name) => OF_A_SET.test(name))) {
  for (const [what, look] of Object.entries(AFTER_A_KILL)) {
    test(`after a kill at ${step}, an unreadable database is not called empty: ${what}`, async (t) => {
      const rig = makeRig(t);
      createDatabase(rig.database, { realities: 5 });
      const image = contentOf(rig.database);
      await rig.writer.createSnapshot('image');
      // SQLite itself removes a -wal or -journal that makes no sense to it.
      for (const suffix of ['', '-shm']) {
        fs.writeFileSync(`${rig.database}${suffix}`, Buffer.alloc(8192, 0xa5));
      }
      const before = bytesOf(rig);
      await withFailpoint(`${step}=kill`, () =>
        refused(rig.writer.restoreFromSnapshot('image'), 'WORKER_FAILED'),
      );
      assert.ok(!fs.existsSync(rig.database), 'it was killed in the middle');

      await look(rig);

      await rig.writer.pinSnapshot('image');
      assert.deepEqual(bytesOf(rig), before, 'the next call that writes puts the set back');
      await rig.writer.restoreFromSnapshot('image');
      assert.equal(contentOf(rig.database), image);
    });
  }
}

/** A snapshot "image", and a database of another page size with what a killed writer leaves beside it. */
async function prepare(rig, journalMode) {
  createDatabase(rig.database, { realities: 5 });
  const image = contentOf(rig.database);
  await rig.writer.createSnapshot('image');
  fs.rmSync(rig.database);
  createDatabase(rig.database, { realities: 9, pageSize: 8192, journalMode });
  const pragmas = [`journal_mode = ${journalMode}`];
  const writer = await startConnection(rig, 'better-sqlite3', rig.database, { pragmas });
  await writer.exec("INSERT INTO Metric VALUES ('only beside the file', 1)");
  await writer.kill();
  assert.ok(fs.existsSync(`${rig.database}${journalMode === 'wal' ? '-wal' : '-journal'}`));
  return { image, old: contentOfCopy(rig, 'old') };
}

/** What SQLite sees, without touching the files themselves: the last one out removes a WAL. */
function contentOfCopy(rig, name) {
  const folder = rig.path(`copy-${name}`);
  fs.mkdirSync(folder, { recursive: true });
  for (const suffix of SUFFIXES) {
    if (fs.existsSync(`${rig.database}${suffix}`)) {
      fs.copyFileSync(`${rig.database}${suffix}`, `${folder}/app.db${suffix}`);
    }
  }
  return contentOf(`${folder}/app.db`);
}

function bytesOf(rig) {
  const files = SUFFIXES.map((suffix) => `${rig.database}${suffix}`);
  return files.map((file) => (fs.existsSync(file) ? fs.readFileSync(file, 'base64') : null));
}

function journalModeOf(file) {
  return withDatabase(file, (db) => db.pragma('journal_mode', { simple: true }));
}
