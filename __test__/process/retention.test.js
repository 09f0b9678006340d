'use strict';

// Which snapshots `prune` keeps, and how what it removes comes back.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { test } = require('node:test');
const { SnapshotWriter } = require('../../index.js');
const {
  catalogRow,
  contentOf,
  countRows,
  createDatabase,
  insertRealities,
  withDatabase,
} = require('../support/database.js');
const { withFailpoint, whilePaused } = require('../support/failpoints.js');
const { keptBy } = require('../support/retention-model.js');
const { assertAllVerify, makeRig, refused } = require('../support/rig.js');

const HOUR = 3_600_000;
const AT_ONCE = { trashGraceMs: 0 };

const POLICIES = [
  { keepLast: 10 },
  { keepLast: 3, keepDaily: 7, keepWeekly: 5, keepMonthly: 12, keepYearly: 3 },
  { keepHourly: 30, keepWithin: '9d' },
  { keepDaily: 400 },
  { keepWeekly: 60, keepYearly: 1 },
  { keepMonthly: 6, keepWithin: '36h' },
];

test('a year of snapshots is kept as an independent model keeps it', async (t) => {
  const rig = makeRig(t, AT_ONCE);
  createDatabase(rig.database);
  const dates = aYearOfSnapshots(rig);
  assert.ok(dates.length > 1200, 'there are snapshots for a year');
  for (const policy of POLICIES) {
    const planned = await rig.writer.prune({ ...policy, dryRun: true });
    assert.deepEqual(datesOf(planned.kept), keptBy(policy, dates), JSON.stringify(policy));
    assert.equal(planned.kept.length + planned.removed.length, dates.length);
    for (const line of [...planned.kept, ...planned.removed]) assert.notEqual(line.reasons.length, 0);
  }
  assert.equal((await rig.writer.listSnapshots()).length, dates.length, 'a dry run removes nothing');
});

test('what the model keeps is what is left after one prune after the other', async (t) => {
  const rig = makeRig(t, AT_ONCE);
  createDatabase(rig.database);
  let left = aYearOfSnapshots(rig, Date.UTC(2025, 2, 1));
  for (const policy of [POLICIES[2], POLICIES[1], POLICIES[0]]) {
    left = keptBy(policy, left);
    const pruned = await rig.writer.prune(policy);
    assert.deepEqual(datesOf(pruned.kept), left);
    assert.deepEqual(datesOf(await rig.writer.listSnapshots()), left);
  }
  assert.equal(fs.readdirSync(rig.snapshotDir).filter((name) => name.endsWith('.db')).length, 10);
});

/** Old plain snapshots, whose age is in their names: every six hours, with gaps and some by hand. */
function aYearOfSnapshots(rig, end = Date.UTC(2026, 0, 3)) {
  fs.mkdirSync(rig.snapshotDir);
  const dates = [];
  let seed = 1;
  const random = (below) => (seed = (seed * 48_271) % 2_147_483_647) % below;
  for (let time = Date.UTC(2024, 11, 30, 0, 30); time < end; time += 6 * HOUR) {
    if (random(250) === 0) time += random(12) * 24 * HOUR;
    dates.push(new Date(time + random(1000)));
    if (random(20) === 0) dates.push(new Date(time + HOUR / 2));
  }
  for (const date of dates) {
    const name = `snapshot_${date.toISOString().replace(/[:.]/g, '-')}.db`;
    fs.writeFileSync(path.join(rig.snapshotDir, name), 'x');
  }
  return dates;
}

const datesOf = (snapshots) => snapshots.map(({ createdAt }) => createdAt);
const namesOf = (snapshots) => snapshots.map(({ name }) => name);

test('what prune removes is hidden, can be brought back, and goes after its grace', async (t) => {
  const rig = makeRig(t);
  await makeSnapshots(rig, ['one', 'two', 'three']);

  const pruned = await rig.writer.prune({ keepLast: 1 });
  assert.deepEqual(namesOf(pruned.kept), ['three']);
  assert.deepEqual(pruned.kept[0].reasons, ['newest verified', 'last 1 of 1']);
  assert.deepEqual(namesOf(pruned.removed), ['two', 'one']);
  assert.deepEqual(pruned.removed[0].reasons, ['older than the last 1']);
  assert.deepEqual([pruned.swept, pruned.freedBytes], [[], 0]);

  assert.deepEqual(namesOf(await rig.writer.listSnapshots()), ['three']);
  const all = await rig.writer.listSnapshots({ deleted: true });
  assert.deepEqual(
    all.map(({ name, deletedAt }) => [name, deletedAt instanceof Date]),
    [
      ['three', false],
      ['two', true],
      ['one', true],
    ],
  );
  assert.equal(catalogRow(rig.database, 'two'), undefined, 'the row went as well');
  await refused(rig.writer.restoreFromSnapshot('two'), 'SNAPSHOT_NOT_FOUND');
  const taken = await refused(rig.writer.createSnapshot('two'), 'SNAPSHOT_EXISTS');
  assert.match(taken.message, /in the trash/);

  const { name, deletedAt } = await rig.writer.undelete('two');
  assert.deepEqual([name, deletedAt], ['two', null]);
  assert.equal(catalogRow(rig.database, 'two').status, 'COMPLETED');
  await refused(rig.writer.undelete('two'), 'SNAPSHOT_NOT_FOUND');
  await assertAllVerify(rig.writer);

  const swept = await rig.writer.prune({ keepLast: 2, ...AT_ONCE });
  assert.deepEqual([namesOf(swept.removed), swept.swept], [[], ['one']]);
  assert.ok(swept.freedBytes > 0);
  await refused(rig.writer.undelete('one'), 'SNAPSHOT_NOT_FOUND');
  await assertAllVerify(rig.writer);
});

