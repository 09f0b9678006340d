'use strict';

// The worker's memory does not depend on the size of the database.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const { test } = require('node:test');
const { createDatabase, withDatabase } = require('../support/database.js');
const { peakOfChildren } = require('../support/processes.js');
const { makeRig } = require('../support/rig.js');

const MEGABYTES = process.env.SNAPSHOT_WRITER_TEST_LARGE === '1' ? 1024 : 200;
const LIMIT_KB = 200 * 1024;

test(`no operation on ${MEGABYTES} MB needs more than 200 MB of memory in its worker`, async (t) => {
  const rig = makeRig(t, { lockTimeoutMs: 120_000 });
  createDatabase(rig.database, { megabytes: MEGABYTES });
  const operations = {
    'first snapshot': () => rig.writer.createSnapshot('first'),
    'snapshot after changes everywhere': () => {
      withDatabase(rig.database, (db) =>
        db.exec("UPDATE Filler SET body = replace(body, 'a', 'b') WHERE id % 10 = 0"),
      );
      return rig.writer.createSnapshot('second');
    },
    'verification by SQLite': () => rig.writer.verifySnapshot('first', { level: 'database' }),
    export: () => rig.writer.exportSnapshot('first', rig.path('export.db')),
    'restore in place': () => rig.writer.restoreFromSnapshot('first'),
    'restore to a new file': () => {
      fs.rmSync(rig.database);
      return rig.writer.restoreFromSnapshot('second');
    },
    deletion: () => rig.writer.deleteSnapshot('first'),
  };

  for (const [what, operation] of Object.entries(operations)) {
    const peak = await peakOfChildren(operation);
    t.diagnostic(`${what}: ${Math.round(peak / 1024)} MB`);
    assert.ok(peak > 10 * 1024, `${what}: the worker was seen`);
    assert.ok(peak < LIMIT_KB, `${what} needed ${peak} KB`);
  }
});
