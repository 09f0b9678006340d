'use strict';

// Databases shaped like the application's, and what SQLite sees in them. Everything here opens
// and closes; nothing keeps a connection, so no lock is lost between two calls.

const { createHash, randomUUID, randomBytes } = require('node:crypto');
const fs = require('node:fs');
const Database = require('better-sqlite3');

const APPLICATION = `
  CREATE TABLE "Reality" ("id" TEXT NOT NULL PRIMARY KEY, "description" TEXT NOT NULL, "parameters" JSONB NOT NULL,
    "recursionDepth" INTEGER NOT NULL, "parentId" TEXT, "createdAt" DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "schemaVersion" INTEGER NOT NULL);
  CREATE TABLE "RecursionPath" ("id" TEXT NOT NULL PRIMARY KEY, "parentId" TEXT NOT NULL, "childId" TEXT NOT NULL,
    "recursionDepth" INTEGER NOT NULL, "connectionStrength" REAL NOT NULL,
    "createdAt" DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP, "schemaVersion" INTEGER NOT NULL);
  CREATE TABLE "ConsciousnessField" ("id" TEXT NOT NULL PRIMARY KEY, "parentId" TEXT NOT NULL, "childId" TEXT NOT NULL,
    "recursionDepth" INTEGER NOT NULL, "fieldStrength" REAL NOT NULL,
    "createdAt" DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP, "schemaVersion" INTEGER NOT NULL);
  CREATE TABLE "Metric" ("key" TEXT NOT NULL PRIMARY KEY, "value" REAL NOT NULL);
`;

const CATALOG = `
  CREATE TABLE "Snapshot" ("id" TEXT NOT NULL PRIMARY KEY, "name" TEXT NOT NULL, "s3Key" TEXT NOT NULL,
    "checksum" TEXT NOT NULL, "size" INTEGER NOT NULL, "status" TEXT NOT NULL DEFAULT 'PENDING', "restoreStatus" TEXT,
    "restoreMessage" TEXT, "lastRestoredAt" DATETIME, "createdAt" DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" DATETIME NOT NULL, "schemaVersion" INTEGER NOT NULL DEFAULT 1);
  CREATE UNIQUE INDEX "Snapshot_name_key" ON "Snapshot"("name");
  CREATE INDEX "Snapshot_status_idx" ON "Snapshot"("status");
  CREATE INDEX "Snapshot_lastRestoredAt_idx" ON "Snapshot"("lastRestoredAt");
`;

/** Opens, uses, closes. */
function withDatabase(file, use, options) {
  const db = new Database(file, { timeout: 5000, ...options });
  try {
    return use(db);
  } finally {
    db.close();
  }
}

/** Makes a database of the application; `catalog: false` leaves the `Snapshot` table out. */
function createDatabase(file, options = {}) {
  const { journalMode = 'delete', pageSize = 4096, autoVacuum = 0, catalog = true } = options;
  const { realities = 3, megabytes = 0, encoding = 'UTF-8' } = options;
  withDatabase(file, (db) => {
    db.pragma(`page_size = ${pageSize}`);
    db.pragma(`encoding = '${encoding}'`);
    db.pragma(`auto_vacuum = ${autoVacuum}`);
    db.pragma(`journal_mode = ${journalMode}`);
    db.exec(APPLICATION + (catalog ? CATALOG : ''));
    insertRealities(db, realities);
    if (megabytes > 0) fill(db, megabytes);
  });
}

function insertRealities(db, count, description = 'a reality') {
  const insert = db.prepare(
    'INSERT INTO Reality (id, description, parameters, recursionDepth, schemaVersion) VALUES (?, ?, ?, ?, 1)',
  );
  db.transaction(() => {
    for (let index = 0; index < count; index += 1) {
      insert.run(randomUUID(), `${description} ${index}`, JSON.stringify({ index, seed: randomUUID() }), 0);
    }
  })();
}

/** Rows like the application's (UUID keys, JSON text), one a page: about two to one under zstd. */
function fill(db, megabytes) {
  db.exec('CREATE TABLE IF NOT EXISTS Filler (id INTEGER PRIMARY KEY, body TEXT NOT NULL)');
  const insert = db.prepare('INSERT INTO Filler (body) VALUES (?)');
  db.transaction(() => {
    for (let left = megabytes * 256; left > 0; left -= 1) insert.run(fillerBody());
  })();
}

function fillerBody() {
  // 3,600 bytes with their quotes: one row fills a page of 4,096 without overflowing it.
  return JSON.stringify({ noise: randomBytes(1790).toString('hex') });
}

/** New content for every `step`th row of the filler, each on a page of its own; or all of them. */
function rewriteFiller(file, step = 1) {
  withDatabase(file, (db) => {
    const ids = db.prepare('SELECT id FROM Filler WHERE id % ? = 0').pluck().all(step);
    const update = db.prepare('UPDATE Filler SET body = ? WHERE id = ?');
    db.transaction(() => {
      for (const id of ids) update.run(fillerBody(), id);
    })();
  });
}

/** Writes rubbish over a page of the filler; `quick_check` finds that. Nobody may have the file open. */
function damageFiller(file) {
  const page = withDatabase(file, (db) =>
    db.prepare("SELECT max(pageno) FROM dbstat WHERE name = 'Filler' AND pagetype = 'leaf'").pluck().get(),
  );
  const descriptor = fs.openSync(file, 'r+');
  fs.writeSync(descriptor, Buffer.alloc(4096, 0xee), 0, 4096, (page - 1) * 4096);
  fs.closeSync(descriptor);
}

function countRows(file, table) {
  return withDatabase(file, (db) => db.prepare(`SELECT count(*) FROM "${table}"`).pluck().get());
}

function integrityOf(file) {
  return withDatabase(file, (db) => db.pragma('integrity_check', { simple: true }));
}

/** Hash of everything that SQLite sees, except the `Snapshot` table. */
function contentOf(file) {
  return withDatabase(file, (db) => {
    const schema = db
      .prepare(
        "SELECT type, name, tbl_name, sql FROM sqlite_schema WHERE tbl_name <> 'Snapshot' ORDER BY type, name",
      )
      .all();
    const hash = createHash('sha256').update(JSON.stringify(schema));
    for (const { type, name } of schema) {
      if (type !== 'table' || name.startsWith('sqlite_')) continue;
      for (const row of db.prepare(`SELECT * FROM "${name}" ORDER BY 1`).raw().iterate()) {
        hash.update(JSON.stringify([name, row]));
      }
    }
    return hash.digest('hex');
  });
}

/** The row of a snapshot in the application's table; undefined when there is none. */
function catalogRow(file, name) {
  return withDatabase(file, (db) => db.prepare('SELECT * FROM Snapshot WHERE name = ?').get(name));
}

module.exports = {
  APPLICATION,
  withDatabase,
  createDatabase,
  insertRealities,
  fill,
  fillerBody,
  rewriteFiller,
  damageFiller,
  countRows,
  integrityOf,
  contentOf,
  catalogRow,
};