test('a snapshot in the trash can be deleted for good by its name, which is free then', async (t) => {
  const rig = makeRig(t);
  await makeSnapshots(rig, ['one', 'two']);
  await rig.writer.prune({ keepLast: 1 });
  await rig.writer.deleteSnapshot('one');
  assert.deepEqual(namesOf(await rig.writer.listSnapshots({ deleted: true })), ['two']);
  await rig.writer.createSnapshot('one');
  await assertAllVerify(rig.writer);
});

test('a pinned snapshot stays until it is unpinned', async (t) => {
  const rig = makeRig(t, AT_ONCE);
  await makeSnapshots(rig, ['one', 'two', 'three']);
  assert.equal((await rig.writer.pinSnapshot('one')).pinned, true);
  const pruned = await rig.writer.prune({ keepLast: 1 });
  assert.deepEqual(
    pruned.kept.map(({ name, reasons }) => [name, reasons]),
    [
      ['three', ['newest verified', 'last 1 of 1']],
      ['one', ['pinned']],
    ],
  );
  const error = await refused(rig.writer.deleteSnapshot('one'), 'SNAPSHOT_PINNED');
  assert.match(error.message, /^Failed to delete snapshot: /);
  assert.equal((await rig.writer.unpinSnapshot('one')).pinned, false);
  assert.deepEqual((await rig.writer.prune({ keepLast: 1 })).swept, ['one']);
  await assertAllVerify(rig.writer);
});

test('a policy that nobody can mean deletes nothing', async (t) => {
  const rig = makeRig(t, AT_ONCE);
  await makeSnapshots(rig, ['one', 'two']);
  for (const policy of [{}, { keepLast: 0 }, { keepLast: -1 }, { keepDaily: 3, keepWithin: 'a week' }]) {
    const error = await refused(rig.writer.prune(policy), 'RETENTION_POLICY_INVALID');
    assert.match(error.message, /^Failed to prune: .*nothing was deleted/s);
  }
  for (const policy of [{ keepLast: '10' }, { keepLast: 1.5 }, { keepHours: 3 }, { keepWithin: 7 }]) {
    await refused(rig.writer.prune(policy), 'INVALID_ARGUMENT');
  }
  assert.equal((await rig.writer.listSnapshots()).length, 2);
});

test('the snapshots of other databases are none of its business', async (t) => {
  const rig = makeRig(t, AT_ONCE);
  await makeSnapshots(rig, ['one', 'two']);
  const other = rig.path('other.db');
  createDatabase(other);
  const otherWriter = rig.newWriter({ databaseUrl: `file:${other}`, ...AT_ONCE });
  await otherWriter.createSnapshot('of the other one');
  const pruned = await otherWriter.prune({ keepLast: 1 });
  assert.deepEqual([namesOf(pruned.kept), pruned.removed], [['of the other one'], []]);
  assert.deepEqual((await rig.writer.prune({ keepLast: 1 })).swept, ['one']);
  assert.deepEqual(namesOf(await rig.writer.listSnapshots()), ['of the other one', 'two']);
});

test('what is being read is not removed: prune waits for the reader, and then gives up', async (t) => {
  const rig = makeRig(t, AT_ONCE);
  await makeSnapshots(rig, ['one', 'two']);
  const hurried = rig.newWriter({ lockTimeoutMs: 200, ...AT_ONCE });
  const outcome = await whilePaused(
    rig,
    'publish.before-sync',
    () => rig.writer.exportSnapshot('one', rig.path('one.db')),
    () => refused(hurried.prune({ keepLast: 1 }), 'REPOSITORY_BUSY'),
  );
  assert.equal(outcome.status, 'fulfilled', outcome.reason?.stack);
  assert.equal((await rig.writer.listSnapshots()).length, 2);
  assert.deepEqual((await hurried.prune({ keepLast: 1 })).swept, ['one']);
});

