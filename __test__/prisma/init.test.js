'use strict';

// `snapshot-writer prisma init` in real projects, see ../support/prisma-init.js.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { test } = require('node:test');
const { SnapshotWriter } = require('../../index.js');
const { createDatabase } = require('../support/database.js');
const { silent } = require('../support/folders.js');
const { assertInStep, assertNothingToDo, makeProject, withDatabase } = require('../support/prisma-init.js');

/** Client and addon on the same rows. */
async function assertShared(t, project, snapshotDir) {
  const writer = new SnapshotWriter({ databaseUrl: project.url, snapshotDir, log: silent });
  const prisma = project.openClient();
  t.after(() => prisma.$disconnect());
  const { snapshot } = await writer.createSnapshot('by the addon');
  await writer.createSnapshot('another');

  const listed = await prisma.snapshot.findMany({ orderBy: { createdAt: 'asc' } });
  assert.deepEqual(
    listed.map(({ name }) => name),
    ['by the addon', 'another'],
  );
  assert.deepEqual(listed[0], snapshot, 'the record is the row');
  await prisma.snapshot.update({ where: { name: 'another' }, data: { restoreMessage: 'noted' } });
  assert.equal((await prisma.snapshot.findUnique({ where: { name: 'another' } })).restoreMessage, 'noted');
  await prisma.snapshot.delete({ where: { name: 'another' } });
  assert.equal(await prisma.snapshot.count(), 1);
  assert.equal((await writer.getSnapshot('another')).name, 'another', 'a deleted row deletes no snapshot');

  // Rows that the client writes: the old module's snapshots are known by them.
  const plain = path.join(snapshotDir, 'snapshot_2025-01-02T03-04-05-678Z.db');
  const { checksum, size } = await writer.exportSnapshot('by the addon', plain);
  await prisma.snapshot.create({
    data: { name: 'by the client', s3Key: plain, checksum, size, status: 'COMPLETED' },
  });
  const known = await writer.getSnapshot('by the client');
  assert.deepEqual([known.kind, known.checksum, known.size], ['plain', checksum, size]);
  const { snapshot: restored } = await writer.restoreFromSnapshot('by the client');
  assert.equal(restored.restoreStatus, 'SUCCESS');
  const row = await prisma.snapshot.findUnique({ where: { name: 'by the client' } });
  assert.equal(row.restoreStatus, 'SUCCESS');
  assert.ok(row.lastRestoredAt instanceof Date);
}

test('a database with tables and no history', async (t) => {
  const project = await makeProject(t);
  createDatabase(project.database, { catalog: false });
  // The fixture's Metric is wider than the model's; the application's own table is the model's.
  withDatabase(project.database, (db) =>
    db.exec(
      'DROP TABLE Metric; CREATE TABLE "Metric" ("key" TEXT NOT NULL PRIMARY KEY, "value" INTEGER NOT NULL)',
    ),
  );

  const dry = await project.init('--dry-run');
  assert.deepEqual([dry.code, dry.model, dry.migration], [0, 'to be added', 'to be written']);
  assert.equal(fs.existsSync(project.migrations), false);

  const done = await project.init();
  assert.deepEqual([done.code, done.model, done.migration], [0, 'added', 'written']);
  assert.deepEqual(
    done.next.map(({ why }) => /P\d{4}/.exec(why)?.[0]),
    [undefined, 'P3005', undefined, undefined],
  );
  await assert.rejects(project.deploy(), /P3005/, 'what it warns of is real');
  await project.follow(done.next);

  await assertInStep(project);
  await assertNothingToDo(project);
  assert.equal(
    withDatabase(project.database, (db) => db.prepare('SELECT count(*) AS n FROM Reality').get().n),
    3,
  );
  await assertShared(t, project, path.join(path.dirname(project.database), 'snapshots'));
});

test('no database yet', async (t) => {
  const project = await makeProject(t);
  const done = await project.init();
  assert.deepEqual([done.code, done.database.exists], [0, false]);
  await project.follow(done.next);
  await assertNothingToDo(project);
  assert.match(await project.prisma('migrate', 'status'), /up to date/);
  // The other models get their migration after ours, by Prisma itself.
  await project.prisma('migrate', 'dev', '--name', 'others');
  await assertInStep(project);
  await assertShared(t, project, path.join(path.dirname(project.database), 'snapshots'));
});

