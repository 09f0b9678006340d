'use strict';

// A restore drill: whether what is stored would bring the database back.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { test } = require('node:test');
const { addMigrations, breakIndex } = require('../support/broken.js');
const { contentOf, createDatabase, insertRealities, withDatabase } = require('../support/database.js');
const { whilePaused } = require('../support/failpoints.js');
const { filesBelow, fingerprint, flipBit } = require('../support/files.js');
const { mountSmall } = require('../support/mounts.js');
const { startConnection } = require('../support/processes.js');
const { assertAllVerify, makeRig, refused } = require('../support/rig.js');

const CHECKS = ['image', 'integrity_check', 'foreign_key_check', 'content', 'row_counts', 'migrations'];

for (const journalMode of ['delete', 'wal']) {
  test(`a good snapshot passes, with what was measured (${journalMode})`, async (t) => {
    const rig = makeRig(t);
    createDatabase(rig.database, { journalMode, megabytes: 2 });
    addMigrations(rig.database, { '1_init': true });
    await rig.writer.createSnapshot('older');
    const { snapshot } = await rig.writer.createSnapshot('newest');
    const before = [contentOf(rig.database), fingerprint(path.join(rig.snapshotDir, 'packs'))];

    const report = await rig.writer.drill();

    assert.equal(report.outcome, 'passed', JSON.stringify(report));
    assert.equal(report.reason, null);
    assert.deepEqual(report.snapshot, {
      name: 'newest',
      id: snapshot.id,
      createdAt: snapshot.createdAt,
      sequence: (await rig.writer.getSnapshot(snapshot.name)).sequence,
    });
    assert.deepEqual(
      report.checks.map(({ name, outcome }) => [name, outcome]),
      CHECKS.map((name) => [name, 'passed']),
    );
    assert.ok(Number.isInteger(report.rtoMs) && Number.isInteger(report.rpoMs));
    assert.equal(report.rpoMs, report.at - snapshot.createdAt);
    assert.equal(report.tier, null);
    assert.deepEqual(await rig.writer.drills(), [report]);
    assert.deepEqual([contentOf(rig.database), fingerprint(path.join(rig.snapshotDir, 'packs'))], before);
    assertScratchIsEmpty(rig);
  });
}

test('a snapshot with a broken index fails and names it, though it passed when it was made', async (t) => {
  const rig = makeRig(t);
  createDatabase(rig.database);
  await rig.writer.createSnapshot('good');
  breakIndex(rig.database);
  await rig.writer.createSnapshot('broken');

  const report = await rig.writer.drill();

  assert.equal(report.outcome, 'failed');
  assert.equal(report.snapshot.name, 'broken');
  assert.match(report.reason, /^integrity_check: .*Metric_value_idx/);
  assert.deepEqual(failed(report), ['integrity_check']);
  assert.equal((await rig.writer.drill({ name: 'good' })).outcome, 'passed');
  assert.deepEqual(
    (await rig.writer.drills()).map(({ outcome }) => outcome),
    ['passed', 'failed'],
  );
});

for (const kind of ['packs', 'snapshots']) {
  test(`a newest snapshot with damaged ${kind} fails, though older ones are good`, async (t) => {
    const rig = makeRig(t);
    createDatabase(rig.database, { megabytes: 1 });
    await rig.writer.createSnapshot('older');
    const known = new Set(filesBelow(rig.snapshotDir));
    withDatabase(rig.database, (db) => insertRealities(db, 500));
    await rig.writer.createSnapshot('newest');
    const isNew = (file) => !known.has(file) && path.basename(path.dirname(file)) === kind;
    flipBit(filesBelow(rig.snapshotDir).find(isNew), kind === 'packs' ? 0.5 : 70);

    const report = await rig.writer.drill();

    assert.equal(report.outcome, 'failed', JSON.stringify(report));
    assert.deepEqual(failed(report), ['image']);
    assert.match(`${report.snapshot?.name}${report.reason}`, /newest/);
    assert.equal((await rig.writer.drill({ name: 'older', maxDrift: 1 })).outcome, 'passed');
  });
}

test('an older damaged snapshot does not matter for the newest', async (t) => {
  const rig = makeRig(t);
  createDatabase(rig.database, { megabytes: 1 });
  await rig.writer.createSnapshot('older');
  const [manifest] = filesBelow(path.join(rig.snapshotDir, 'snapshots'));
  await rig.writer.createSnapshot('newest');
  flipBit(manifest, 70);
  assert.equal((await rig.writer.drill()).outcome, 'passed');
});

