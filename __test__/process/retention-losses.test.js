'use strict';

// What a policy alone would lose: good snapshots behind empty ones, those of other databases, and what
// wrong clocks and slow declines lead to.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { test } = require('node:test');
const Database = require('better-sqlite3');
const {
  catalogRow,
  contentOf,
  createDatabase,
  insertRealities,
  withDatabase,
} = require('../support/database.js');
const { verdicts } = require('../support/health.js');
const { keptBy } = require('../support/retention-model.js');
const { assertAllVerify, makeRig, refused } = require('../support/rig.js');

const HOUR = 3_600_000;
const AT_ONCE = { trashGraceMs: 0 };
const namesOf = (snapshots) => snapshots.map(({ name }) => name);
const setRealities = (rig, count) =>
  withDatabase(rig.database, (db) => {
    db.exec('DELETE FROM Reality');
    insertRealities(db, count);
  });

test('old plain snapshots outlive a database that is lost and snapshotted empty', async (t) => {
  const rig = makeRig(t, AT_ONCE);
  createDatabase(rig.database, { realities: 5 });
  const content = contentOf(rig.database);
  const old = plainCopies(rig, [new Date('2025-01-01'), new Date('2025-01-02')]);
  setRealities(rig, 0);
  for (let number = 1; number <= 5; number += 1) {
    await rig.writer.createSnapshot(`empty ${number}`);
    const { collapse, removed } = await rig.writer.prune({ keepLast: 2 });
    assert.equal(collapse?.name, 'empty 1');
    assert.match(collapse.reason, /only old plain ones came before/);
    assert.ok(
      removed.every(({ name }) => !old.includes(name)),
      `${namesOf(removed)} are removed`,
    );
  }
  const { collapse } = await verdicts(rig.writer);
  assert.notEqual(collapse, 'ok', 'status sees it too');
  fs.rmSync(rig.database);
  assert.equal((await rig.writer.bootstrapDatabase()).snapshot?.name, old[1]);
  assert.equal(contentOf(rig.database), content);
});

test('the newest old plain snapshot before empty ones is not deleted by its name', async (t) => {
  const rig = makeRig(t, AT_ONCE);
  createDatabase(rig.database, { realities: 5, megabytes: 1 });
  const old = plainCopies(rig, [new Date('2025-01-01'), new Date('2025-01-02')]);
  setRealities(rig, 0);
  await rig.writer.createSnapshot('empty');
  // Empty as well, and of less than half of the size: a loss of its own.
  withDatabase(rig.database, (db) => db.exec('DELETE FROM Filler; VACUUM'));
  await rig.writer.createSnapshot('empty and small');
  const error = await refused(rig.writer.deleteSnapshot(old[1]), 'SNAPSHOT_LAST_GOOD');
  assert.match(error.message, /"empty and small" has \d+ bytes/);
  await rig.writer.deleteSnapshot(old[0]);
  await rig.writer.acknowledge();
  await rig.writer.deleteSnapshot(old[1]);
});

test('what a prune found whole is no excuse for a loss that came later', async (t) => {
  const rig = makeRig(t, AT_ONCE);
  createDatabase(rig.database, { realities: 5 });
  for (const name of ['good', 'good too']) await rig.writer.createSnapshot(name);
  await rig.writer.prune({ keepLast: 5 });
  await rig.writer.deleteSnapshot('good too');
  setRealities(rig, 0);
  await rig.writer.createSnapshot('empty');
  assert.equal((await rig.writer.drill()).outcome, 'failed');
  await refused(rig.writer.deleteSnapshot('good'), 'SNAPSHOT_LAST_GOOD');
  await rig.writer.acknowledge();
  assert.equal((await rig.writer.drill()).outcome, 'passed');
});

test('what is in the trash makes no other snapshot an old one for a drill', async (t) => {
  const rig = makeRig(t);
  createDatabase(rig.database);
  for (const name of ['one', 'two', 'three']) await rig.writer.createSnapshot(name);
  await rig.writer.pinSnapshot('one');
  await rig.writer.prune({ keepLast: 1 });
  await rig.writer.deleteSnapshot('three');
  assert.equal((await rig.writer.drill({ name: 'one' })).newest, true);
});