test('a database that was emptied and snapshotted on and on keeps its last good snapshots', async (t) => {
  const rig = makeRig(t, AT_ONCE);
  await makeSnapshots(rig, ['good', 'better']);
  const content = contentOf(rig.database);
  withDatabase(rig.database, (db) => db.exec('DELETE FROM Reality'));
  for (let number = 1; number <= 20; number += 1) {
    await rig.writer.createSnapshot(`empty ${number}`);
    const { collapse, kept } = await rig.writer.prune({ keepLast: 10 });
    assert.equal(collapse.name, 'empty 1');
    assert.match(collapse.reason, /"empty 1" is empty, "better" before it was not/);
    const reasons = (wanted) => kept.find(({ name }) => name === wanted).reasons;
    assert.ok(reasons('good').includes('before a collapse'));
    assert.ok(reasons('empty 1').includes('first after a collapse'));
  }
  assert.equal((await rig.writer.listSnapshots()).length, 10 + 1 + 2);

  fs.rmSync(rig.database);
  const booted = await rig.writer.bootstrapDatabase();
  assert.equal(booted.snapshot?.name, 'better', JSON.stringify(booted));
  assert.equal(contentOf(rig.database), content);

  const { acknowledged } = await rig.writer.acknowledge();
  assert.equal(acknowledged.name, 'empty 1');
  assert.deepEqual(await rig.writer.acknowledge(), { acknowledged: null });
  await rig.writer.createSnapshot('full again');
  const { collapse, kept } = await rig.writer.prune({ keepLast: 1 });
  assert.deepEqual([collapse, namesOf(kept)], [null, ['full again']]);
});

test('the last good snapshot before a loss cannot be deleted until the loss is acknowledged', async (t) => {
  const rig = makeRig(t, AT_ONCE);
  await makeSnapshots(rig, ['older', 'good']);
  withDatabase(rig.database, (db) => db.exec('DELETE FROM Reality'));
  for (const name of ['empty 1', 'empty 2']) await rig.writer.createSnapshot(name);
  const error = await refused(rig.writer.deleteSnapshot('good'), 'SNAPSHOT_LAST_GOOD');
  assert.match(error.message, /^Failed to delete snapshot: "good" is the last good .*"empty 1" is empty/);
  assert.match(error.message, /nothing was deleted.*acknowledge\(\) lets it go/);
  // Also where the caller has no database in mind, and less than that where it is another one.
  const nobody = new SnapshotWriter({ snapshotDir: rig.snapshotDir, log: rig.log });
  await refused(nobody.deleteSnapshot('good'), 'SNAPSHOT_LAST_GOOD');
  const another = rig.newWriter({ databaseUrl: `file:${rig.path('another.db')}` });
  await refused(another.deleteSnapshot('good'), 'SNAPSHOT_FOREIGN');

  await rig.writer.deleteSnapshot('older');
  await rig.writer.deleteSnapshot('empty 1');
  await refused(rig.writer.deleteSnapshot('good'), 'SNAPSHOT_LAST_GOOD');
  await assertAllVerify(rig.writer);
  assert.equal((await rig.writer.acknowledge()).acknowledged.name, 'empty 2');
  await rig.writer.deleteSnapshot('good');
  assert.deepEqual(namesOf(await rig.writer.listSnapshots()), ['empty 2']);
});

test('a policy that would keep only empty snapshots keeps the newest one with content', async (t) => {
  const rig = makeRig(t, AT_ONCE);
  await makeSnapshots(rig, ['good']);
  withDatabase(rig.database, (db) => db.exec('DELETE FROM Reality'));
  await rig.writer.createSnapshot('empty 1');
  await rig.writer.createSnapshot('empty 2');
  await rig.writer.acknowledge();
  const { kept } = await rig.writer.prune({ keepLast: 1 });
  assert.deepEqual(
    kept.map(({ name, reasons }) => [name, reasons]),
    [
      ['empty 2', ['last 1 of 1']],
      ['good', ['newest verified']],
    ],
  );
});

test('a row that could not be removed goes with the next prune', async (t) => {
  const rig = makeRig(t);
  await makeSnapshots(rig, ['one', 'two']);
  await withFailpoint('prune.after-note=kill', () =>
    refused(rig.writer.prune({ keepLast: 1 }), 'WORKER_FAILED'),
  );
  assert.equal(countRows(rig.database, 'Snapshot'), 2);
  await rig.writer.prune({ keepLast: 1 });
  assert.equal(countRows(rig.database, 'Snapshot'), 1);
});

/** Snapshots of a growing database. */
async function makeSnapshots(rig, names) {
  createDatabase(rig.database, { realities: 5, megabytes: 0.25 });
  for (const name of names) {
    withDatabase(rig.database, (db) => insertRealities(db, 50));
    await rig.writer.createSnapshot(name);
  }
}
