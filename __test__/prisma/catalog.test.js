'use strict';

// What the catalog writes into the `Snapshot` table, as a generated PrismaClient sees it. The rows
// are written by SQL here, in the formats of src/database/catalog_dates.rs.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { after, before, describe, test } = require('node:test');
const Database = require('libsql');
const { makePrismaProject } = require('../support/prisma.js');

const FIRST = Date.parse('2026-11-22T22:00:46.571Z');
const HOUR = 3_600_000;

const FORMATS = {
  iso8601: {
    type: 'text',
    encode: (time) => new Date(time).toISOString().replace('Z', '+00:00'),
    pattern: /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00$/,
  },
  'unixepoch-ms': { type: 'integer', encode: (time) => time, pattern: /^\d{13}$/ },
};

function makeFolder() {
  return fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), 'snapshot-writer-prisma-')));
}

function withDatabase(file, use) {
  const db = new Database(file);
  try {
    return use(db);
  } finally {
    db.close();
  }
}

/** Three snapshots, an hour apart; the second one was restored from, the third is over 2 GiB. */
function writeRows(file, encode) {
  withDatabase(file, (db) => {
    const insert = db.prepare('INSERT INTO "Snapshot" VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)');
    for (const [index, name] of ['first: .', 'second 🦀', 'third'].entries()) {
      const made = encode(FIRST + index * HOUR);
      const restored = index === 1 ? encode(FIRST + 5 * HOUR) : null;
      const size = index === 2 ? 2_147_483_647 : 57_344;
      const id = `3587c0f7-0254-4444-b220-a09b21523b5${index}`;
      const outcome = restored && 'SUCCESS';
      insert.run(
        id,
        name,
        `/k/${index}`,
        'ab'.repeat(32),
        size,
        'COMPLETED',
        outcome,
        null,
        restored,
        made,
        made,
        1,
      );
    }
  });
}

const names = (rows) => rows.map((row) => row.name);

for (const [timestampFormat, format] of Object.entries(FORMATS)) {
  describe(`a client that writes dates as ${timestampFormat}`, () => {
    const folder = makeFolder();
    let project, prisma;

    before(async () => {
      project = await makePrismaProject(folder, { timestampFormat });
      await project.deploy();
      writeRows(project.database, format.encode);
      prisma = project.openClient();
    });

    after(async () => {
      await prisma?.$disconnect();
      fs.rmSync(folder, { recursive: true, force: true });
    });

    test('reads every column', async () => {
      const row = await prisma.snapshot.findUnique({ where: { name: 'second 🦀' } });
      assert.deepEqual(row, {
        id: '3587c0f7-0254-4444-b220-a09b21523b51',
        name: 'second 🦀',
        s3Key: '/k/1',
        checksum: 'ab'.repeat(32),
        size: 57_344,
        status: 'COMPLETED',
        restoreStatus: 'SUCCESS',
        restoreMessage: null,
        lastRestoredAt: new Date(FIRST + 5 * HOUR),
        createdAt: new Date(FIRST + HOUR),
        updatedAt: new Date(FIRST + HOUR),
        schemaVersion: 1,
      });
      const third = await prisma.snapshot.findUnique({ where: { name: 'third' } });
      assert.equal(third.size, 2_147_483_647);
      assert.doesNotThrow(() => JSON.stringify(third));
    });

    test('orders by date', async () => {
      const newestFirst = await prisma.snapshot.findMany({ orderBy: { createdAt: 'desc' } });
      assert.deepEqual(names(newestFirst), ['third', 'second 🦀', 'first: .']);
    });

    test('filters by date', async () => {
      const second = new Date(FIRST + HOUR);
      const found = async (where) =>
        names(await prisma.snapshot.findMany({ where, orderBy: { createdAt: 'asc' } }));
      assert.deepEqual(await found({ createdAt: { gt: second } }), ['third']);
      assert.deepEqual(await found({ createdAt: { gte: second } }), ['second 🦀', 'third']);
      assert.deepEqual(await found({ createdAt: { lt: second } }), ['first: .']);
      assert.deepEqual(await found({ createdAt: second }), ['second 🦀']);
      assert.deepEqual(await found({ lastRestoredAt: { not: null } }), ['second 🦀']);
      assert.deepEqual(await found({ lastRestoredAt: { lt: new Date(FIRST) } }), []);
    });

    test('rows of its own keep the order, and the format is the same', async () => {
      const own = await prisma.snapshot.create({
        data: { name: 'own', s3Key: 'k', checksum: '', size: 0, createdAt: new Date(FIRST + HOUR / 2) },
      });
      await prisma.snapshot.update({ where: { name: 'first: .' }, data: { status: 'FAILED' } });
      const rows = await prisma.snapshot.findMany({ orderBy: { createdAt: 'asc' } });
      assert.deepEqual(names(rows), ['first: .', 'own', 'second 🦀', 'third']);
      assert.ok(rows[0].updatedAt > rows[0].createdAt);

      const stored = withDatabase(project.database, (db) =>
        db
          .prepare(
            'SELECT typeof("createdAt") AS type, "createdAt" AS value, "updatedAt" AS updated FROM "Snapshot"',
          )
          .all(),
      );
      for (const { type, value, updated } of stored) {
        assert.equal(type, format.type);
        assert.match(String(value), format.pattern);
        assert.match(String(updated), format.pattern);
      }
      await prisma.snapshot.delete({ where: { id: own.id } });
      assert.equal(await prisma.snapshot.count(), 3);
    });

    test('a name is unique for it', async () => {
      const again = { name: 'third', s3Key: 'k', checksum: '', size: 0 };
      await assert.rejects(prisma.snapshot.create({ data: again }), { code: 'P2002' });
    });

    test('its migrations are up to date', async () => {
      assert.match(await project.prisma('migrate', 'status'), /up to date/);
    });
  });
}

test('the schema in the tests of the crate is the one that Prisma makes', async (t) => {
  const folder = makeFolder();
  t.after(() => fs.rmSync(folder, { recursive: true, force: true }));
  const project = await makePrismaProject(folder);
  await project.deploy();
  const embedded = path.join(__dirname, '../../src/database/schema_of_the_application.sql');
  const copy = path.join(folder, 'embedded.db');
  withDatabase(copy, (db) => db.exec(fs.readFileSync(embedded, 'utf8')));
  const schema = (file) =>
    withDatabase(file, (db) =>
      db
        .prepare(
          `SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL AND name <> '_prisma_migrations' ORDER BY name`,
        )
        .all(),
    );
  assert.deepEqual(schema(copy), schema(project.database));
});
