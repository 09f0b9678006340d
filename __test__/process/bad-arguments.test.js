'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');
const { test } = require('node:test');
const { SnapshotWriter } = require('../../index.js');
const { createDatabase } = require('../support/database.js');
const { filesBelow, fingerprint } = require('../support/files.js');
const { assertAllVerify, makeRig, refused } = require('../support/rig.js');

const BAD_NAMES = {
  'an empty name': '',
  'a name of 201 characters': 'n'.repeat(201),
  'a name with a NUL': 'before\0after',
};

for (const [what, name] of Object.entries(BAD_NAMES)) {
  test(`${what} is refused by every method that takes one, and nothing is changed`, async (t) => {
    const rig = makeRig(t);
    createDatabase(rig.database);
    const state = fingerprint(rig.folder);
    for (const method of [
      'createSnapshot',
      'restoreFromSnapshot',
      'getSnapshot',
      'verifySnapshot',
      'deleteSnapshot',
    ]) {
      await refused(rig.writer[method](name), 'SNAPSHOT_NAME_INVALID');
    }
    await refused(rig.writer.exportSnapshot(name, rig.path('export.db')), 'SNAPSHOT_NAME_INVALID');
    assert.deepEqual(fingerprint(rig.folder), state);
  });
}

test('names that no file system could hold are legal, and none leaves the repository', async (t) => {
  const rig = makeRig(t);
  createDatabase(rig.database);
  const names = [
    '../../etc/passwd',
    'CON',
    'a/b',
    '📷 snapshot',
    'Name',
    'name',
    'é',
    'e\u0301',
    '.',
    '%2e%2e',
    'n'.repeat(200),
  ];
  const outside = () => filesBelow(rig.folder).filter((file) => !file.startsWith(rig.snapshotDir));
  const state = outside();

  for (const name of names) {
    const { snapshot } = await rig.writer.createSnapshot(name);
    assert.equal(snapshot.name, name);
  }

  assert.deepEqual(outside(), state);
  const listed = await assertAllVerify(rig.writer, 'structure');
  assert.deepEqual(listed.map(({ name }) => name).sort(), [...names].sort());
  for (const name of names) {
    const { snapshot } = await rig.writer.restoreFromSnapshot(name);
    assert.equal(snapshot.name, name);
    await rig.writer.deleteSnapshot(name);
    await refused(rig.writer.getSnapshot(name), 'SNAPSHOT_NOT_FOUND');
  }
});

test('a name that is taken is refused, and its snapshot stays as it is', async (t) => {
  const rig = makeRig(t);
  createDatabase(rig.database);
  const { snapshot } = await rig.writer.createSnapshot('taken');
  const state = fingerprint(rig.folder);
  await refused(rig.writer.createSnapshot('taken'), 'SNAPSHOT_EXISTS');
  assert.deepEqual(fingerprint(rig.folder), state);
  assert.equal((await rig.writer.getSnapshot('taken')).id, snapshot.id);
});

test('an unknown name is refused by every method, and makes no repository', async (t) => {
  const rig = makeRig(t);
  createDatabase(rig.database);
  for (const method of ['restoreFromSnapshot', 'getSnapshot', 'verifySnapshot', 'deleteSnapshot']) {
    const error = await refused(rig.writer[method]('nobody knows it'), 'SNAPSHOT_NOT_FOUND');
    assert.match(error.message, /Snapshot not found: nobody knows it/);
  }
  await refused(rig.writer.exportSnapshot('nobody knows it', rig.path('export.db')), 'SNAPSHOT_NOT_FOUND');
  assert.equal(fs.existsSync(rig.path('export.db')), false);
  assert.deepEqual(
    filesBelow(rig.snapshotDir).filter((file) => !/local[\\/]lock/.test(file)),
    [],
  );
});

test('an export never overwrites a file', async (t) => {
  const rig = makeRig(t);
  createDatabase(rig.database);
  await rig.writer.createSnapshot('image');
  fs.writeFileSync(rig.path('precious.txt'), 'precious');
  await refused(rig.writer.exportSnapshot('image', rig.path('precious.txt')), 'EXPORT_TARGET_EXISTS');
  await refused(rig.writer.exportSnapshot('image', rig.database), 'EXPORT_TARGET_EXISTS');
  await refused(
    rig.writer.exportSnapshot('image', rig.path('missing', 'export.db')),
    'EXPORT_TARGET_UNWRITABLE',
  );
  assert.equal(fs.readFileSync(rig.path('precious.txt'), 'utf8'), 'precious');
});

test('unknown options and wrong types are rejections that name the argument', async (t) => {
  const rig = makeRig(t);
  createDatabase(rig.database);
  const state = fingerprint(rig.folder);
  const { writer } = rig;
  const calls = {
    lockTimeoutMS: () => writer.createSnapshot('a', { lockTimeoutMS: 5 }),
    lockTimeoutMs: () => writer.createSnapshot('a', { lockTimeoutMs: '5' }),
    check: () => writer.createSnapshot('a', { check: 'slow' }),
    level: () => writer.verifySnapshot('a', { level: 'everything' }),
    options: () => writer.createSnapshot('a', 'options'),
    name: () => writer.restoreFromSnapshot(42),
    export: () => writer.exportSnapshot('a', undefined),
    hash: () => writer._generateChecksum(null),
  };
  for (const [named, call] of Object.entries(calls)) {
    // A synchronous throw would fail this test: `call` must return a promise in any case.
    const error = await refused(call(), 'INVALID_ARGUMENT');
    assert.ok(error.message.includes(named), error.message);
  }
  assert.throws(() => new SnapshotWriter({ databaseURL: 'file:a.db' }), { code: 'INVALID_ARGUMENT' });
  assert.deepEqual(fingerprint(rig.folder), state);
});
