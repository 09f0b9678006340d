'use strict';

// Who has the database open, with which SQLite, and what that means.

const path = require('node:path');
const { count } = require('../words.js');
const { ok, warning, problem, unknown, list } = require('./findings.js');

/** Sources from this day on have the fix, in every line of releases that got it (3.51.3, 3.50.7, 3.44.6). */
const WAL_RESET_FIXED = '2026-03-03';
const WAL_RESET_FIXED_IN = [3, 51, 3];
const BACKPORTS = [
  [3, 50, 7],
  [3, 44, 6],
];
const OURS = /snapshot-writer\.[^/]*\.node$/;

function judgeProcesses(facts) {
  const { processes, database, sqlite } = facts;
  if (database?.value === undefined) return [];
  if (processes === undefined || processes === null) {
    return [
      unknown('processes', 'This system does not tell who has the database open (no /proc).'),
      versions([], sqlite, database.value.isWal),
    ];
  }
  return [
    whoHasItOpen(processes),
    copies(processes),
    versions(processes.holders, sqlite, database.value.isWal),
  ];
}

function whoHasItOpen({ holders, hidden, exclusive }) {
  const closed =
    hidden.length === 0
      ? ''
      : ` (${count(hidden.length, 'process', 'processes')} of its owner cannot be looked into)`;
  if (exclusive !== null) {
    return warning(
      'processes',
      `Process ${exclusive} keeps everybody else out at this moment${closed}.`,
      'A writer does so while it commits. If it stays: PRAGMA locking_mode=EXCLUSIVE must not be set.',
    );
  }
  if (holders.length === 0) return ok('processes', `Nobody has the database open${closed}.`);
  return ok('processes', `The database is open in ${list(holders.map(described))}${closed}.`);
}

function described({ pid, name, folder, connections, libraries }) {
  const where = folder === null ? '' : ` in ${folder}`;
  const using = libraries === null ? 'what it uses cannot be seen' : named(suspects(libraries));
  return `${name} (pid ${pid}${where}; ${count(connections, 'connection')}; ${using})`;
}

/**
 * Two copies in one process do not see each other's locks: when one closes the file, the system drops
 * those of the other one as well.
 */
function copies({ holders }) {
  const readable = holders.filter(({ libraries }) => libraries !== null);
  const doubled = readable.filter(({ libraries }) => suspects(libraries).length > 1);
  const certain = doubled.filter(({ connections }) => connections > 1);
  if (certain.length > 0) {
    return problem(
      'copies',
      `${list(certain.map(both))}, and the database is open more than once. When one of them closes it, the system drops the locks of the other, and writes get lost or corrupt the file.`,
      'Use one SQLite library for this database in that process; move the other one into a process of its own.',
    );
  }
  if (doubled.length > 0) {
    return warning(
      'copies',
      `${list(doubled.map(both))}. The database is open once at this moment, so only one of them uses it.`,
      'Never open this database with both: closing it in one drops the locks of the other.',
    );
  }
  if (readable.length < holders.length) {
    return unknown(
      'copies',
      'Some processes that have the database open cannot be looked into.',
      'Run this as root, or as their user.',
    );
  }
  return ok('copies', 'No process has two SQLite libraries and this database.');
}

const both = ({ pid, name, libraries }) =>
  `${name} (pid ${pid}) has ${suspects(libraries).length} SQLite libraries: ${list(suspects(libraries).map(file))}`;

/** The program's own copy (as in Node.js from 22.5 on) counts only where there is no other. */
function suspects(libraries) {
  const others = libraries.filter(({ isProgram }) => !isProgram);
  const counted = others.length > 0 ? others : libraries;
  return counted.toSorted((a, b) => (a.path < b.path ? -1 : 1));
}

const file = (library) => `${packageOf(library.path)}${version(library)}`;

/** The package that a library belongs to, or the name of the file. */
function packageOf(file) {
  const [, inside] = /.*\/node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(file) ?? [];
  return inside ?? path.basename(file);
}

function named(libraries) {
  if (libraries.length === 0) return 'an SQLite that cannot be seen';
  return list(
    libraries.map((library) => (OURS.test(library.path) ? 'a worker of snapshot-writer' : file(library))),
  );
}

function version({ version, sourceDate }) {
  if (version !== null) return ` with SQLite ${version}`;
  return sourceDate === null ? '' : ` with an SQLite of ${sourceDate}`;
}

function versions(holders, own, isWal) {
  const all = holders.flatMap(({ libraries }) => suspects(libraries ?? []));
  const seen = [...new Map(all.map((library) => [library.path, library])).values()];
  const bad = seen.filter((library) => isFixed(library) === false);
  const open = seen.filter((library) => isFixed(library) === null);
  if (bad.length > 0) {
    const which = `${list(bad.map(file))} ${bad.length === 1 ? 'has' : 'have'} the WAL-reset bug of SQLite before 3.51.3`;
    return isWal
      ? problem(
          'versions',
          `${which}, which can corrupt a database in WAL mode that several connections write to.`,
          UPGRADE,
        )
      : warning('versions', `${which}. It needs WAL mode, which this database is not in.`, UPGRADE);
  }
  const ours = `this package itself has SQLite ${own}`;
  if (open.length > 0) {
    return unknown(
      'versions',
      `The version of ${list(open.map(file))} cannot be seen; ${ours}.`,
      'Ask it: SELECT sqlite_version(). Before 3.51.3, WAL mode can corrupt the database.',
    );
  }
  if (seen.length === 0) return ok('versions', `No SQLite of others was seen; ${ours}.`);
  return ok('versions', `No version with a known corruption bug: ${list(seen.map(file))}; ${ours}.`);
}

const UPGRADE = 'Upgrade the package that it belongs to.';

/** Whether the WAL-reset bug is fixed in it; null when nobody can tell. */
function isFixed({ version, sourceDate }) {
  if (sourceDate !== null) return sourceDate >= WAL_RESET_FIXED;
  if (version === null) return null;
  const numbers = version.split('.').map(Number);
  const backport = BACKPORTS.find(([, minor]) => minor === numbers[1]);
  return compare(numbers, backport ?? WAL_RESET_FIXED_IN) >= 0;
}

function compare(a, b) {
  const different = a.findIndex((number, index) => number !== b[index]);
  return different < 0 ? 0 : a[different] - b[different];
}

module.exports = { judgeProcesses };
