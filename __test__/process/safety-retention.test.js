'use strict';

// Every restore makes a safety snapshot. Old ones go with a prune, explained like every other, and never one that
// is needed.

const assert = require('node:assert/strict');
const { test } = require('node:test');
const { DAY, cannotShift, shifted } = require('../support/clock.js');
const { contentOf, createDatabase, insertRealities, withDatabase } = require('../support/database.js');
const { assertAllVerify, makeRig } = require('../support/rig.js');

const EVERYTHING = { keepLast: 99 };

test(
  'safety snapshots go when they are neither of the newest five nor of thirty days',
  { skip: cannotShift },
  async (t) => {
    const { rig, restoreAt } = await prepare(t, -101);
    for (const day of [-100, -90, -80, -70, -60, -50, -40, -20]) await restoreAt(day);
    await rig.writer.createSnapshot('newest');
    const safety = namesOf(await safetyOf(rig.writer));
    assert.equal(safety.length, 8);

    const pruned = await rig.writer.prune({ ...EVERYTHING, now: true });

    assert.deepEqual(namesOf(pruned.removed), safety.slice(5));
    assert.deepEqual([...pruned.swept].sort(), safety.slice(5).sort());
    for (const { reasons } of pruned.removed) {
      assert.deepEqual(reasons, ['safety snapshot, neither among the newest 5 nor younger than 30 days']);
    }
    const kept = pruned.kept.filter(({ name }) => safety.includes(name));
    assert.deepEqual(kept[0].reasons, [
      'undoRestore needs it',
      'among the newest 5 safety snapshots',
      'safety snapshot younger than 30 days',
    ]);
    assert.deepEqual(kept.at(-1).reasons, ['among the newest 5 safety snapshots']);
    assert.deepEqual(namesOf(await safetyOf(rig.writer)), namesOf(kept));
    await assertAllVerify(rig.writer);
  },
);

test('safety snapshots do not age while no snapshots are made', { skip: cannotShift }, async (t) => {
  const { rig, restoreAt } = await prepare(t, -400);
  for (const day of [-399, -398, -397, -396, -395, -394, -393]) await restoreAt(day);
  assert.deepEqual((await rig.writer.prune(EVERYTHING)).removed, []);
});

test('a safety snapshot that an undo needs or that is pinned stays', { skip: cannotShift }, async (t) => {
  const { rig, restoreAt, undoAt } = await prepare(t, -101);
  await restoreAt(-100);
  const content = await restoreAt(-99);
  const [needed, unneeded] = namesOf(await safetyOf(rig.writer));
  for (const day of [-98, -97, -96]) {
    await restoreAt(day);
    await undoAt(day);
  }
  const pinned = namesOf(await safetyOf(rig.writer)).at(-3);
  await rig.writer.pinSnapshot(pinned);
  await rig.writer.createSnapshot('newest');

  const { kept, removed } = await rig.writer.prune(EVERYTHING);

  assert.deepEqual(namesOf(removed), [unneeded]);
  assert.deepEqual(kept.find(({ name }) => name === needed).reasons, ['undoRestore needs it']);
  assert.deepEqual(kept.find(({ name }) => name === pinned).reasons, ['pinned']);
  // It comes back from the trash like others, and has no row there either.
  await rig.writer.undelete(unneeded);
  assert.ok(!rowsOf(rig).includes(unneeded));
  assert.ok(namesOf(await safetyOf(rig.writer)).includes(unneeded));
  await rig.writer.undoRestore();
  assert.equal(contentOf(rig.database), content);
});

/** A snapshot of that day, and restores and undos of other days. A restore tells what it overwrote. */
async function prepare(t, day) {
  const rig = makeRig(t);
  createDatabase(rig.database);
  const at = shifted(rig);
  const on = (number) => rig.newWriter(at(number * DAY));
  await on(day).createSnapshot('first');
  const restoreAt = async (number) => {
    withDatabase(rig.database, (db) => insertRealities(db, 1));
    const content = contentOf(rig.database);
    await on(number).restoreFromSnapshot('first');
    return content;
  };
  return { rig, restoreAt, undoAt: (number) => on(number).undoRestore() };
}

async function safetyOf(writer) {
  return (await writer.listSnapshots()).filter(({ kind }) => kind === 'safety');
}

function rowsOf(rig) {
  return withDatabase(rig.database, (db) => db.prepare('SELECT name FROM Snapshot').pluck().all());
}

function namesOf(snapshots) {
  return snapshots.map(({ name }) => name);
}
