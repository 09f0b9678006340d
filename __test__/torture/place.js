'use strict';

// A folder that a case may ruin: made anew from a template before each one, always at the same path,
// because a repository knows its databases by their paths.

const fs = require('node:fs');
const path = require('node:path');
const { SnapshotWriter } = require('../../index.js');
const { withDatabase } = require('../support/database.js');
const { silent } = require('../support/folders.js');

/** Files that are not ours, beside the database and in the repository. */
const FOREIGN = [
  'notes.txt',
  'app.db.notes',
  'app.db-old',
  'snapshots/README.txt',
  'snapshots/local/notes.txt',
];

const LOCK_TIMEOUT_MS = 5_000;

function makePlace(folder) {
  const at = (...parts) => path.join(folder, 'data', ...parts);
  const [database, snapshotDir] = [at('app.db'), at('snapshots')];
  const template = path.join(folder, 'template');
  const place = {
    folder,
    data: at(),
    template,
    database,
    snapshotDir,
    at,
    writer: (options) =>
      new SnapshotWriter({
        databaseUrl: `file:${database}`,
        snapshotDir,
        s3: false,
        lockTimeoutMs: LOCK_TIMEOUT_MS,
        log: silent,
        ...options,
      }),
    clear() {
      for (const name of ['data', 'template']) remove(path.join(folder, name));
      fs.mkdirSync(at('tmp'), { recursive: true });
    },
    addForeignFiles() {
      place.foreign = FOREIGN.filter((name) => fs.existsSync(path.dirname(at(name))));
      for (const name of place.foreign) fs.writeFileSync(at(name), `not ours: ${name}`);
    },
    foreignFilesLost: () =>
      place.foreign.filter(
        (name) => !fs.existsSync(at(name)) || fs.readFileSync(at(name), 'utf8') !== `not ours: ${name}`,
      ),
    saveAsTemplate: () => copy(at(), template),
    reset() {
      remove(at());
      copy(template, at());
    },
    /** Makes something of a copy of the database, so that nothing is recovered in the original. */
    lookAtCopy(look, from = at()) {
      const copyOf = path.join(folder, 'look');
      remove(copyOf);
      fs.mkdirSync(copyOf);
      for (const suffix of ['', '-wal', '-journal']) {
        const file = path.join(from, `app.db${suffix}`);
        if (fs.existsSync(file)) fs.copyFileSync(file, path.join(copyOf, `app.db${suffix}`));
      }
      return look(path.join(copyOf, 'app.db'));
    },
  };
  return place;
}

/** Changes the database and leaves it as an application does that is killed: in WAL mode, with its WAL. */
function changeAndSave(place, change) {
  if (!fs.existsSync(place.database)) return place.saveAsTemplate();
  return withDatabase(place.database, (db) => {
    db.pragma('wal_autocheckpoint = 0');
    change(db);
    place.saveAsTemplate();
  });
}

function copy(from, to) {
  fs.cpSync(from, to, { recursive: true, preserveTimestamps: true, verbatimSymlinks: true });
}

function remove(folder) {
  fs.rmSync(folder, { recursive: true, force: true });
}

module.exports = { makePlace, changeAndSave };
