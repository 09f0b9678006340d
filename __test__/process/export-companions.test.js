'use strict';

// SQLite applies a -wal or -journal of the right name to whatever file has that name: an export that is
// published beside one would read as something else than its snapshot.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const { test } = require('node:test');
const { createDatabase, contentOf, rewriteFiller } = require('../support/database.js');
const { filesBelow, sha256 } = require('../support/files.js');
const { startConnection } = require('../support/processes.js');
const { makeRig, refused } = require('../support/rig.js');

const LEFT = {
  'the -wal of an export that somebody still has open': async (rig, out) => {
    const browser = await startConnection(rig, 'better-sqlite3', out);
    await browser.exec("UPDATE Reality SET description = 'a note of the user'");
    fs.unlinkSync(out);
    return ['-wal', '-shm'];
  },
  'the hot -journal of an export that was being written to': async (rig, out) => {
    const browser = await startConnection(rig, 'better-sqlite3', out, { pragmas: ['cache_size = 2'] });
    await browser.exec("BEGIN IMMEDIATE; UPDATE Filler SET body = 'half'");
    await browser.kill();
    fs.unlinkSync(out);
    return ['-journal'];
  },
  'an empty -shm': (rig, out) => {
    fs.rmSync(out);
    fs.writeFileSync(`${out}-shm`, '');
    return ['-shm'];
  },
  'a link that leads nowhere': (rig, out) => {
    fs.rmSync(out);
    fs.symlinkSync(rig.path('nowhere'), out);
    return [''];
  },
};

for (const [what, leave] of Object.entries(LEFT)) {
  test(`an export is refused beside ${what}, which is named and kept`, async (t) => {
    const rig = makeRig(t);
    const journalMode = what.includes('-wal') ? 'wal' : 'delete';
    createDatabase(rig.database, { journalMode, megabytes: 1 });
    await rig.writer.createSnapshot('monday');
    const out = rig.path('out.db');
    await rig.writer.exportSnapshot('monday', out);
    rewriteFiller(rig.database);
    const content = contentOf(rig.database);
    const { snapshot } = await rig.writer.createSnapshot('tuesday');

    const suffixes = await leave(rig, out);
    const before = filesBelow(rig.folder).map((file) => [file, fs.statSync(file).size]);
    const error = await refused(rig.writer.exportSnapshot('tuesday', out), 'EXPORT_TARGET_EXISTS');
    for (const suffix of suffixes)
      assert.ok(new RegExp(`in its way are [^(]*${out}${suffix}, `).test(error.message), error.message);
    const after = filesBelow(rig.folder).map((file) => [file, fs.statSync(file).size]);
    assert.deepEqual(after.filter(notOurs), before.filter(notOurs));

    const elsewhere = rig.path('elsewhere.db');
    await rig.writer.exportSnapshot('tuesday', elsewhere);
    assert.equal(sha256(elsewhere), snapshot.checksum);
    assert.equal(contentOf(elsewhere), content);
  });
}

const notOurs = ([file]) => !file.includes('/snapshots/');
