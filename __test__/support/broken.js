'use strict';

// Databases with faults that only some checks see.

const { withDatabase } = require('./database.js');

/**
 * An index with other values than its table: SQLite's quick_check does not look at that, its integrity_check
 * does. The index is left out of the schema while the rows are written.
 */
function breakIndex(file, { index = 'Metric_value_idx' } = {}) {
  const withSchema = (change) =>
    withDatabase(file, (db) => {
      db.unsafeMode(true);
      db.pragma('writable_schema = ON');
      const result = change(db);
      // Other connections read the schema anew.
      db.pragma(`schema_version = ${db.pragma('schema_version', { simple: true }) + 1}`);
      return result;
    });
  withDatabase(file, (db) => {
    const insert = db.prepare('INSERT INTO Metric (key, value) VALUES (?, ?)');
    for (let row = 0; row < 3; row += 1) insert.run(`in the broken index ${row}`, row);
    db.exec(`CREATE INDEX "${index}" ON "Metric" ("value")`);
  });
  const entry = withSchema((db) => {
    const found = db.prepare('SELECT * FROM sqlite_schema WHERE name = ?').get(index);
    db.prepare('DELETE FROM sqlite_schema WHERE name = ?').run(index);
    return found;
  });
  withDatabase(file, (db) => db.exec('UPDATE Metric SET value = value + 1000'));
  withSchema((db) =>
    db
      .prepare('INSERT INTO sqlite_schema (type, name, tbl_name, rootpage, sql) VALUES (?, ?, ?, ?, ?)')
      .run(entry.type, entry.name, entry.tbl_name, entry.rootpage, entry.sql),
  );
}

const PRISMA_MIGRATIONS = `CREATE TABLE IF NOT EXISTS "_prisma_migrations" ("id" TEXT PRIMARY KEY NOT NULL,
  "checksum" TEXT NOT NULL, "finished_at" DATETIME, "migration_name" TEXT NOT NULL, "logs" TEXT,
  "rolled_back_at" DATETIME, "started_at" DATETIME NOT NULL DEFAULT current_timestamp,
  "applied_steps_count" INTEGER UNSIGNED NOT NULL DEFAULT 0)`;

/** Writes migrations down as Prisma does: `{ name: true }` finished, `{ name: false }` failed. */
function addMigrations(file, migrations) {
  withDatabase(file, (db) => {
    db.exec(PRISMA_MIGRATIONS);
    const insert = db.prepare(
      'INSERT INTO _prisma_migrations (id, checksum, finished_at, migration_name) VALUES (?, ?, ?, ?)',
    );
    for (const [name, finished] of Object.entries(migrations)) {
      insert.run(`id of ${name}`, `checksum of ${name}`, finished ? Date.now() : null, name);
    }
  });
}

module.exports = { breakIndex, addMigrations };
