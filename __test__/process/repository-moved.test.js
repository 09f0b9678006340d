'use strict';

// The repository's folder is unmounted, renamed, emptied or replaced while an operation works in it.
// Nobody is told that something is stored which is not there, and nothing is written or removed in
// whatever its path leads to by then.

const assert = require('node:assert/strict');
const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { test } = require('node:test');
const {
  catalogRow,
  contentOf,
  createDatabase,
  insertRealities,
  withDatabase,
} = require('../support/database.js');
const { pauseAt, whilePaused, withFailpoint } = require('../support/failpoints.js');
const { filesBelow, fingerprint } = require('../support/files.js');
const { mountSmall } = require('../support/mounts.js');
const { assertAllVerify, eventually, makeRig } = require('../support/rig.js');

const away = (rig) => `${rig.snapshotDir}.away`;
const local = (rig) => path.join(rig.snapshotDir, 'local');

/** What becomes of the folder. */
const LOSSES = {
  'is renamed': (rig) => fs.renameSync(rig.snapshotDir, away(rig)),
  'is removed': (rig) => fs.rmSync(rig.snapshotDir, { recursive: true }),
  'gives way to an empty one': (rig) => {
    fs.renameSync(rig.snapshotDir, away(rig));
    fs.mkdirSync(rig.snapshotDir);
  },
  'gives way to a copy': (rig) => {
    fs.renameSync(rig.snapshotDir, away(rig));
    fs.cpSync(away(rig), rig.snapshotDir, { recursive: true });
  },
  'loses its local/': (rig) => fs.rmSync(local(rig), { recursive: true }),
  'gets another lock file': (rig) => {
    fs.rmSync(path.join(local(rig), 'lock'));
    fs.writeFileSync(path.join(local(rig), 'lock'), '');
  },
};

for (const [what, lose] of Object.entries(LOSSES)) {
  for (const step of ['create.captured', 'create.before-manifest', 'create.after-manifest']) {
    test(`a snapshot is not called complete when the repository ${what} at ${step}`, async (t) => {
      const rig = makeRig(t);
      createDatabase(rig.database, { megabytes: 1 });
      await rig.writer.createSnapshot('before');
      withDatabase(rig.database, (db) => insertRealities(db, 5));
      let left;
      const outcome = await whilePaused(
        rig,
        step,
        () => rig.writer.createSnapshot('lost'),
        () => {
          lose(rig);
          left = contentsOf(rig.snapshotDir);
        },
      );
      assert.equal(outcome.reason?.code, 'REPOSITORY_MOVED', outcome.reason?.stack);
      assert.match(outcome.reason.message, /^Failed to create snapshot: .*SNAPSHOT_DIR/);
      const row = catalogRow(rig.database, 'lost');
      assert.equal(row.status, 'FAILED');
      assert.match(row.restoreMessage, /SNAPSHOT_DIR/);
      assert.deepEqual(contentsOf(rig.snapshotDir), left, 'nothing was written or removed there');
      await assertEverythingListedIsWhole(rig);

      // Where the folder comes back, everything goes on.
      if (fs.existsSync(away(rig))) {
        fs.rmSync(rig.snapshotDir, { recursive: true, force: true });
        fs.renameSync(away(rig), rig.snapshotDir);
        assert.equal((await rig.writer.verifySnapshot('before')).ok, true);
      }
      await rig.writer.createSnapshot('afterwards');
      await assertEverythingListedIsWhole(rig);
    });
  }

  for (const step of ['restore.before-begin', 'restore.locked']) {
    test(`nothing is restored when the repository ${what} at ${step}`, async (t) => {
      const rig = makeRig(t);
      createDatabase(rig.database, { megabytes: 1 });
      await rig.writer.createSnapshot('before');
      withDatabase(rig.database, (db) => insertRealities(db, 5));
      const content = contentOf(rig.database);
      let left;
      const outcome = await whilePaused(
        rig,
        step,
        () => rig.writer.restoreFromSnapshot('before'),
        () => {
          lose(rig);
          left = contentsOf(rig.snapshotDir);
        },
      );
      assert.equal(outcome.reason?.code, 'REPOSITORY_MOVED', outcome.reason?.stack);
      assert.equal(contentOf(rig.database), content, 'without its safety snapshot nothing is overwritten');
      assert.deepEqual(contentsOf(rig.snapshotDir), left, 'nothing was written or removed there');
    });
  }
}

test('a snapshot is not called complete when the repository is unmounted', async (t) => {
  const rig = makeRig(t);
  if (!mountSmall(rig, rig.snapshotDir, '64m')) return t.skip('mounting is not permitted here');
  createDatabase(rig.database, { megabytes: 1 });
  const outcome = await whilePaused(
    rig,
    'create.captured',
    () => rig.writer.createSnapshot('lost'),
    () => assert.equal(spawnSync('umount', ['--lazy', rig.snapshotDir]).status, 0),
  );
  assert.equal(outcome.reason?.code, 'REPOSITORY_MOVED', outcome.reason?.stack);
  assert.equal(catalogRow(rig.database, 'lost').status, 'FAILED');
  assert.deepEqual(fs.readdirSync(rig.snapshotDir), [], 'nothing was written below the mount point');
});