test('a Snapshot table that is there already, with rows, and a history', async (t) => {
  const project = await makeProject(t);
  await project.prisma('migrate', 'dev', '--name', 'init');
  const done = await project.init();
  assert.deepEqual(
    done.next.map(({ commands }) => commands),
    [['npx snapshot-writer create'], ['npx prisma migrate deploy'], ['npx prisma generate']],
  );
  const [, name] = project.names();
  // As `prisma db push` had made it before.
  const sql = fs.readFileSync(path.join(project.migrations, name, 'migration.sql'), 'utf8');
  withDatabase(project.database, (db) => {
    db.exec(sql.replaceAll('IF NOT EXISTS ', ''));
    db.exec(
      `INSERT INTO Snapshot (id, name, s3Key, checksum, size, updatedAt) VALUES ('i', 'n', 'k', 'c', 1, 1)`,
    );
  });
  await project.follow(done.next);
  await assertInStep(project);
  await assertNothingToDo(project);
  assert.equal(
    withDatabase(project.database, (db) =>
      db.prepare(`SELECT count(*) AS n FROM Snapshot WHERE name = 'n'`).get(),
    ).n,
    1,
  );
});

test('a migration that should have made the table never ran on it', async (t) => {
  // The project's own first migration makes every table, Snapshot too; the database was made without it.
  const project = await makeProject(t, { arrange: () => {} });
  createDatabase(project.database, { catalog: false });
  const done = await project.init();
  assert.equal(done.migration, 'written');
  assert.deepEqual(done.next[1].commands, ['npx prisma migrate resolve --applied 20250101000000_init']);
  await project.follow(done.next);
  await assertNothingToDo(project);
  await assertShared(t, project, path.join(path.dirname(project.database), 'snapshots'));
});

test('a migration folder without a timestamp', async (t) => {
  const project = await makeProject(t);
  await project.prisma('migrate', 'dev', '--name', 'init');
  const add = (name, sql) => {
    fs.mkdirSync(path.join(project.migrations, name));
    fs.writeFileSync(path.join(project.migrations, name, 'migration.sql'), sql);
  };
  add('add_notes', 'CREATE TABLE "Note" ("id" TEXT NOT NULL PRIMARY KEY);');
  await project.deploy();
  add('add_snapshot', 'CREATE TABLE "Old" ("id" TEXT NOT NULL PRIMARY KEY);');
  const before = project.names();

  const refused = await project.init();
  assert.deepEqual([refused.code, refused.ok, refused.migration], [3, false, 'not written']);
  assert.deepEqual(
    refused.problems.map(({ title }) => title),
    ['The migration add_notes has no timestamp.', 'The migration add_snapshot has no timestamp.'],
  );
  assert.deepEqual(
    refused.problems.map(({ commands }) => commands.length),
    [2, 1],
    'one is recorded already',
  );
  assert.deepEqual(project.names(), before, 'nothing is renamed silently');
  await project.follow(refused.problems);

  const done = await project.init();
  assert.deepEqual([done.code, done.migration], [0, 'written']);
  assert.match(project.names().at(-1), /_snapshot_writer$/, 'ours comes last');
  await project.follow(done.next);
  assert.match(await project.prisma('migrate', 'status'), /up to date/);
  await assertNothingToDo(project);
});

test('a migration that failed', async (t) => {
  const project = await makeProject(t);
  await project.prisma('migrate', 'dev', '--name', 'init');
  const broken = path.join(project.migrations, '20240101000000_broken');
  fs.mkdirSync(broken);
  fs.writeFileSync(path.join(broken, 'migration.sql'), 'CREATE TABLE "Reality" (x);');
  await assert.rejects(project.deploy(), /already exists/);

  const done = await project.init();
  assert.deepEqual([done.code, done.migration], [0, 'written']);
  assert.match(done.next[1].why, /P3009/);
  await assert.rejects(project.deploy(), /P3009/, 'what it warns of is real');
  fs.writeFileSync(path.join(broken, 'migration.sql'), 'SELECT 1;');
  await project.follow(done.next);
  assert.match(await project.prisma('migrate', 'status'), /up to date/);
  await assertNothingToDo(project);
});

test('a migration without its SQL', async (t) => {
  const project = await makeProject(t);
  await project.prisma('migrate', 'dev', '--name', 'init');
  fs.mkdirSync(path.join(project.migrations, '20240101000000_lost'));
  await assert.rejects(project.deploy(), /P3015/, 'what it warns of is real');
  const refused = await project.init();
  assert.deepEqual([refused.code, refused.problems.length], [3, 1]);
  assert.match(refused.problems[0].why, /P3015/);
  await project.follow(refused.problems);
  await project.follow((await project.init()).next);
  await assertInStep(project);
});
