'use strict';

// The situations of docs/runbook.md, each brought about for real, and how it has to end.
// `before` says what happens between two commands of the section: the operator's work elsewhere.

const assert = require('node:assert/strict');
const { spawn } = require('node:child_process');
const { once } = require('node:events');
const fs = require('node:fs');
const path = require('node:path');
const {
  createDatabase,
  countRows,
  insertRealities,
  integrityOf,
  rewriteFiller,
  withDatabase,
} = require('./database.js');
const { cannotMount, fillUp, mountSmall } = require('./mounts.js');
const { CREDENTIALS } = require('./s3-client.js');

const GOOD_ROWS = 40;
const CREATE = 'npx snapshot-writer create';

const SITUATIONS = {
  'First look': {
    prepare: withNightly,
    check: holdsGoodRows,
  },
  'The disk died': {
    async prepare(place) {
      await withNightly(place);
      removeDatabase(place);
      fs.rmSync(place.snapshotDir, { recursive: true });
    },
    check: holdsGoodRows,
  },
  'The database is empty': {
    async prepare(place) {
      await withNightly(place);
      emptyDatabase(place);
      for (const night of ['night-1', 'night-2']) await done(place, `${CREATE} ${night}`);
    },
    check: holdsGoodRows,
  },
  'The database file was deleted': {
    async prepare(place) {
      await withNightly(place);
      place.application = await startApplication(place);
      removeDatabase(place);
    },
    before: { 'npx snapshot-writer bootstrap': ({ application }) => application.end() },
    check: (place) => holdsRows(place, GOOD_ROWS + 1),
  },
  'A snapshot was removed by mistake': {
    async prepare(place) {
      await withNightly(place);
      await done(place, `${CREATE} later`);
      await done(place, 'npx snapshot-writer prune --keep-last 1');
    },
    check: (place) => bucketHolds(place, 2),
  },
  'A bad deploy wrote rubbish': {
    async prepare(place) {
      await withNightly(place);
      withDatabase(place.database, (db) => insertRealities(db, 10));
      await done(place, `${CREATE} before-deploy`);
      withDatabase(place.database, (db) => db.exec(`UPDATE Reality SET description = 'undefined'`));
    },
    check: (place) => holdsRows(place, GOOD_ROWS + 10),
  },
  'The restore failed': {
    async prepare(place) {
      // With a bucket, the restore would take the damaged part from there.
      delete place.env.S3_BUCKET;
      createDatabase(place.database, { realities: GOOD_ROWS, megabytes: 1 });
      await done(place, `${CREATE} yesterday`);
      const older = packsOf(place);
      withDatabase(place.database, (db) => insertRealities(db, 10));
      rewriteFiller(place.database, 2);
      await done(place, `${CREATE} nightly`);
      withDatabase(place.database, (db) =>
        db.exec("DELETE FROM Reality; UPDATE Filler SET body = ''; VACUUM"),
      );
      for (const file of packsOf(place).filter((pack) => !older.includes(pack))) cutInHalf(file);
    },
    check: holdsGoodRows,
  },
  'Snapshots stopped': {
    async prepare(place) {
      await withNightly(place);
      // The disk of the snapshots is a mount that is gone.
      fs.renameSync(place.snapshotDir, path.join(place.folder, 'away'));
      fs.symlinkSync('not-mounted/backups', place.snapshotDir);
    },
    before: {
      'npx snapshot-writer create by-hand'({ folder, snapshotDir }) {
        fs.rmSync(snapshotDir);
        fs.renameSync(path.join(folder, 'away'), snapshotDir);
      },
    },
    check: (place) => bucketHolds(place, 2),
  },
  'The disk is full': {
    skip: cannotMount,
    async prepare(place) {
      mountSmall(place, place.snapshotDir, '8m');
      await withNightly(place);
      for (const name of ['monday', 'tuesday', 'wednesday', 'thursday']) {
        rewriteFiller(place.database);
        await done(place, `${CREATE} ${name}`);
      }
      fillUp(place.snapshotDir);
      rewriteFiller(place.database);
    },
    check: (place) => bucketHolds(place, 6),
  },
  'The bucket is unreachable': {
    async prepare(place) {
      await withNightly(place);
      place.proxy.down();
    },
    before: { 'npx snapshot-writer sync': ({ proxy }) => proxy.up() },
    check: (place) => bucketHolds(place, 2),
  },
  'The key is lost': {
    async prepare(place) {
      await withNightly(place);
      place.env.AWS_SECRET_ACCESS_KEY = 'an-old-secret';
    },
    before: {
      'npx snapshot-writer check-storage'({ env }) {
        env.AWS_SECRET_ACCESS_KEY = CREDENTIALS.secretAccessKey;
      },
    },
    check: (place) => bucketHolds(place, 2),
  },
  'The process crashed in a restore': {
    async prepare(place) {
      await withNightly(place);
      withDatabase(place.database, (db) => db.exec('DELETE FROM Reality'));
      await killedInRestore(place);
    },
    check: holdsGoodRows,
  },
};

