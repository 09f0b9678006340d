'use strict';

// Which database a snapshot is of: what one database does removes, replaces and vouches for nothing of another's.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { describe, test } = require('node:test');
const { catalogRow, contentOf, countRows, createDatabase, ...databases } = require('../support/database.js');
const { assertAllVerify, makeRig, refused } = require('../support/rig.js');

const { insertRealities, withDatabase } = databases;
const AT_ONCE = { trashGraceMs: 0 };
const namesOf = (snapshots) => snapshots.map(({ name }) => name).sort();

/** A second database beside the rig's, with a writer of its own. */
function beside(rig, name, options) {
  const database = rig.path(name);
  return { database, writer: rig.newWriter({ ...AT_ONCE, databaseUrl: `file:${database}`, ...options }) };
}

/** Production with a snapshot, and the place of a copy. */
async function prepare(t) {
  const rig = makeRig(t);
  const [prod, staging] = ['prod.db', 'staging.db'].map((name) => beside(rig, name));
  createDatabase(prod.database, { realities: 5, megabytes: 1 });
  await prod.writer.createSnapshot('prod-1');
  return { rig, prod, staging };
}

function change(database) {
  withDatabase(database, (db) => insertRealities(db, 3, 'test data'));
}

const COPIES = {
  'a file that was missing': async ({ staging }) => {
    await staging.writer.restoreFromSnapshot('prod-1', { foreign: true });
  },
  'a database with snapshots of its own': async ({ staging }) => {
    createDatabase(staging.database, { realities: 2 });
    await staging.writer.createSnapshot('staging-0');
    await staging.writer.restoreFromSnapshot('prod-1', { foreign: true });
  },
  'a plain copy of the file': async ({ prod, staging }) => {
    fs.copyFileSync(prod.database, staging.database);
  },
};

describe('a copy is a database of its own:', () => {
  for (const [what, copy] of Object.entries(COPIES)) {
    test(`${what} neither prunes nor vouches for its original, and shares its pages`, async (t) => {
      const { rig, prod, staging } = await prepare(t);
      const content = contentOf(prod.database);
      await copy({ prod, staging });
      change(staging.database);
      await staging.writer.createSnapshot('staging-1');
      const [original, made] = await Promise.all([
        prod.writer.getSnapshot('prod-1'),
        staging.writer.getSnapshot('staging-1'),
      ]);
      assert.notEqual(made.instance, original.instance);
      assert.equal(made.lineage, original.lineage, 'its content comes from there');
      assert.ok(made.storedSize < original.storedSize / 5, `${made.storedSize} bytes were stored`);

      assert.equal((await prod.writer.status()).latest.name, 'prod-1');
      assert.equal((await staging.writer.status()).latest.name, 'staging-1');
      const before = namesOf(await rig.writer.listSnapshots());
      assert.deepEqual((await prod.writer.prune({ keepLast: 1 })).removed, []);
      const { removed } = await staging.writer.prune({ keepLast: 1 });
      assert.deepEqual(
        namesOf(removed),
        before.filter((name) => name === 'staging-0'),
      );
      await refused(prod.writer.deleteSnapshot('staging-1'), 'SNAPSHOT_FOREIGN');
      await refused(staging.writer.deleteSnapshot('prod-1'), 'SNAPSHOT_FOREIGN');

      fs.rmSync(prod.database);
      const { bootstrapped, snapshot } = await prod.writer.bootstrapDatabase();
      assert.deepEqual([bootstrapped, snapshot.name], [true, 'prod-1']);
      assert.equal(contentOf(prod.database), content);
      await assertAllVerify(rig.writer);
    });
  }

  test('each has the runs of its own schedule', async (t) => {
    const { prod, staging } = await prepare(t);
    await COPIES['a file that was missing']({ staging });
    const due = new Date('2026-03-01T06:00:00Z');
    const claims = [prod, prod, staging, staging].map(
      ({ writer }) =>
        () =>
          writer._claimTick('0 */6 * * *', due),
    );
    const claimed = [];
    for (const claim of claims) claimed.push((await claim()).claimed);
    assert.deepEqual(claimed, [true, false, true, false]);
  });

  test('a loss of content in the copy is none of the original, and neither acknowledges for the other', async (t) => {
    const { prod, staging } = await prepare(t);
    await COPIES['a file that was missing']({ staging });
    await staging.writer.createSnapshot('staging-1');
    withDatabase(staging.database, (db) => db.exec('DELETE FROM Reality'));
    await staging.writer.createSnapshot('staging-2');
    assert.equal((await prod.writer.acknowledge()).acknowledged, null);
    assert.equal((await staging.writer.acknowledge()).acknowledged.name, 'staging-2');
  });
});