test('the newest old plain snapshot is kept even when the loss is meant', async (t) => {
  const rig = makeRig(t, AT_ONCE);
  createDatabase(rig.database, { realities: 5 });
  const old = plainCopies(rig, [new Date('2025-01-01'), new Date('2025-01-02')]);
  setRealities(rig, 0);
  for (const name of ['empty 1', 'empty 2', 'empty 3']) await rig.writer.createSnapshot(name);
  assert.equal((await rig.writer.acknowledge()).acknowledged.name, 'empty 1');
  const { kept, collapse } = await rig.writer.prune({ keepLast: 1 });
  assert.deepEqual(
    [collapse, kept.map(({ name, reasons }) => [name, reasons])],
    [
      null,
      [
        ['empty 3', ['last 1 of 1']],
        [old[1], ['newest verified']],
      ],
    ],
  );
});

/** Plain snapshots of the module before this one, as the database is now. */
function plainCopies(rig, dates) {
  fs.mkdirSync(rig.snapshotDir, { recursive: true });
  return dates.map((date) => {
    const name = `snapshot_${date.toISOString().replace(/[:.]/g, '-')}`;
    fs.copyFileSync(rig.database, path.join(rig.snapshotDir, `${name}.db`));
    return name;
  });
}

test('a date in the future neither ages the others out nor takes their place', async (t) => {
  const rig = makeRig(t);
  createDatabase(rig.database);
  const now = new Date();
  const hours = [0.1, 5, 30, 31, 100, 1000].map((ago) => new Date(now - ago * HOUR));
  const dates = [...hours, new Date(now.getTime() + 400 * HOUR), new Date(now.getTime() + HOUR)];
  plainCopies(rig, dates);
  for (const policy of [{ keepLast: 1 }, { keepWithin: '2d' }, { keepDaily: 2, keepYearly: 1 }]) {
    const { kept, removed } = await rig.writer.prune({ ...policy, dryRun: true });
    assert.deepEqual(
      kept.map(({ createdAt }) => createdAt),
      keptBy(policy, dates, now),
      JSON.stringify(policy),
    );
    assert.equal(kept.length + removed.length, dates.length);
    assert.deepEqual(kept[0].reasons, ['dated in the future']);
    assert.ok(kept[2].reasons.includes('newest verified'), 'that of the newest date that can be believed');
  }
});

test('a prune leaves the trash of other databases alone', async (t) => {
  const rig = makeRig(t);
  createDatabase(rig.database);
  for (const name of ['one', 'two']) {
    setRealities(rig, 5);
    await rig.writer.createSnapshot(name);
  }
  await rig.writer.prune({ keepLast: 1 });
  const other = rig.path('other.db');
  createDatabase(other);
  const otherWriter = rig.newWriter({ databaseUrl: `file:${other}`, ...AT_ONCE });
  for (const name of ['of the other one', 'the last of the other one']) {
    await otherWriter.createSnapshot(name);
  }
  assert.deepEqual((await otherWriter.prune({ keepLast: 1 })).swept, ['of the other one']);
  assert.equal((await rig.writer.undelete('one')).name, 'one');
  await assertAllVerify(rig.writer);
});

test('a slow decline that retention thins out is no collapse', async (t) => {
  const rig = makeRig(t);
  createDatabase(rig.database);
  for (const [name, realities] of Object.entries({ A: 1000, B: 700, C: 450 })) {
    setRealities(rig, realities);
    await rig.writer.createSnapshot(name);
    if (name === 'A') await rig.writer.pinSnapshot(name);
    assert.equal((await rig.writer.prune({ keepLast: 1 })).collapse, null, name);
  }
  assert.deepEqual(namesOf(await rig.writer.listSnapshots()), ['C', 'A']);
  assert.equal((await rig.writer.prune({ keepLast: 1 })).collapse, null);
  assert.equal((await verdicts(rig.writer)).collapse, 'ok');

  setRealities(rig, 200);
  await rig.writer.createSnapshot('D');
  const { collapse } = await rig.writer.prune({ keepLast: 1 });
  assert.match(collapse.reason, /"D" has 200 rows in the core tables, "C" before it had 450/);
});