test('without a snapshot nothing is known, and no repository is made', async (t) => {
  const rig = makeRig(t);
  createDatabase(rig.database);
  const report = await rig.writer.drill();
  assert.equal(report.outcome, 'inconclusive');
  assert.equal(report.snapshot, null);
  assert.match(report.reason, /no snapshot/);
  assert.equal(fs.existsSync(rig.snapshotDir), false);
  await refused(rig.writer.drill({ name: 'never made' }), 'SNAPSHOT_NOT_FOUND');
  await refused(rig.writer.drill({ tier: 's3' }), 'S3_DISABLED');
});

test('a plain file of the old module is drilled when it is the newest', async (t) => {
  const rig = makeRig(t);
  createDatabase(rig.database);
  await rig.writer.createSnapshot('packed');
  const plain = path.join(rig.snapshotDir, 'snapshot_2099-01-01T00-00-00-000Z.db');
  fs.copyFileSync(rig.database, plain);
  const report = await rig.writer.drill();
  assert.deepEqual([report.outcome, report.snapshot.name], ['passed', path.basename(plain, '.db')]);
  fs.truncateSync(plain, fs.statSync(plain).size - 100);
  assert.deepEqual(failed(await rig.writer.drill()), ['image']);
});

test('a full disk leaves the drill open and what is stored alone', async (t) => {
  const rig = makeRig(t);
  createDatabase(rig.database, { megabytes: 1 });
  if (!mountSmall(rig, rig.snapshotDir, '40m')) return t.skip('mounting is not permitted here');
  await rig.writer.createSnapshot('only');
  const report = await rig.writer.drill();
  assert.equal(report.outcome, 'inconclusive');
  assert.match(report.reason, /REPOSITORY_FULL/);
  assertScratchIsEmpty(rig);
  await assertAllVerify(rig.writer);
});

test('a lost database leaves the comparisons open, and the drill passes', async (t) => {
  const rig = makeRig(t);
  createDatabase(rig.database);
  await rig.writer.createSnapshot('only');
  fs.rmSync(rig.database);
  const report = await rig.writer.drill();
  assert.equal(report.outcome, 'passed');
  const open = report.checks.filter(({ outcome }) => outcome === 'inconclusive');
  assert.deepEqual(
    open.map(({ name }) => name),
    ['row_counts', 'migrations'],
  );
  for (const { detail } of open) assert.match(detail, /DATABASE_NOT_FOUND/);
});

const FAULTS = {
  'a row without its parent': {
    check: 'foreign_key_check',
    detail: /Child points to a missing row of Parent/,
    before: (db) => {
      db.exec('CREATE TABLE Parent (id INTEGER PRIMARY KEY)');
      db.exec('CREATE TABLE Child (id INTEGER PRIMARY KEY, parent INTEGER REFERENCES Parent(id))');
      db.pragma('foreign_keys = OFF');
      db.exec('INSERT INTO Child VALUES (1, 99)');
    },
  },
  'far fewer rows than the live database': {
    check: 'row_counts',
    detail: /Reality has 3 rows in the snapshot and 103 now \(97 %\)/,
    after: (db) => insertRealities(db, 100),
    options: { maxDrift: 0.96 },
  },
  'far more rows than the live database': {
    check: 'row_counts',
    detail: /Reality has 103 rows in the snapshot and 0 now \(100 %\)/,
    before: (db) => insertRealities(db, 100),
    after: (db) => db.exec('DELETE FROM Reality'),
  },
  'a failed migration': {
    check: 'migrations',
    detail: /2_more began and did not finish.*P3009/,
    migrations: { '1_init': true, '2_more': false },
  },
  'a migration that the live database has not': {
    check: 'migrations',
    detail: /1_init in the snapshot is not what/,
    migrations: { '1_init': true },
    after: (db) => db.exec("UPDATE _prisma_migrations SET migration_name = '1_other'"),
  },
};

for (const [what, { check, detail, before, after, migrations, options }] of Object.entries(FAULTS)) {
  test(`a snapshot with ${what} fails`, async (t) => {
    const rig = makeRig(t);
    createDatabase(rig.database);
    if (migrations) addMigrations(rig.database, migrations);
    if (before) withDatabase(rig.database, before);
    await rig.writer.createSnapshot('only');
    if (after) withDatabase(rig.database, after);
    const report = await rig.writer.drill(options);
    assert.equal(report.outcome, 'failed');
    assert.deepEqual(failed(report), [check]);
    assert.match(report.checks.find(({ name }) => name === check).detail, detail);
  });
}

