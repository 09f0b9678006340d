'use strict';

// The counters outlive every process that counts, and are right whoever dies when.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { test } = require('node:test');
const { createDatabase, damageFiller } = require('../support/database.js');
const { pauseAt, withFailpoint } = require('../support/failpoints.js');
const { asideOf } = require('../support/files.js');
const { samples } = require('../support/health.js');
const { startWriter } = require('../support/processes.js');
const { eventually, makeRig, refused } = require('../support/rig.js');

const FILE = 'local/metrics.json';

function makeApplication(t) {
  const rig = makeRig(t);
  createDatabase(rig.database, { megabytes: 1 });
  return rig;
}

/** `[created, failed]`, the second one under both of its names. */
async function calls(writer) {
  const read = await samples(writer);
  assert.equal(read.snapshot_failed_total, read.snapshot_creation_failures_total);
  return [read.snapshot_created_total, read.snapshot_failed_total];
}

test('what is done is counted, and no restart forgets it', async (t) => {
  const rig = makeApplication(t);
  const started = Date.now();
  await rig.writer.createSnapshot('first');
  await rig.newWriter().createSnapshot('second');
  await refused(rig.newWriter().createSnapshot('first'), 'SNAPSHOT_EXISTS');
  await rig.writer.restoreFromSnapshot('first');
  await refused(rig.writer.restoreFromSnapshot('unknown'), 'SNAPSHOT_NOT_FOUND');
  await rig.writer.undoRestore();
  await rig.writer.verifySnapshot('first', { level: 'database' });

  const read = await samples(rig.newWriter());
  const { createdAt, size } = await rig.writer.getSnapshot('second');
  assert.ok(createdAt.getTime() >= started - 1);
  const expected = {
    snapshot_created_total: 2,
    snapshot_failed_total: 1,
    snapshot_last_created_timestamp: createdAt.getTime() / 1000,
    snapshot_size_bytes: size,
    snapshot_duration_seconds_count: 2,
    'snapshot_duration_seconds_bucket{le="+Inf"}': 2,
    snapshot_restores_total: 2,
    snapshot_restore_failures_total: 1,
    'snapshot_verifications_total{result="good"}': 1,
    'snapshot_verifications_total{result="bad"}': 0,
    // Two snapshots, and what was before each of the two restores.
    'snapshot_kept{tier="local"}': 4,
    database_integrity_healthy: 1,
    database_size_bytes: fs.statSync(rig.database).size,
    snapshot_unfinished_restore: 0,
  };
  for (const [name, value] of Object.entries(expected)) assert.equal(read[name], value, name);
  assert.ok(read.snapshot_duration_seconds_sum > 0);
  assert.ok(read.snapshot_added_bytes_total > 0);
});

test('a snapshot that was deleted has been made all the same', async (t) => {
  const rig = makeApplication(t);
  const { snapshot } = await rig.writer.createSnapshot('first');
  await rig.writer.deleteSnapshot('first');
  const read = await samples(rig.writer);
  assert.equal(read.snapshot_created_total, 1);
  assert.equal(read.snapshot_last_created_timestamp, snapshot.createdAt.getTime() / 1000);
  assert.equal(read['snapshot_kept{tier="local"}'], 0);
});

for (const [step, counted] of Object.entries({
  'create.captured': [1, 1],
  'create.after-manifest': [1, 1],
  // Done, but not counted before it died: the caller was told of a failure.
  'count.before-write': [1, 1],
  // Counted, and killed before it could say so: once is enough.
  'count.after-write': [2, 0],
})) {
  test(`a worker killed at ${step} is counted once`, async (t) => {
    const rig = makeApplication(t);
    await rig.writer.createSnapshot('first');
    await withFailpoint(`${step}=kill`, () => refused(rig.writer.createSnapshot('second'), 'WORKER_FAILED'));
    assert.deepEqual(await calls(rig.writer), counted, 'seen at once');
    await rig.writer.createSnapshot('third');
    const [created, failed] = counted;
    assert.deepEqual(await calls(rig.writer), [created + 1, failed], 'and not again');
    assert.deepEqual(fs.readdirSync(path.join(rig.snapshotDir, 'local/running')), []);
  });
}

