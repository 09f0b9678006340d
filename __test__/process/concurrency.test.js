'use strict';

const assert = require('node:assert/strict');
const { test } = require('node:test');
const { createDatabase, contentOf, integrityOf, withDatabase } = require('../support/database.js');
const { pauseAt } = require('../support/failpoints.js');
const { startWriter } = require('../support/processes.js');
const { assertAllVerify, eventually, makeRig, refused } = require('../support/rig.js');

const AT_ONCE = 10;

test('ten snapshots at once without a name all succeed under ten names', async (t) => {
  const rig = makeRig(t, { lockTimeoutMs: 60_000 });
  createDatabase(rig.database, { megabytes: 2 });

  const results = await Promise.all(Array.from({ length: AT_ONCE }, () => rig.writer.createSnapshot()));

  const names = new Set(results.map(({ snapshot }) => snapshot.name));
  assert.equal(names.size, AT_ONCE);
  const listed = await assertAllVerify(rig.writer);
  assert.deepEqual(new Set(listed.map(({ name }) => name)), names);
  const rows = withDatabase(rig.database, (db) => db.prepare('SELECT name FROM Snapshot').pluck().all());
  assert.deepEqual(new Set(rows), names);
});

test('of ten snapshots at once under one name one succeeds', async (t) => {
  const rig = makeRig(t, { lockTimeoutMs: 60_000 });
  createDatabase(rig.database);

  const results = await Promise.allSettled(
    Array.from({ length: AT_ONCE }, () => rig.writer.createSnapshot('the only one')),
  );

  const refusals = results.filter(({ status }) => status === 'rejected').map(({ reason }) => reason.code);
  assert.deepEqual(refusals, Array(AT_ONCE - 1).fill('SNAPSHOT_EXISTS'));
  assert.equal((await assertAllVerify(rig.writer)).length, 1);
});

test('two instances and two processes at work on one repository succeed or are told that it is busy', async (t) => {
  const rig = makeRig(t);
  createDatabase(rig.database, { megabytes: 4 });
  const content = contentOf(rig.database);
  await rig.writer.createSnapshot('base');
  const impatient = { lockTimeoutMs: 300 };
  const processes = [startWriter(rig), startWriter(rig, { options: impatient })];
  const instances = [rig.newWriter(), rig.newWriter(impatient)];
  const callers = [
    ...processes.map((process) => process.call),
    ...instances.map(
      (instance) =>
        (method, ...args) =>
          instance[method](...args),
    ),
  ];

  const calls = callers.flatMap((call, index) => [
    call('createSnapshot', `by ${index}`),
    call('createSnapshot'),
    call('restoreFromSnapshot', 'base'),
    call('verifySnapshot', 'base', { level: 'data' }),
    call('exportSnapshot', 'base', rig.path(`export-${index}.db`)),
    call('listSnapshots'),
  ]);
  const outcomes = await Promise.allSettled(calls);

  const refusals = outcomes.filter(({ status }) => status === 'rejected').map(({ reason }) => reason);
  for (const refusal of refusals) assert.equal(refusal.code, 'REPOSITORY_BUSY', refusal.stack);
  t.diagnostic(`${refusals.length} of ${calls.length} calls were refused as busy`);
  assert.ok(refusals.length < calls.length, 'no call succeeded');
  const patient = outcomes.filter((_, index) => [0, 2].includes(Math.floor(index / 6)));
  assert.ok(
    patient.every(({ status }) => status === 'fulfilled'),
    'those who wait long enough succeed',
  );
  await assertAllVerify(rig.writer, 'database');
  assert.equal(contentOf(rig.database), content);
  assert.equal(integrityOf(rig.database), 'ok');
});

test('who has to wait in vain is told who holds the repository', async (t) => {
  const rig = makeRig(t);
  createDatabase(rig.database);
  const pause = pauseAt(rig, 'create.captured');
  const holder = startWriter(rig, { env: pause.env });
  const held = holder.call('createSnapshot', 'slow');
  await eventually(pause.isReached, 'the other process to hold the repository');

  const writer = rig.newWriter({ lockTimeoutMs: 100 });
  const refusal = await refused(writer.createSnapshot('impatient'), 'REPOSITORY_BUSY');
  assert.match(refusal.message, /process \d+ \(createSnapshot since /);

  pause.release();
  assert.equal((await held).success, true);
  await writer.createSnapshot('impatient');
  assert.equal((await assertAllVerify(rig.writer)).length, 2);
});