test('what status calls a collapse can be acknowledged, whatever is in the trash', async (t) => {
  const rig = makeRig(t);
  createDatabase(rig.database);
  for (const [name, realities] of Object.entries({ A: 1000, B: 700, C: 450 })) {
    setRealities(rig, realities);
    await rig.writer.createSnapshot(name);
    if (name === 'A') await rig.writer.pinSnapshot(name);
  }
  await rig.writer.prune({ keepLast: 1 });
  // As on a host that has never pruned.
  fs.rmSync(path.join(rig.snapshotDir, 'local', 'measures.json'), { force: true });
  assert.notEqual((await verdicts(rig.writer)).collapse, 'ok');
  assert.equal((await rig.writer.acknowledge()).acknowledged?.name, 'C');
  assert.equal((await verdicts(rig.writer)).collapse, 'ok');
});

test('the last good snapshot is not swept although it is in the trash', async (t) => {
  const rig = makeRig(t);
  createDatabase(rig.database);
  for (const name of ['good', 'better']) {
    setRealities(rig, 5);
    await rig.writer.createSnapshot(name);
  }
  await rig.writer.prune({ keepLast: 1 });
  await rig.writer.deleteSnapshot('better');
  setRealities(rig, 0);
  await rig.writer.createSnapshot('empty');
  await rig.writer.acknowledge();
  assert.deepEqual((await rig.writer.prune({ keepLast: 1, ...AT_ONCE })).swept, []);
  assert.equal((await rig.writer.undelete('good')).name, 'good');
  await assertAllVerify(rig.writer);
});

test('a dry run tells what would be deleted for good', async (t) => {
  const rig = makeRig(t, AT_ONCE);
  createDatabase(rig.database);
  for (const name of ['one', 'two']) await rig.writer.createSnapshot(name);
  const planned = await rig.writer.prune({ keepLast: 1, dryRun: true });
  assert.deepEqual(planned.swept, ['one']);
  assert.deepEqual((await rig.writer.prune({ keepLast: 1, dryRun: true, trashGraceMs: HOUR })).swept, []);
  assert.equal((await rig.writer.listSnapshots()).length, 2);
  assert.deepEqual((await rig.writer.prune({ keepLast: 1 })).swept, planned.swept);
});

test('what is in the trash is not drilled', async (t) => {
  const rig = makeRig(t);
  createDatabase(rig.database);
  for (const name of ['one', 'two']) await rig.writer.createSnapshot(name);
  await rig.writer.prune({ keepLast: 1 });
  await rig.writer.deleteSnapshot('two');
  const { outcome, reason, snapshot } = await rig.writer.drill();
  assert.deepEqual([outcome, snapshot], ['inconclusive', null]);
  assert.match(reason, /there is no snapshot of this database/);
});

test('a row that could not be written when its snapshot was brought back is written later', async (t) => {
  const rig = makeRig(t);
  createDatabase(rig.database);
  for (const name of ['one', 'two']) await rig.writer.createSnapshot(name);
  await rig.writer.prune({ keepLast: 1 });
  const hurried = rig.newWriter({ lockTimeoutMs: 300 });
  await whileLocked(rig, () => hurried.undelete('one'));
  assert.equal(catalogRow(rig.database, 'one'), undefined);
  await rig.writer.createSnapshot('three');
  assert.equal(catalogRow(rig.database, 'one').status, 'COMPLETED');
});

test('a row that could not be removed goes later, though nothing else is left of its snapshot', async (t) => {
  const rig = makeRig(t, AT_ONCE);
  createDatabase(rig.database);
  for (const name of ['one', 'two']) await rig.writer.createSnapshot(name);
  const hurried = rig.newWriter({ lockTimeoutMs: 300, ...AT_ONCE });
  await whileLocked(rig, async () => {
    assert.deepEqual((await hurried.prune({ keepLast: 1 })).swept, ['one']);
  });
  assert.ok(catalogRow(rig.database, 'one'));
  await refused(rig.writer.undelete('one'), 'SNAPSHOT_NOT_FOUND');
  assert.deepEqual((await rig.writer.prune({ keepLast: 1 })).swept, []);
  assert.equal(catalogRow(rig.database, 'one'), undefined);
  assert.deepEqual(fs.readdirSync(path.join(rig.snapshotDir, 'local', 'trash')), []);
});

/** Somebody else writes into the database meanwhile. */
async function whileLocked(rig, call) {
  const db = new Database(rig.database);
  try {
    db.exec('BEGIN IMMEDIATE');
    return await call();
  } finally {
    db.close();
  }
}
