'use strict';

// A snapshot of an image that is known already says of its content what is known of that: only when somebody looked, and
// with the same core tables.

const assert = require('node:assert/strict');
const { test } = require('node:test');
const { createDatabase, withDatabase } = require('../support/database.js');
const { withFailpoint } = require('../support/failpoints.js');
const { makeRig, refused } = require('../support/rig.js');

const EMPTYING = 'DELETE FROM Reality; DELETE FROM RecursionPath; DELETE FROM ConsciousnessField';

test('what a safety snapshot does not know is looked up', async (t) => {
  const rig = makeRig(t);
  createDatabase(rig.database, { catalog: false });
  await rig.writer.createSnapshot('full');
  withDatabase(rig.database, (db) => db.exec(EMPTYING));
  // The restore gets as far as its safety snapshot.
  await withFailpoint('restore.before-begin=fail', () =>
    refused(rig.writer.restoreFromSnapshot('full'), 'INTERNAL'),
  );
  await rig.writer.createSnapshot('empty', { check: 'none' });
  assert.equal((await rig.writer.getSnapshot('empty')).isEmpty, true);
  const collapse = (await rig.writer.status()).checks.find(({ name }) => name === 'collapse');
  assert.match(collapse.reason, /"empty" is empty, "full" before it was not/);
});

test('other core tables are asked anew', async (t) => {
  const rig = makeRig(t);
  createDatabase(rig.database, { catalog: false, realities: 0 });
  withDatabase(rig.database, (db) => db.exec("INSERT INTO Metric VALUES ('a', 1)"));
  const isEmpty = async (name, coreTables) => {
    const writer = rig.newWriter({ coreTables });
    await writer.createSnapshot(name);
    return (await writer.getSnapshot(name)).isEmpty;
  };
  assert.equal(await isEmpty('by Reality', ['Reality']), true);
  assert.equal(await isEmpty('by Metric', ['Metric']), false);
  assert.equal(await isEmpty('by Reality again', ['Reality']), true);
});

test('the image is not examined again where everything is known', async (t) => {
  const rig = makeRig(t);
  createDatabase(rig.database, { catalog: false });
  await rig.writer.createSnapshot('one');
  await rig.writer.createSnapshot('two');
  const [one, two] = await Promise.all(['one', 'two'].map((name) => rig.writer.getSnapshot(name)));
  assert.deepEqual([two.isEmpty, two.checksum, two.storedSize], [one.isEmpty, one.checksum, 0]);
});