test('a snapshot whose packs vanish after they were verified is not called complete', async (t) => {
  const rig = makeRig(t);
  createDatabase(rig.database, { megabytes: 1 });
  const outcome = await whilePaused(
    rig,
    'create.after-manifest',
    () => rig.writer.createSnapshot('lost'),
    () => fs.rmSync(path.join(rig.snapshotDir, 'packs'), { recursive: true }),
  );
  assert.equal(outcome.reason?.code, 'REPOSITORY_MOVED', outcome.reason?.stack);
  assert.equal(catalogRow(rig.database, 'lost').status, 'FAILED');
});

for (const [step, act] of [
  ['delete.before-manifest', (rig) => rig.writer.deleteSnapshot('first')],
  ['prune.before-manifest', (rig) => rig.writer.prune({ keepLast: 1, trashGraceMs: 0 })],
]) {
  test(`a copy that takes the repository's place at ${step} loses nothing`, async (t) => {
    const rig = makeRig(t);
    createDatabase(rig.database, { megabytes: 1 });
    for (const name of ['first', 'second']) {
      await rig.writer.createSnapshot(name);
      withDatabase(rig.database, (db) => insertRealities(db, 5));
    }
    const outcome = await whilePaused(
      rig,
      step,
      () => act(rig),
      () => LOSSES['gives way to a copy'](rig),
    );
    assert.equal(outcome.reason?.code, 'REPOSITORY_MOVED', outcome.reason?.stack);
    const kept = ['snapshots', 'packs'].flatMap((folder) => filesBelow(path.join(away(rig), folder)));
    for (const file of kept) {
      assert.ok(fs.existsSync(file.replace(away(rig), rig.snapshotDir)), `${file} is in the copy`);
    }
  });
}

test('of two that hold a lock because its file was replaced, only the one at the path succeeds', async (t) => {
  const rig = makeRig(t);
  createDatabase(rig.database, { megabytes: 1 });
  await rig.writer.createSnapshot('before');
  let second;
  const first = await whilePaused(
    rig,
    'create.before-manifest',
    () => rig.writer.createSnapshot('first'),
    async () => {
      LOSSES['loses its local/'](rig);
      second = await rig.writer.createSnapshot('second');
    },
  );
  assert.equal(first.reason?.code, 'REPOSITORY_MOVED', first.reason?.stack);
  assert.equal(second.success, true);
  const names = (await assertAllVerify(rig.writer)).map(({ name }) => name);
  assert.ok(names.includes('before') && names.includes('second') && !names.includes('first'), `${names}`);
});

test('who waited for a lock whose file was replaced meanwhile waits for the one that is there', async (t) => {
  const rig = makeRig(t);
  createDatabase(rig.database, { megabytes: 1 });
  await rig.writer.createSnapshot('before');
  const holder = pauseAt(rig, 'create.captured');
  const first = withFailpoint(holder.armed, () => Promise.allSettled([rig.writer.createSnapshot('first')]));
  await eventually(holder.isReached, 'the first one to hold the lock');
  const waiting = rig.writer.createSnapshot('waiting');
  await eventually(() => hasOpen(path.join(local(rig), 'lock'), 2), 'the second one to wait');
  const old = fs.statSync(path.join(local(rig), 'lock')).ino;
  LOSSES['gets another lock file'](rig);
  holder.release();
  const [{ reason }] = await first;
  assert.equal(reason?.code, 'REPOSITORY_MOVED');
  assert.equal((await waiting).success, true);
  assert.notEqual(fs.statSync(path.join(local(rig), 'lock')).ino, old);
  await assertAllVerify(rig.writer);
});

/** Everything but the files that are only there while an operation works. */
function contentsOf(folder) {
  return fingerprint(folder).filter((file) => !/^local[\\/](scratch|running)[\\/]/.test(file));
}

/** What a listing calls complete has to be there. */
async function assertEverythingListedIsWhole(rig) {
  if (!fs.existsSync(path.join(rig.snapshotDir, 'repository.json'))) return;
  await assertAllVerify(rig.writer);
}

/** Whether at least so many processes have the file open. */
function hasOpen(file, count) {
  const { dev, ino } = fs.statSync(file);
  const holds = (pid) => {
    try {
      return fs.readdirSync(`/proc/${pid}/fd`).some((descriptor) => {
        const open = fs.statSync(`/proc/${pid}/fd/${descriptor}`, { throwIfNoEntry: false });
        return open?.ino === ino && open.dev === dev;
      });
    } catch {
      return false;
    }
  };
  return fs.readdirSync('/proc').filter((pid) => /^\d+$/.test(pid) && holds(pid)).length >= count;
}