const LOSSES = {
  'without a row': (file) => withDatabase(file, (db) => db.exec(EMPTYING)),
  'without a byte': (file) => fs.truncateSync(file, 0),
};
const EMPTYING = 'DELETE FROM Reality; DELETE FROM RecursionPath; DELETE FROM ConsciousnessField';

for (const [what, lose] of Object.entries(LOSSES)) {
  test(`a snapshot ${what} fails until somebody says that the loss is meant`, async (t) => {
    const rig = makeRig(t);
    createDatabase(rig.database);
    await rig.writer.createSnapshot('full');
    lose(rig.database);
    await rig.writer.createSnapshot('first empty one');
    await rig.writer.createSnapshot('second empty one');
    const assertions = [{ name: 'realities', sql: 'SELECT count(*) FROM Reality', min: 1 }];

    const report = await rig.writer.drill({ assertions });

    assert.equal(report.outcome, 'failed');
    assert.match(report.reason, /^content: the database in it is empty, and "full" before it was not/);
    assert.deepEqual(failed(report), ['content', 'assertion: realities']);
    assert.equal((await rig.writer.drill({ name: 'full', maxDrift: 1 })).outcome, 'passed');
    await rig.writer.acknowledge();
    assert.deepEqual(failed(await rig.writer.drill()), []);
  });

  test(`a snapshot ${what} of a database that never had any passes, every check made`, async (t) => {
    const rig = makeRig(t);
    createDatabase(rig.database);
    lose(rig.database);
    await rig.writer.createSnapshot('empty');
    withDatabase(rig.database, (db) => {
      if (what === 'without a row') insertRealities(db, 1);
    });
    await rig.writer.createSnapshot('later');
    const report = await rig.writer.drill({ name: 'empty' });
    assert.equal(report.outcome, 'passed', report.reason);
    assert.deepEqual(
      report.checks.map(({ name, outcome }) => [name, outcome]),
      CHECKS.map((name) => [name, 'passed']),
    );
  });
}

test('an empty plain file of the old module fails beside a snapshot with content', async (t) => {
  const rig = makeRig(t);
  createDatabase(rig.database);
  await rig.writer.createSnapshot('full');
  fs.writeFileSync(path.join(rig.snapshotDir, 'snapshot_2099-01-01T00-00-00-000Z.db'), '');
  assert.deepEqual(failed(await rig.writer.drill()), ['content']);
});

test('more drift than the limit passes under a higher one', async (t) => {
  const rig = makeRig(t);
  createDatabase(rig.database);
  await rig.writer.createSnapshot('only');
  withDatabase(rig.database, (db) => insertRealities(db, 100));
  assert.equal((await rig.writer.drill()).outcome, 'failed');
  assert.equal((await rig.writer.drill({ maxDrift: 1 })).outcome, 'passed');
});

test('the assertions of the call and of a file are checked', async (t) => {
  const rig = makeRig(t);
  createDatabase(rig.database, { realities: 5 });
  await rig.writer.createSnapshot('only');
  const file = rig.path('assertions.json');
  const inFile = [{ name: 'fields', sql: 'SELECT count(*) FROM ConsciousnessField', min: 1 }];
  fs.writeFileSync(file, JSON.stringify(inFile));
  const assertions = [{ name: 'realities', sql: 'SELECT count(*) FROM Reality', equals: 5 }];

  assert.equal((await rig.writer.drill({ assertions })).outcome, 'passed');
  const report = await rig.writer.drill({ assertions, assertionsFile: file });

  assert.deepEqual(failed(report), ['assertion: fields']);
  assert.equal(report.reason, 'assertion: fields: 0, expected at least 1');
  assert.ok(report.checks.some(({ name }) => name === 'assertion: realities'));
});

