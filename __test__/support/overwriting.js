'use strict';

// Every call that overwrites a database that is there, and how each is taken back: the state that it
// overwrote has to be the one that was there when it began to write.

const { breakIndex } = require('./recovery.js');
const { createDatabase, insertRealities, withDatabase } = require('./database.js');

const undo = (rig) => rig.writer.undoRestore();

const OVERWRITING = {
  restoreFromSnapshot: {
    act: (rig) => rig.writer.restoreFromSnapshot('image'),
    takeBack: undo,
  },
  undoRestore: {
    prepare: async (rig) => {
      await rig.writer.restoreFromSnapshot('image');
      addOne(rig, 'written since');
    },
    act: undo,
    takeBack: (rig) => restoreSafety(rig),
  },
  rollbackToPreOperationBackup: {
    prepare: async (rig) => {
      const { backup } = await rig.recovery.createPreOperationBackup('x');
      rig.backup = backup.name;
      addOne(rig, 'written since');
    },
    act: (rig) => rig.recovery.rollbackToPreOperationBackup(rig.backup),
    takeBack: undo,
  },
  recoverFromFailedRestore: {
    prepare: (rig) => breakIndex(rig.database),
    act: (rig) => rig.recovery.recoverFromFailedRestore('image', 'it failed'),
    takeBack: undo,
  },
  _resetDatabase: {
    act: (rig) => rig.writer._resetDatabase(),
    takeBack: (rig) => restoreSafety(rig),
  },
  emergencyDatabaseReset: {
    act: (rig) => rig.recovery.emergencyDatabaseReset(),
    takeBack: (rig, { backup }) => rig.recovery.rollbackToPreOperationBackup(backup),
  },
};

/** A database, the snapshot `image` of it, and rows that were written since. */
async function prepareOverwriting(rig, call, journalMode) {
  createDatabase(rig.database, { journalMode, realities: 3, megabytes: 1 });
  await rig.writer.createSnapshot('image');
  addOne(rig, 'written since');
  await call.prepare?.(rig);
}

function addOne(rig, description) {
  withDatabase(rig.database, (db) => insertRealities(db, 1, description));
}

/** Restores the newest safety snapshot. */
async function restoreSafety(rig) {
  const listed = await rig.writer.listSnapshots();
  const [newest] = listed
    .filter(({ kind }) => kind === 'safety')
    .sort((one, other) => other.createdAt - one.createdAt);
  return rig.writer.restoreFromSnapshot(newest.name);
}

const countOf = (file, description) =>
  withDatabase(file, (db) =>
    db
      .prepare('SELECT count(*) FROM Reality NOT INDEXED WHERE description LIKE ?')
      .pluck()
      .get(`${description}%`),
  );

module.exports = { OVERWRITING, prepareOverwriting, restoreSafety, countOf };
