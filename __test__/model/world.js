'use strict';

// The real side of the property test of identities: hosts with databases and a repository each, as a
// folder has them. What should be in them is the model's business (model.js), which knows nothing of
// manifests, lineages or instances.

const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const Database = require('better-sqlite3');
const { SnapshotWriter } = require('../../index.js');

const SILENT = { info() {}, warn() {}, error() {}, debug() {} };

const CATALOG = `CREATE TABLE "Snapshot" ("id" TEXT NOT NULL PRIMARY KEY, "name" TEXT NOT NULL, "s3Key" TEXT NOT NULL,
  "checksum" TEXT NOT NULL, "size" INTEGER NOT NULL, "status" TEXT NOT NULL DEFAULT 'PENDING', "restoreStatus" TEXT,
  "restoreMessage" TEXT, "lastRestoredAt" DATETIME, "createdAt" DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
  "updatedAt" DATETIME NOT NULL, "schemaVersion" INTEGER NOT NULL DEFAULT 1);
  CREATE UNIQUE INDEX "Snapshot_name_key" ON "Snapshot"("name");
  CREATE INDEX "Snapshot_status_idx" ON "Snapshot"("status");
  CREATE INDEX "Snapshot_lastRestoredAt_idx" ON "Snapshot"("lastRestoredAt");`;

class World {
  /** `bucket`: options of S3 that every host shares; `clock(shift)`: options of a worker whose clock is off by so many seconds. */
  constructor({ bucket = false, clock, log = SILENT }) {
    this.root = fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), 'snapshot-writer-model-')));
    this.bucket = bucket;
    this.clock = clock;
    this.shift = 0;
    this.log = log;
    this.folders = ['one', 'two'].map((name) => path.join(this.root, name, 'data'));
    for (const folder of this.folders) fs.mkdirSync(path.join(folder, 'sub'), { recursive: true });
  }

  file(host, slot) {
    return path.join(this.folders[host], slot);
  }

  repository(host) {
    return path.join(this.folders[host], 'backups');
  }

  writer(host, slot) {
    return new SnapshotWriter({
      databaseUrl: `file:${this.file(host, slot)}`,
      snapshotDir: this.repository(host),
      s3: this.bucket,
      ...(this.shift === 0 ? {} : this.clock(this.shift)),
      lockTimeoutMs: 30_000,
      deleteGraceMs: 0,
      trashGraceMs: 0,
      log: this.log,
    });
  }

  /** Makes a database that holds one value; every other one is in WAL mode and without a `Snapshot` table. */
  make(host, slot, value) {
    const isPlain = slot.includes('b.db');
    this.#with(host, slot, (db) => {
      db.pragma(`journal_mode = ${isPlain ? 'wal' : 'delete'}`);
      db.exec(`CREATE TABLE held (value TEXT NOT NULL); ${isPlain ? '' : CATALOG}`);
      db.prepare('INSERT INTO held VALUES (?)').run(value);
    });
  }

  write(host, slot, value) {
    this.#with(host, slot, (db) => db.prepare('UPDATE held SET value = ?').run(value));
  }

  /** What the database holds; `null`: there is none. */
  read(host, slot) {
    if (!fs.existsSync(this.file(host, slot))) return null;
    return this.#with(host, slot, (db) => db.prepare('SELECT value FROM held').pluck().get());
  }

  /** Names of the completed snapshots in the database's own table. */
  rows(host, slot) {
    return this.#with(host, slot, (db) => {
      const has = db.prepare("SELECT count(*) FROM sqlite_schema WHERE name = 'Snapshot'").pluck().get();
      return has ? db.prepare(`SELECT name FROM "Snapshot" WHERE status = 'COMPLETED'`).pluck().all() : [];
    });
  }

  /** Ids of the snapshots whose manifests are in the folder of a host. */
  manifests(host) {
    const folder = path.join(this.repository(host), 'snapshots');
    if (!fs.existsSync(folder)) return new Set();
    return new Set(fs.readdirSync(folder).map((name) => name.split('.')[0]));
  }

  lose(host, slot) {
    for (const suffix of ['', '-wal', '-shm', '-journal']) {
      fs.rmSync(this.file(host, slot) + suffix, { force: true });
    }
  }

  copy(host, from, to) {
    fs.copyFileSync(this.file(host, from), this.file(host, to));
  }

  /** As an editor or `rsync` does: the same content in a new file of the old name. */
  rewrite(host, slot) {
    const beside = `${this.file(host, slot)}.new`;
    fs.copyFileSync(this.file(host, slot), beside);
    fs.renameSync(beside, this.file(host, slot));
  }

  rename(host, from, to) {
    fs.renameSync(this.file(host, from), this.file(host, to));
  }

  link(host, from, to) {
    fs.symlinkSync(from, this.file(host, to));
  }

  /** The whole folder, databases and repository, is somewhere else from now on. */
  moveFolder(host) {
    const moved = path.join(path.dirname(this.folders[host]), `data${Math.random().toString(36).slice(2)}`);
    fs.renameSync(this.folders[host], moved);
    this.folders[host] = moved;
  }

  remove() {
    fs.rmSync(this.root, { recursive: true, force: true, maxRetries: 5 });
  }

  #with(host, slot, use) {
    const db = new Database(this.file(host, slot), { timeout: 5000 });
    try {
      return use(db);
    } finally {
      db.close();
    }
  }
}

module.exports = { World };