/** A database and the snapshot "nightly" of it, here and in the bucket. */
async function withNightly(place) {
  createDatabase(place.database, { realities: GOOD_ROWS, megabytes: 1 });
  await done(place, `${CREATE} nightly`);
}

/** Has the database open in WAL mode, with a row that is in no snapshot; ends with its input at the latest. */
async function startApplication({ database }) {
  const script = `
    const db = new (require('better-sqlite3'))(process.argv[1]);
    db.pragma('journal_mode = WAL');
    db.exec("INSERT INTO Reality SELECT 'new', description, parameters, 0, NULL, createdAt, 1 FROM Reality LIMIT 1");
    console.log('ready');
    process.stdin.on('end', () => process.exit()).resume();`;
  const child = spawn(process.execPath, ['-e', script, database], {
    cwd: __dirname,
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  await once(child.stdout, 'data');
  return {
    async end() {
      child.stdin.end();
      await once(child, 'exit');
    },
  };
}

async function done(place, command) {
  const output = await place.type(`${command} && echo OK`);
  assert.match(output, /OK$/, output);
}

/** At the worst moment: pages are written, nothing is committed. */
async function killedInRestore(place) {
  const armed = 'SNAPSHOT_WRITER_FAILPOINT=restore.before-commit=kill';
  const output = await place.type(`${armed} npx snapshot-writer restore nightly --yes`);
  assert.match(output, /SIGKILL/, 'the worker was killed in the restore');
}

function emptyDatabase({ database }) {
  withDatabase(database, (db) =>
    db.exec('DELETE FROM Reality; DELETE FROM RecursionPath; DELETE FROM ConsciousnessField'),
  );
}

function removeDatabase({ database }) {
  for (const suffix of ['', '-wal', '-shm', '-journal']) fs.rmSync(database + suffix, { force: true });
}

function packsOf({ snapshotDir }) {
  const folder = path.join(snapshotDir, 'packs');
  return fs.readdirSync(folder).map((name) => path.join(folder, name));
}

/** As after a crash of the machine on a disk that says "written" too early. */
function cutInHalf(file) {
  fs.truncateSync(file, Math.floor(fs.statSync(file).size / 2));
}

function holdsGoodRows(place) {
  holdsRows(place, GOOD_ROWS);
}

function holdsRows({ database }, rows) {
  assert.equal(integrityOf(database), 'ok');
  assert.equal(countRows(database, 'Reality'), rows);
  const spoilt = withDatabase(database, (db) =>
    db.prepare(`SELECT count(*) FROM Reality WHERE description = 'undefined'`).pluck().get(),
  );
  assert.equal(spoilt, 0);
}

async function bucketHolds({ bucket }, snapshots) {
  assert.equal((await bucket.list('snapshots/snapshots/')).length, snapshots);
}

module.exports = { SITUATIONS };