test('a snapshot of another database is restored only where that is meant, and both are named', async (t) => {
  const { prod, staging } = await prepare(t);
  createDatabase(staging.database, { realities: 2 });
  const content = contentOf(staging.database);
  const error = await refused(staging.writer.restoreFromSnapshot('prod-1'), 'SNAPSHOT_FOREIGN');
  assert.match(error.message, /^Failed to restore from snapshot: .*prod\.db.*staging\.db.*foreign: true/);
  assert.equal(contentOf(staging.database), content);
  await staging.writer.restoreFromSnapshot('prod-1', { foreign: true });
  assert.equal(contentOf(staging.database), contentOf(prod.database));
  await staging.writer.undoRestore();
  assert.equal(contentOf(staging.database), content);
});

test('a database of the same file name without snapshots may be the same one at another place', async (t) => {
  const { rig, prod } = await prepare(t);
  fs.mkdirSync(rig.path('new'));
  const moved = beside(rig, path.join('new', 'prod.db'));
  await moved.writer.restoreFromSnapshot('prod-1');
  assert.equal(contentOf(moved.database), contentOf(prod.database));
  await moved.writer.createSnapshot('moved-1');
  await refused(moved.writer.restoreFromSnapshot('prod-1'), 'SNAPSHOT_FOREIGN');
});

test('a table tells of the own snapshots and of what was restored, not of the rest of another', async (t) => {
  const { prod, staging } = await prepare(t);
  await prod.writer.createSnapshot('prod-2');
  await staging.writer.restoreFromSnapshot('prod-2', { foreign: true });
  assert.equal(catalogRow(staging.database, 'prod-2').restoreStatus, 'SUCCESS');
  assert.equal(countRows(staging.database, 'Snapshot'), 1);
  await staging.writer.createSnapshot('staging-1');
  assert.equal(countRows(staging.database, 'Snapshot'), 2);
  await prod.writer.restoreFromSnapshot('prod-1');
  assert.equal(countRows(prod.database, 'Snapshot'), 2);
});

test('an unknown database forks from the only one of its file name, and says so', async (t) => {
  const { rig, prod } = await prepare(t);
  fs.rmSync(prod.database);
  fs.mkdirSync(rig.path('new'));
  const fork = beside(rig, path.join('new', 'prod.db'));
  assert.equal((await fork.writer.bootstrapDatabase()).bootstrapped, true);
  const warnings = rig.log.warnings().map(({ message }) => message);
  assert.ok(
    warnings.some((message) => /goes on as a database of its own/.test(message)),
    warnings.join('\n'),
  );
  await fork.writer.createSnapshot('fork-1');
  assert.deepEqual((await fork.writer.prune({ keepLast: 1 })).removed, []);
});

test('of several databases that an unknown one may be none is taken, and each is named', async (t) => {
  const { rig } = await prepare(t);
  for (const folder of ['one', 'two', 'three']) fs.mkdirSync(rig.path(folder));
  const [one, two, three] = ['one', 'two', 'three'].map((folder) => beside(rig, path.join(folder, 'app.db')));
  for (const { database, writer } of [one, two]) {
    createDatabase(database);
    await writer.createSnapshot(path.basename(path.dirname(database)));
    fs.rmSync(database);
  }
  const { bootstrapped, code, error } = await three.writer.bootstrapDatabase();
  assert.deepEqual([bootstrapped, code], [false, 'SNAPSHOT_NOT_FOUND']);
  assert.match(error, /one\/app\.db.*two\/app\.db.*by its name, or set SNAPSHOT_DATABASE_ID/);
  assert.equal(fs.existsSync(three.database), false);
});

test('a link that leads to a new file, a renamed file, and a moved folder stay the same database', async (t) => {
  const rig = makeRig(t);
  fs.mkdirSync(rig.path('app'));
  const at = (folder, name) => {
    const places = { databaseUrl: rig.path(folder, name), snapshotDir: rig.path(folder, 'backups') };
    return rig.newWriter({ ...AT_ONCE, ...places });
  };
  createDatabase(rig.path('app', 'v1.db'));
  fs.symlinkSync('v1.db', rig.path('app', 'current.db'));
  await at('app', 'current.db').createSnapshot('a');
  fs.copyFileSync(rig.path('app', 'v1.db'), rig.path('app', 'v2.db'));
  fs.rmSync(rig.path('app', 'current.db'));
  fs.symlinkSync('v2.db', rig.path('app', 'current.db'));
  await at('app', 'current.db').createSnapshot('b');
  fs.rmSync(rig.path('app', 'current.db'));
  fs.renameSync(rig.path('app', 'v2.db'), rig.path('app', 'final.db'));
  await at('app', 'final.db').createSnapshot('c');
  fs.renameSync(rig.path('app'), rig.path('moved'));
  const writer = at('moved', 'final.db');
  await writer.createSnapshot('d');
  const snapshots = await writer.listSnapshots();
  assert.equal(new Set(snapshots.map(({ instance }) => instance)).size, 1);
  assert.deepEqual(namesOf((await writer.prune({ keepLast: 1 })).removed), ['a', 'b', 'c']);
});

