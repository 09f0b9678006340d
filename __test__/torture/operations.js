'use strict';

// What is tortured. `prepare` makes the place from which each case starts: the snapshots "first" and
// "second" of different contents, and a database that has gone on since. `change` is the last that happens
// to the database. `after` says which state the call leads to; without it the database stays as it is.

const fs = require('node:fs');
const {
  contentOf,
  createDatabase,
  fill,
  fillerBody,
  insertRealities,
  rewriteFiller,
  withDatabase,
} = require('../support/database.js');
const { changeAndSave } = require('./place.js');

/** Of a page of 4 KiB each. */
const FILLER_PAGES = 24;

const OPERATIONS = {
  create: {
    call: (writer) => writer.createSnapshot('third'),
    creates: 'third',
  },
  'create-first': {
    prepare: ({ snapshotDir }) => fs.rmSync(snapshotDir, { recursive: true }),
    call: (writer) => writer.createSnapshot('third'),
    creates: 'third',
  },
  restore: {
    call: (writer) => writer.restoreFromSnapshot('first'),
    after: ({ first }) => first,
    restores: 'first',
    canBeUndone: true,
  },
  'restore-new': {
    prepare: loseDatabase,
    call: (writer) => writer.restoreFromSnapshot('first'),
    after: ({ first }) => first,
    restores: 'first',
  },
  'restore-replace': {
    prepare: changePageSize,
    call: (writer) => writer.restoreFromSnapshot('first'),
    after: ({ first }) => first,
    restores: 'first',
    canBeUndone: true,
  },
  undo: {
    async prepare(place, contents) {
      withDatabase(place.database, (db) => insertRealities(db, 2, 'before the restore'));
      contents.undone = contentOf(place.database);
      await place.writer().restoreFromSnapshot('first');
    },
    call: (writer) => writer.undoRestore(),
    after: ({ undone }) => undone,
    keepsStateBefore: true,
  },
  reset: {
    call: (writer) => writer._resetDatabase(),
    after: ({ emptied }) => emptied,
    keepsStateBefore: true,
  },
  bootstrap: {
    prepare: (place) => withDatabase(place.database, empty),
    change: () => {},
    call: bootstrap,
    after: bootstrapped,
  },
  'bootstrap-new': {
    prepare: loseDatabase,
    call: bootstrap,
    after: bootstrapped,
  },
  delete: {
    call: (writer) => writer.deleteSnapshot('second'),
    removes: ['second'],
  },
  prune: {
    prepare: wearOut,
    call: (writer) => writer.prune({ keepLast: 1, trashGraceMs: 0 }),
    removes: ['first', 'second', 'worn', 'between'],
    emptiesTrash: true,
  },
  export: {
    call: (writer, place) => writer.exportSnapshot('second', place.at('out.db')),
    writes: 'out.db',
  },
};

const MODES = ['delete', 'wal'];

/** Makes the template of an operation; returns what its states and snapshots are. */
async function prepare(place, operation, journalMode) {
  place.clear();
  const writer = place.writer();
  createDatabase(place.database, { journalMode, realities: 5 });
  withDatabase(place.database, (db) => fill(db, FILLER_PAGES / 256));
  const contents = { first: contentOf(place.database) };
  await writer.createSnapshot('first');
  withDatabase(place.database, (db) => insertRealities(db, 5));
  rewriteFiller(place.database, 3);
  contents.second = contentOf(place.database);
  await writer.createSnapshot('second');
  await operation.prepare?.(place, contents);
  place.addForeignFiles();
  changeAndSave(place, operation.change ?? ((db) => insertRealities(db, 3, 'precious')));
  place.reset();
  const stateOf = (file) => (fs.existsSync(file) ? contentOf(file) : 'missing');
  const before = place.lookAtCopy(stateOf);
  contents.emptied = place.lookAtCopy((file) => {
    if (fs.existsSync(file)) withDatabase(file, empty);
    return stateOf(file);
  });
  const snapshots = await writer.listSnapshots();
  place.reset();
  const after = (outcome) => operation.after?.(contents, outcome) ?? before;
  return { before, after, snapshots };
}

/** The newest snapshot; an older one where the answer says that a newer one was passed over. */
function bootstrapped({ first, second }, answer) {
  return answer?.snapshot?.name === 'first' && answer.passedOver.length > 0 ? first : second;
}

/** Never rejects, so that its failures are made to. */
async function bootstrap(writer) {
  const outcome = await writer.bootstrapDatabase();
  if (outcome.error) throw Object.assign(new Error(outcome.error), { code: outcome.code });
  return outcome;
}

function loseDatabase(place) {
  for (const suffix of ['', '-wal', '-shm', '-journal'])
    fs.rmSync(`${place.database}${suffix}`, { force: true });
}

function empty(db) {
  for (const table of ['Reality', 'RecursionPath', 'ConsciousnessField', 'Metric', 'Filler']) {
    db.exec(`DELETE FROM "${table}"`);
  }
}

function changePageSize(place) {
  withDatabase(place.database, (db) => {
    // VACUUM changes it in rollback mode only.
    const journalMode = db.pragma('journal_mode', { simple: true });
    db.pragma('journal_mode = delete');
    db.pragma('page_size = 8192');
    db.exec('VACUUM');
    db.pragma(`journal_mode = ${journalMode}`);
  });
}

/** Snapshots of which the newest uses a few pages of each pack, enough to make repacking worth it. */
async function wearOut(place) {
  withDatabase(place.database, (db) => fill(db, 1.5));
  for (const [kept, name] of [
    [0, 'worn'],
    [8, 'between'],
    [16, 'newest'],
  ]) {
    rewriteAfter(place.database, kept);
    await place.writer().createSnapshot(name);
  }
}

function rewriteAfter(file, id) {
  withDatabase(file, (db) => {
    const update = db.prepare('UPDATE Filler SET body = ? WHERE id = ?');
    const ids = db.prepare('SELECT id FROM Filler WHERE id > ?').pluck().all(id);
    db.transaction(() => ids.forEach((each) => update.run(fillerBody(), each)))();
  });
}

module.exports = { OPERATIONS, MODES, prepare };