test('the very first snapshot of a repository counts when it is killed, and when it is aborted', async (t) => {
  const rig = makeApplication(t);
  await withFailpoint('create.captured=kill', () =>
    refused(rig.writer.createSnapshot('first'), 'WORKER_FAILED'),
  );
  assert.deepEqual(await calls(rig.writer), [0, 1]);

  const { armed, isReached, release } = pauseAt(rig, 'create.captured');
  const controller = new AbortController();
  await withFailpoint(armed, async () => {
    const running = refused(rig.writer.createSnapshot('second', { signal: controller.signal }), 'ABORTED');
    await eventually(isReached, 'the worker to stand in the middle of a snapshot');
    assert.deepEqual(await calls(rig.newWriter()), [0, 1], 'what is going on has not failed');
    controller.abort();
    await running;
  });
  release();
  await eventually(async () => (await calls(rig.writer))[1] === 2, 'the aborted one to count');
});

test('several processes at once lose no count', async (t) => {
  const rig = makeApplication(t);
  await rig.writer.createSnapshot('first');
  const writers = [1, 2, 3].map(() => startWriter(rig));
  const work = writers.map(async (writer, number) => {
    for (let round = 0; round < 3; round += 1) {
      await writer.call('createSnapshot', `of ${number}, ${round}`);
      await refused(writer.call('createSnapshot', 'first'), 'SNAPSHOT_EXISTS');
      await writer.call('verifySnapshot', 'first');
    }
  });
  await Promise.all(work);
  assert.deepEqual(await calls(rig.writer), [10, 9]);
  assert.equal((await samples(rig.writer))['snapshot_verifications_total{result="good"}'], 9);
});

test('two databases in one repository have counters and a health of their own', async (t) => {
  const rig = makeApplication(t);
  const other = rig.path('other.db');
  createDatabase(other, { megabytes: 1 });
  const otherWriter = rig.newWriter({ databaseUrl: `file:${other}` });
  await rig.writer.createSnapshot('good');
  await otherWriter.createSnapshot('of the other');
  damageFiller(other);
  await refused(otherWriter.createSnapshot('broken'), 'CHECK_FAILED');
  await rig.writer.createSnapshot('still good');

  assert.deepEqual(await calls(rig.writer), [2, 0]);
  assert.deepEqual(await calls(otherWriter), [1, 1]);
  assert.equal((await samples(rig.writer)).database_integrity_healthy, 1);
  assert.equal((await samples(otherWriter)).database_integrity_healthy, 0);
});

test('damage in an old snapshot says nothing of the database, and the other way round', async (t) => {
  const rig = makeApplication(t);
  await rig.writer.createSnapshot('good');
  assert.equal((await rig.writer.verifySnapshot('good', { level: 'database' })).ok, true);
  damageFiller(rig.database);
  await refused(rig.writer.createSnapshot('broken'), 'CHECK_FAILED');
  await rig.writer.verifySnapshot('good', { level: 'database' });
  assert.equal((await samples(rig.writer)).database_integrity_healthy, 0);
});

test('a snapshot that nobody checked says nothing about the database', async (t) => {
  const rig = makeApplication(t);
  await rig.writer.createSnapshot('first', { check: 'none' });
  assert.equal((await samples(rig.writer)).database_integrity_healthy, undefined);
  await rig.writer.verifySnapshot('first', { level: 'database' });
  assert.equal((await samples(rig.writer)).database_integrity_healthy, 1);
});

test('counters that cannot be written are a warning, and the snapshot is no failure', async (t) => {
  const rig = makeApplication(t);
  await rig.writer.createSnapshot('first');
  const inTheWay = path.join(rig.snapshotDir, `${FILE}.new`);
  fs.mkdirSync(inTheWay);
  const { success } = await rig.writer.createSnapshot('second');
  assert.equal(success, true);
  assert.match(rig.log.warnings()[0].message, /could not be counted/);
  fs.rmdirSync(inTheWay);
  assert.deepEqual(await calls(rig.writer), [1, 0]);
});

test('damaged counters are kept aside and begin anew', async (t) => {
  const rig = makeApplication(t);
  await rig.writer.createSnapshot('first');
  const file = path.join(rig.snapshotDir, FILE);
  fs.writeFileSync(file, '{ "databases": 7');
  assert.deepEqual(await calls(rig.writer), [0, 0]);
  await rig.writer.createSnapshot('second');
  assert.ok(rig.log.warnings().every(({ message }) => /metrics\.json cannot be understood/.test(message)));
  assert.deepEqual(await calls(rig.writer), [1, 0]);
  assert.equal(fs.readFileSync(asideOf(file), 'utf8'), '{ "databases": 7');
});

test('reading makes no repository, and failing to makes none either', async (t) => {
  const rig = makeRig(t);
  await refused(rig.writer.createSnapshot('first'), 'DATABASE_NOT_FOUND');
  assert.deepEqual(await calls(rig.writer), [0, 0]);
  await rig.writer.status();
  assert.equal(fs.existsSync(rig.snapshotDir), false);
});