test('plain files without rows are of the database that was there first, and of no other', async (t) => {
  const { rig, prod, staging } = await prepare(t);
  const plain = 'snapshot_2026-01-02T03-04-05-678Z';
  const file = path.join(rig.snapshotDir, `${plain}.db`);
  fs.copyFileSync(prod.database, file);
  const { bootstrapped, error } = await staging.writer.bootstrapDatabase();
  assert.equal(bootstrapped, false);
  assert.match(error, /there are snapshots of: prod\.db/);
  assert.equal(fs.existsSync(staging.database), false);
  await refused(staging.writer.restoreFromSnapshot(plain), 'SNAPSHOT_FOREIGN');
  createDatabase(staging.database);
  await staging.writer.createSnapshot('staging-1');
  assert.deepEqual((await staging.writer.prune({ keepLast: 1 })).removed, []);
  await refused(staging.writer.deleteSnapshot(plain), 'SNAPSHOT_FOREIGN');
  // To whom they belong they are what they were.
  await prod.writer.restoreFromSnapshot(plain);
  await prod.writer.deleteSnapshot(plain);
  assert.equal(fs.existsSync(file), false);
});

test('a configured name is kept wherever the database lies, and a name that is none is refused', async (t) => {
  const { rig, prod } = await prepare(t);
  await prod.writer.createSnapshot('named', { databaseId: 'shop' });
  assert.equal((await prod.writer.getSnapshot('named')).instance, 'shop');
  fs.mkdirSync(rig.path('elsewhere'));
  const other = beside(rig, path.join('elsewhere', 'shop.db'), { databaseId: 'shop' });
  assert.equal((await other.writer.bootstrapDatabase()).snapshot.name, 'named');
  await other.writer.createSnapshot('also named');
  const warnings = rig.log.warnings().map(({ message }) => message);
  assert.ok(
    warnings.some((message) => /prod\.db has the name shop .* as well/.test(message)),
    'both exist here',
  );
  await other.writer.deleteSnapshot('named');
  for (const databaseId of ['', ' ', 'a\nb', 'x'.repeat(256), 7]) {
    await refused(prod.writer.createSnapshot('never', { databaseId }), 'INVALID_ARGUMENT');
  }
  process.env.SNAPSHOT_DATABASE_ID = 'a\tb';
  t.after(() => delete process.env.SNAPSHOT_DATABASE_ID);
  await refused(prod.writer.createSnapshot('never'), 'INVALID_ARGUMENT');
});

test('what an older version stored belongs to the databases that it knew, also where it mixed them up', async (t) => {
  const rig = makeRig(t);
  fs.cpSync(path.join(__dirname, '../support/repository-before-instances'), rig.snapshotDir, {
    recursive: true,
  });
  const [prod, staging, other] = ['prod.db', 'staging.db', 'other.db'].map((name) => beside(rig, name));
  for (const { database } of [prod, staging, other]) createDatabase(database);
  const [{ lineage }] = await rig.writer.listSnapshots();
  fs.mkdirSync(path.join(rig.snapshotDir, 'local'));
  const lineages = { [prod.database]: lineage, [staging.database]: lineage };
  fs.writeFileSync(path.join(rig.snapshotDir, 'local', 'lineages.json'), JSON.stringify(lineages));

  await refused(other.writer.deleteSnapshot('prod-1'), 'SNAPSHOT_FOREIGN');
  await refused(staging.writer.deleteSnapshot('prod-1'), 'SNAPSHOT_FOREIGN');
  await prod.writer.createSnapshot('prod-3');
  await prod.writer.acknowledge();
  // From here on notes of a restore say nothing about old snapshots.
  await staging.writer.restoreFromSnapshot('prod-3', { foreign: true });
  const removed = async ({ writer }) => {
    await writer.acknowledge();
    return namesOf((await writer.prune({ keepLast: 1 })).removed);
  };
  assert.deepEqual(await removed(staging), ['staging-1']);
  assert.deepEqual(await removed(prod), ['prod-1', 'prod-2']);
  const left = (await rig.writer.listSnapshots()).filter(({ kind }) => kind === 'snapshot');
  assert.deepEqual(namesOf(left), ['prod-3', 'staging-2']);
  await assertAllVerify(rig.writer);
});
