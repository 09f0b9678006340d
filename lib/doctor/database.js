'use strict';

// What the facts about the database mean.

const { size } = require('../words.js');
const { ok, warning, problem, judged, sentence, list } = require('./findings.js');
const { migrationsOnDisk, usesPrisma } = require('./prisma-project.js');

/** Above this, `Int` columns overflow. */
const LARGEST_INT = 2 ** 31 - 1;
/** A write-ahead log as large as this is not checkpointed. */
const LARGE_WAL = 256 * 1024 * 1024;

/** Codes that say that the file, by this name, is no sound database. */
const UNUSABLE = ['DATABASE_CORRUPT', 'DATABASE_INVALID', 'DATABASE_ALIASED', 'DATABASE_TRUNCATED'];
const ADVICE = {
  DATABASE_NOT_FOUND:
    'Correct DATABASE_URL, or run "snapshot-writer restore" or bootstrapDatabase() to bring it back.',
  UNSETTLED: 'Run "snapshot-writer create", which settles it first.',
  DATABASE_CORRUPT:
    'Stop the application and restore the newest snapshot that "snapshot-writer drill" passes.',
  DATABASE_ALIASED:
    'Set DATABASE_URL to the name that the application uses; in containers, mount the folder and not the file alone. If the -wal was deleted: "snapshot-writer rescue" before the application ends.',
  DATABASE_TRUNCATED:
    'Stop the application and copy the database and the files beside it; then run "snapshot-writer restore" or bootstrapDatabase(), which keep them aside.',
  DATABASE_INVALID: 'Correct DATABASE_URL; if it is the right file, restore a snapshot.',
};

function judgeDatabase(facts, { databasePath }, config) {
  const { database, content, leftBehind } = facts;
  const failure = database?.error ?? unusableIn(content?.error);
  return [
    failure ? unusable(failure) : judged('database', database, (look) => file(look, databasePath)),
    ...deleted(leftBehind ?? [], databasePath),
    judged('journal', database, journal),
    ...(database?.value ? names(database.value) : []),
    judged('catalog', content, ({ catalog }) => judgeCatalog(catalog)),
    ...(database?.value ? [clamped(database.value, content?.value?.catalog, config)].filter(Boolean) : []),
    judged('migrations', content, ({ migrations }) => judgeMigrations(migrations)),
  ];
}

/** What opening the database showed of the database itself; a lock, say, is not about that. */
function unusableIn(error) {
  return UNUSABLE.includes(error?.code) ? error : undefined;
}

function unusable({ code, message }) {
  return problem('database', sentence(message), ADVICE[code] ?? ADVICE.DATABASE_INVALID);
}

function file({ size: bytes, pageSize }, databasePath) {
  if (pageSize === null)
    return warning('database', `${databasePath} is empty: no table was ever made in it.`);
  return ok('database', `${databasePath}: ${size(bytes)} in pages of ${pageSize} bytes.`);
}

/** Whoever has a file open keeps it, whatever becomes of its name. */
function deleted(leftBehind, databasePath) {
  if (leftBehind.length === 0) return [];
  const who = list(leftBehind.map(({ pid, name }) => `${name} (pid ${pid})`));
  return [
    problem(
      'deleted',
      `${databasePath}, or the -wal beside it, was deleted or replaced under ${who}, which still writes into the old file. That is lost when the process ends.`,
      'Run "snapshot-writer rescue" now; then end or restart the process, and restore the rescued snapshot if it is the newer one.',
    ),
  ];
}

/** The WAL lies beside one of the names only. */
function names({ isWal, names }) {
  if (!isWal || !(names > 1)) return [];
  return [
    warning(
      'names',
      `The file has ${names} names (hard links) and is in WAL mode. SQLite finds the -wal beside the name that it was opened by.`,
      'Use one name for everything, and remove the others, or use a rollback journal.',
    ),
  ];
}

