'use strict';

// COMMIT moves pages in a database with auto_vacuum=FULL, which would quietly turn a restored
// image into another one. Compared page by page, so the database has no `Snapshot` table.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const { test } = require('node:test');
const { createDatabase, fill, integrityOf, withDatabase } = require('../support/database.js');
const { differingPages, imageBytes } = require('../support/files.js');
const { makeRig } = require('../support/rig.js');

const PAGE_SIZE = 4096;
const MODES = { none: 0, full: 1, incremental: 2 };
/** Page 1, bytes 64 to 67: zero in a database that may vacuum itself means FULL. */
const INCREMENTAL_FLAG = 64;

for (const journalMode of ['delete', 'wal']) {
  for (const ofImage of Object.keys(MODES)) {
    for (const ofLive of Object.keys(MODES)) {
      test(`an auto_vacuum ${ofImage} image goes page by page over an auto_vacuum ${ofLive} database (${journalMode})`, async (t) => {
        const rig = makeRig(t);
        makeWithFreelist(rig.database, { journalMode, mode: ofImage, megabytes: 1 });
        const { snapshot } = await rig.writer.createSnapshot('image');
        await rig.writer.exportSnapshot('image', rig.path('image.db'));
        fs.rmSync(rig.database);
        makeWithFreelist(rig.database, { journalMode, mode: ofLive, megabytes: 2 });

        await rig.writer.restoreFromSnapshot('image');

        checkpoint(rig.database);
        const image = imageBytes(rig.path('image.db'));
        assert.equal(fs.statSync(rig.database).size, snapshot.size);
        assert.deepEqual(differingPages(image, imageBytes(rig.database), PAGE_SIZE), []);
        assert.equal(integrityOf(rig.database), 'ok');
        const restored = withDatabase(rig.database, (db) => db.pragma('auto_vacuum', { simple: true }));
        assert.equal(restored, MODES[ofImage]);
      });
    }
  }
}

/** A database of that mode with free pages in it. */
function makeWithFreelist(file, { journalMode, mode, megabytes }) {
  // FULL empties its freelist at every commit, so it is made as INCREMENTAL and relabelled.
  const autoVacuum = mode === 'none' ? 0 : 2;
  createDatabase(file, { journalMode: 'delete', autoVacuum, catalog: false });
  withDatabase(file, (db) => {
    fill(db, megabytes);
    db.exec('DELETE FROM Filler WHERE id % 3 = 0');
    assert.ok(db.pragma('freelist_count', { simple: true }) > 50, 'the freelist is not empty');
    // Before the relabelling, because changing the journal mode commits.
    db.pragma(`journal_mode = ${journalMode}`);
  });
  if (mode === 'full') clearIncrementalFlag(file);
  withDatabase(file, (db) => {
    assert.equal(db.pragma('auto_vacuum', { simple: true }), MODES[mode]);
    assert.ok(db.pragma('freelist_count', { simple: true }) > 50, 'the freelist is still not empty');
  });
}

function clearIncrementalFlag(file) {
  const descriptor = fs.openSync(file, 'r+');
  fs.writeSync(descriptor, Buffer.alloc(4), 0, 4, INCREMENTAL_FLAG);
  fs.closeSync(descriptor);
}

function checkpoint(file) {
  withDatabase(file, (db) => db.pragma('wal_checkpoint(TRUNCATE)'));
}
