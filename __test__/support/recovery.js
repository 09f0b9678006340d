'use strict';

// What the tests of the recovery utilities share.

const path = require('node:path');
const { SnapshotRecovery } = require('../../index.js');
const { insertRealities, withDatabase } = require('./database.js');
const { filesBelow } = require('./files.js');
const { makeRig } = require('./rig.js');

/** A rig with recovery utilities, whose backups lie in a folder of their own. */
function makeRecoveryRig(t, options) {
  const rig = makeRig(t);
  const recoveryDir = rig.path('kept');
  const recovery = new SnapshotRecovery({ ...rig.options, recoveryDir, log: rig.log, ...options });
  return { ...rig, recoveryDir, recovery };
}

const addRealities = (file, count) => withDatabase(file, (db) => insertRealities(db, count));
const names = (file) =>
  withDatabase(file, (db) => db.prepare('SELECT name FROM Snapshot ORDER BY name').pluck().all());
const manifests = (folder) => filesBelow(path.join(folder, 'snapshots'));
const packs = (folder) => filesBelow(path.join(folder, 'packs'));

/** Makes SQLite's `integrity_check` fail: an index that lacks the rows of its table. */
function breakIndex(file) {
  withDatabase(file, (db) => {
    db.exec('CREATE INDEX Broken ON Reality(description)');
    db.unsafeMode(true);
    db.pragma('writable_schema = ON');
    db.exec("UPDATE sqlite_schema SET sql = 'CREATE INDEX Broken ON Reality(id)' WHERE name = 'Broken'");
  });
}

module.exports = { makeRecoveryRig, addRealities, names, manifests, packs, breakIndex };