test('a bad assertion is refused by its name and is no drill', async (t) => {
  const rig = makeRig(t);
  createDatabase(rig.database);
  await rig.writer.createSnapshot('only');
  const before = contentOf(rig.database);
  const sql = 'SELECT 1';
  for (const [bad, part] of [
    [{ name: 'writes', sql: 'DELETE FROM Reality', equals: 0 }, '"writes"'],
    [{ name: 'two', sql: 'SELECT 1; SELECT 2', equals: 1 }, '"two"'],
    [{ name: 'attaches', sql: `ATTACH '${rig.path('x.db')}' AS x`, equals: 1 }, '"attaches"'],
    [{ name: 'wide', sql: 'SELECT 1, 2', equals: 1 }, '"wide"'],
    [{ name: 'no expectation', sql }, '"no expectation"'],
    [{ sql, equals: 1 }, 'assertion 1'],
    [{ name: 'not a number', sql, equals: NaN }, 'option "assertions"'],
    [{ name: 'a function', sql, equals: () => 1 }, 'option "assertions"'],
  ]) {
    const error = await refused(rig.writer.drill({ assertions: [bad] }), 'INVALID_ARGUMENT');
    assert.match(error.message, /^Failed to drill: /);
    assert.ok(error.message.includes(part), error.message);
  }
  for (const content of ['{', '{}', '[{"name": "a"}]']) {
    fs.writeFileSync(rig.path('bad.json'), content);
    await refused(rig.writer.drill({ assertionsFile: rig.path('bad.json') }), 'INVALID_ARGUMENT');
  }
  await refused(rig.writer.drill({ assertionsFile: rig.path('none.json') }), 'INVALID_ARGUMENT');
  for (const maxDrift of [-1, 2, '0.5', NaN]) {
    await refused(rig.writer.drill({ maxDrift }), 'INVALID_ARGUMENT');
  }
  assert.deepEqual(await rig.writer.drills(), []);
  assert.equal(contentOf(rig.database), before);
  assert.equal(fs.existsSync(rig.path('x.db')), false);
});

test('while the snapshot is read, others are made, and it is deleted itself', async (t) => {
  const rig = makeRig(t, { lockTimeoutMs: 1_000 });
  createDatabase(rig.database, { megabytes: 1 });
  await rig.writer.createSnapshot('drilled');
  const drill = await whilePaused(
    rig,
    'drill.opened',
    () => rig.writer.drill({ tier: 'local' }),
    async () => {
      assert.deepEqual(await rig.newWriter().drills(), [], 'the drill goes on');
      withDatabase(rig.database, (db) => db.exec('DELETE FROM Filler'));
      await rig.newWriter({ lockTimeoutMs: 1_000 }).createSnapshot('meanwhile');
      await rig.newWriter({ lockTimeoutMs: 1_000 }).deleteSnapshot('drilled');
    },
  );
  assert.equal(drill.value?.checks[0].outcome, 'passed', String(drill.reason?.stack));
  assert.equal(drill.value.snapshot.name, 'drilled');
  assert.deepEqual(await rig.writer.drills(), [drill.value]);
});

test('while the copy is checked, snapshots are made and deleted', async (t) => {
  const rig = makeRig(t, { lockTimeoutMs: 1_000 });
  createDatabase(rig.database, { megabytes: 1 });
  await rig.writer.createSnapshot('drilled');
  const drill = await whilePaused(
    rig,
    'drill.assembled',
    () => rig.writer.drill(),
    async () => {
      withDatabase(rig.database, (db) => insertRealities(db, 1));
      await rig.newWriter().createSnapshot('meanwhile');
      await rig.newWriter().deleteSnapshot('drilled');
    },
  );
  assert.equal(drill.value?.outcome, 'passed', String(drill.reason?.stack));
  assert.equal(drill.value.snapshot.name, 'drilled');
  const noises = rig.log.lines.filter(({ message }) => /cut off/.test(message));
  assert.deepEqual(noises, [], 'the copy of the drill was taken for a left-over');
});

test('a writer that does not wait gets in while the live rows are counted', async (t) => {
  const rig = makeRig(t);
  createDatabase(rig.database, { realities: 20_000 });
  await rig.writer.createSnapshot('only');
  const writer = await startConnection(rig, 'better-sqlite3', rig.database, { timeout: 0 });
  let [done, written, refusals] = [false, 0, 0];
  const drill = rig.writer.drill().finally(() => (done = true));
  while (!done) {
    try {
      await writer.exec(`INSERT OR REPLACE INTO Metric VALUES ('one row', ${written})`);
      written += 1;
    } catch (error) {
      assert.match(String(error.code), /BUSY/);
      refusals += 1;
    }
  }
  assert.equal((await drill).outcome, 'passed');
  t.diagnostic(`${written} writes, ${refusals} refused`);
  assert.ok(written > 10 * refusals, `${refusals} of ${written + refusals} writes were refused`);
});

function failed({ checks }) {
  return checks.filter(({ outcome }) => outcome === 'failed').map(({ name }) => name);
}

function assertScratchIsEmpty(rig) {
  assert.deepEqual(filesBelow(path.join(rig.snapshotDir, 'local', 'scratch')), []);
}
