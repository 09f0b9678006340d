'use strict';

// The application as it is: Prisma, libSQL, better-sqlite3 and the addon in one process.

const assert = require('node:assert/strict');
const { test } = require('node:test');
const BetterSqlite = require('better-sqlite3');
const LibSql = require('libsql');
const { insertRealities, fill, integrityOf, withDatabase } = require('../support/database.js');
const { makePrismaProject } = require('../support/prisma.js');
const { startConnection } = require('../support/processes.js');
const { makeRig } = require('../support/rig.js');

const COUNT = 'SELECT count(*) AS n FROM Reality';

for (const journalMode of ['delete', 'wal']) {
  test(`the application's open clients and handles read the restored rows (${journalMode})`, async (t) => {
    const rig = makeRig(t);
    const project = await makePrismaProject(rig.folder);
    await project.deploy();
    withDatabase(project.database, (db) => {
      db.pragma(`journal_mode = ${journalMode}`);
      insertRealities(db, 4);
      fill(db, 1);
    });
    const writer = rig.newWriter({ databaseUrl: project.url });
    await writer.createSnapshot('image');
    withDatabase(project.database, (db) => {
      insertRealities(db, 3);
      fill(db, 1);
    });

    const client = project.openClient();
    rig.defer(() => client.$disconnect());
    const handles = await openHandles(rig, project.database, journalMode);
    assert.equal(await client.reality.count(), 7);
    for (const handle of handles) assert.deepEqual(await handle.all(COUNT), [{ n: 7 }]);

    const { snapshot } = await writer.restoreFromSnapshot('image');

    assert.equal(await client.reality.count(), 4);
    for (const handle of handles) assert.deepEqual(await handle.all(COUNT), [{ n: 4 }]);
    const row = await client.snapshot.findUnique({ where: { name: 'image' } });
    assert.equal(row.restoreStatus, 'SUCCESS');
    assert.deepEqual(row.lastRestoredAt, snapshot.lastRestoredAt);

    await client.reality.create({
      data: { description: 'after', parameters: {}, recursionDepth: 0, schemaVersion: 1 },
    });
    for (const handle of handles) await handle.exec('UPDATE Reality SET recursionDepth = recursionDepth + 1');
    const sum = await client.reality.aggregate({ _sum: { recursionDepth: true } });
    assert.equal(sum._sum.recursionDepth, 5 * handles.length);
    assert.equal(integrityOf(project.database), 'ok');
  });
}

/**
 * In WAL mode two SQLite in one process reset each other's shared memory without any help of
 * ours, so there the libraries beside Prisma get processes of their own.
 */
async function openHandles(rig, file, journalMode) {
  if (journalMode === 'wal') {
    return Promise.all(['better-sqlite3', 'libsql'].map((library) => startConnection(rig, library, file)));
  }
  return [BetterSqlite, LibSql].map((Library) => {
    const db = new Library(file, { timeout: 5000 });
    rig.defer(() => db.close());
    return { all: (sql) => db.prepare(sql).all(), exec: (sql) => db.exec(sql) };
  });
}
