'use strict';

// The worker, too, would lose its locks if it opened and closed the database on the side: at every
// step of its transaction it must hold the same ones, and keep other writers out.

const assert = require('node:assert/strict');
const { test } = require('node:test');
const { createDatabase, insertRealities, withDatabase } = require('../support/database.js');
const { whilePaused } = require('../support/failpoints.js');
const { databaseLocks, outcomeOfOtherWriter } = require('../support/locks.js');
const { childrenOf } = require('../support/processes.js');
const { makeRig } = require('../support/rig.js');

const STEPS_UNDER_THE_LOCK = ['restore.writing', 'restore.before-commit'];

for (const journalMode of ['delete', 'wal']) {
  test(`the worker holds its write lock at every step of a restore (${journalMode})`, async (t) => {
    const rig = makeRig(t);
    createDatabase(rig.database, { journalMode, realities: 5, megabytes: 1 });
    await rig.writer.createSnapshot('image');

    const held = [];
    for (const step of STEPS_UNDER_THE_LOCK) {
      withDatabase(rig.database, (db) => insertRealities(db, 5));
      const outcome = await whilePaused(
        rig,
        step,
        () => rig.writer.restoreFromSnapshot('image'),
        () => {
          const [worker] = childrenOf(process.pid);
          held.push(databaseLocks(rig.database, worker));
          assert.equal(outcomeOfOtherWriter(rig.database), 'SQLITE_BUSY', step);
        },
      );
      assert.equal(outcome.status, 'fulfilled', outcome.reason?.message);
    }

    const [first, ...others] = held.map(({ database, sharedMemory }) => writeLocks(database, sharedMemory));
    assert.ok(first.length > 0, 'a write lock is held at the first step');
    for (const locks of others) assert.deepEqual(locks, first);
  });
}

/** Byte ranges that are locked for writing; pid and inode differ from one worker to the next. */
function writeLocks(...lists) {
  return lists.flat().flatMap((line) => {
    const [, , kind, , , start, end] = line.split(' ');
    return kind === 'WRITE' ? [`${start}-${end}`] : [];
  });
}
