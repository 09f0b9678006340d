'use strict';

// The application's schema, as Prisma's migration creates it, and rows like its own.

const { randomBytes, randomInt, randomUUID } = require('node:crypto');

const SCHEMA = `
CREATE TABLE "Reality" (
  "id" TEXT NOT NULL PRIMARY KEY, "description" TEXT NOT NULL, "parameters" JSONB NOT NULL,
  "recursionDepth" INTEGER NOT NULL, "parentId" TEXT,
  "createdAt" DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP, "schemaVersion" INTEGER NOT NULL);
CREATE TABLE "RecursionPath" (
  "id" TEXT NOT NULL PRIMARY KEY, "parentId" TEXT NOT NULL, "childId" TEXT NOT NULL,
  "recursionDepth" INTEGER NOT NULL, "connectionStrength" REAL NOT NULL,
  "createdAt" DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP, "schemaVersion" INTEGER NOT NULL);
CREATE TABLE "ConsciousnessField" (
  "id" TEXT NOT NULL PRIMARY KEY, "parentId" TEXT NOT NULL, "childId" TEXT NOT NULL,
  "recursionDepth" INTEGER NOT NULL, "fieldStrength" REAL NOT NULL,
  "createdAt" DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP, "schemaVersion" INTEGER NOT NULL);
CREATE TABLE "Metric" ("key" TEXT NOT NULL PRIMARY KEY, "value" INTEGER NOT NULL);
CREATE TABLE "Snapshot" (
  "id" TEXT NOT NULL PRIMARY KEY, "name" TEXT NOT NULL, "s3Key" TEXT NOT NULL, "checksum" TEXT NOT NULL,
  "size" INTEGER NOT NULL, "status" TEXT NOT NULL DEFAULT 'PENDING', "restoreStatus" TEXT,
  "restoreMessage" TEXT, "lastRestoredAt" DATETIME,
  "createdAt" DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP, "updatedAt" DATETIME NOT NULL,
  "schemaVersion" INTEGER NOT NULL DEFAULT 1);
CREATE UNIQUE INDEX "Snapshot_name_key" ON "Snapshot"("name");
CREATE INDEX "Snapshot_status_idx" ON "Snapshot"("status");
CREATE INDEX "Snapshot_lastRestoredAt_idx" ON "Snapshot"("lastRestoredAt");
`;

const WORDS = [
  'mirror',
  'lattice',
  'echo',
  'threshold',
  'spiral',
  'horizon',
  'memory',
  'fold',
  'signal',
  'dream',
];
const BATCH = 2_000;

/** Inserts rows until the database has about `bytes`; returns how many. */
function fillDatabase(connection, bytes) {
  const reality = connection.prepare('INSERT INTO Reality VALUES (?, ?, ?, ?, ?, ?, 1)');
  const links = ['RecursionPath', 'ConsciousnessField'].map((table) =>
    connection.prepare(`INSERT INTO "${table}" VALUES (?, ?, ?, ?, 0.5, ?, 1)`),
  );
  let rows = 0;
  let parent = null;
  while (pragma(connection, 'page_count') * pragma(connection, 'page_size') < bytes) {
    connection.exec('BEGIN');
    for (let i = 0; i < BATCH; i++) {
      const [id, depth, now] = [randomUUID(), randomInt(12), new Date().toISOString().replace('Z', '+00:00')];
      reality.run(id, sentence(12), parameters(depth), depth, parent, now);
      if (parent) links.forEach((link) => link.run(randomUUID(), parent, id, depth, now));
      rows += parent ? 3 : 1;
      parent = id;
    }
    connection.exec('COMMIT');
  }
  connection.prepare("INSERT INTO Metric VALUES ('realities_created_total', ?)").run(rows);
  return rows + 1;
}

/** Rewrites one in `oneIn` rows of Reality, spread over the whole table; returns how many. */
function changeRows(connection, oneIn) {
  return connection.prepare('UPDATE Reality SET description = ? WHERE rowid % ? = 0').run(sentence(12), oneIn)
    .changes;
}

function pragma(connection, name) {
  return Object.values(connection.prepare(`PRAGMA ${name}`).get())[0];
}

function sentence(words) {
  return Array.from({ length: words }, () => WORDS[randomInt(WORDS.length)]).join(' ');
}

function parameters(depth) {
  return JSON.stringify({
    seed: randomBytes(16).toString('hex'),
    depth,
    stability: randomInt(1000) / 1000,
    observers: Array.from({ length: 4 }, () => ({ id: randomUUID(), role: WORDS[randomInt(WORDS.length)] })),
    notes: sentence(40),
  });
}

module.exports = { SCHEMA, fillDatabase, changeRows };