function journal({ pageSize, isWal, walSize, hasHotJournal }) {
  if (pageSize === null) return ok('journal', 'An empty file has no journal mode yet.');
  if (hasHotJournal) {
    return warning(
      'journal',
      'A transaction was cut off and waits to be rolled back.',
      'Start the application: SQLite rolls it back when the database is opened next. Do not delete the -journal file.',
    );
  }
  if (!isWal) {
    return ok(
      'journal',
      'Rollback journal: a snapshot keeps writers waiting for moments only, at most maxWriterStallMs.',
    );
  }
  if (walSize > LARGE_WAL) {
    return warning(
      'journal',
      `WAL: a snapshot keeps nobody waiting. The log has ${size(walSize)}, so nobody checkpoints it, or a reader prevents it.`,
      'Look for a connection with a transaction that never ends; then run PRAGMA wal_checkpoint(TRUNCATE).',
    );
  }
  return ok('journal', 'WAL: a snapshot keeps nobody waiting.');
}

function judgeCatalog({ isThere, faults, oddities }) {
  if (!isThere) {
    return warning(
      'catalog',
      'There is no Snapshot table, so snapshots are not listed in the database. They work all the same.',
      'Add the Snapshot model to the Prisma schema and migrate, or run the CREATE TABLE statements of the README.',
    );
  }
  if (faults.length > 0) {
    return problem(
      'catalog',
      `Rows of the Snapshot table cannot be written: ${list(faults)}.`,
      'Compare it with the Snapshot model in the README, and migrate.',
    );
  }
  if (oddities.length > 0) {
    return warning(
      'catalog',
      `The Snapshot table differs from the model: ${list(oddities)}.`,
      'Rows are written; Prisma may fail on them. Compare it with the model in the README, and migrate.',
    );
  }
  return ok('catalog', 'The Snapshot table is as in the model.');
}

/** Of interest from 2 GiB on: an Int cannot hold the size of such a database. */
function clamped({ size: bytes }, catalog, { catalogSize }) {
  if (bytes <= LARGEST_INT || !catalog?.isThere || !/^INT/.test(catalog.sizeType ?? '')) return null;
  return catalogSize === 'exact'
    ? warning(
        'size',
        `The database has ${size(bytes)}, and the column size is an Int: clients before Prisma 7 fail on its rows.`,
        'Make size a BigInt in the model, use Prisma 7, or leave catalogSize at "clamped".',
      )
    : warning(
        'size',
        `The database has ${size(bytes)}; the rows say ${LARGEST_INT} bytes, the largest Int.`,
        'Make size a BigInt in the model, or set catalogSize to "exact" with Prisma 7. Results are always exact.',
      );
}

function judgeMigrations({ isKept, hasTables, applied, failed }) {
  if (failed.length > 0) {
    return problem(
      'migrations',
      `${list(failed)} began and did not finish; prisma migrate deploy refuses to go on (P3009).`,
      `Look what it changed, then: npx prisma migrate resolve --rolled-back ${failed[0]} (or --applied).`,
    );
  }
  if (!isKept) {
    if (!usesPrisma())
      return ok('migrations', 'Prisma keeps no migrations here, and no Prisma schema was found.');
    return hasTables
      ? warning(
          'migrations',
          'There are tables, and no history of migrations: prisma migrate deploy will refuse the database (P3005).',
          'Baseline it: npx prisma migrate resolve --applied <each migration that the tables already have>.',
        )
      : ok('migrations', 'No table and no migration yet: prisma migrate deploy can begin.');
  }
  const count = Object.keys(applied).length;
  const pending = migrationsOnDisk().filter((name) => !(name in applied));
  if (pending.length > 0) {
    return warning(
      'migrations',
      `${count} applied; ${list(pending)} in prisma/migrations ${pending.length === 1 ? 'is' : 'are'} not.`,
      'Take a snapshot, then: npx prisma migrate deploy.',
    );
  }
  return ok('migrations', `${count} applied, none failed.`);
}

module.exports = { judgeDatabase };
