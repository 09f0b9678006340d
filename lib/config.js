'use strict';

// From options and environment to the configuration of one job.
//
// Nothing here opens the database: closing any descriptor of it would drop the locks that
// the application's own SQLite holds. Looking at names (`stat`, `readlink`) is harmless.

const fs = require('node:fs');
const path = require('node:path');
const { SnapshotError } = require('./errors.js');
const { resolveS3 } = require('./s3-config.js');

const DEFAULTS = {
  lockTimeoutMs: 60_000,
  commitTimeoutMs: 3_000,
  maxWriterStallMs: 4_000,
  check: 'quick',
  catalogSize: 'clamped',
  coreTables: ['Reality', 'RecursionPath', 'ConsciousnessField'],
  postRestoreTimeoutMs: 300_000,
  deleteGraceMs: 24 * 60 * 60 * 1000,
  trashGraceMs: 24 * 60 * 60 * 1000,
};

/**
 * The `config` of a job, in the worker's words.
 * `needs` says what the operation cannot do without: 'database', 'repository' or 'nothing'.
 */
function resolveConfig(options, needs, notice = () => {}) {
  const databasePath = findDatabase(options, needs === 'database', notice);
  const snapshotDir = findSnapshotDir(options, databasePath);
  if (snapshotDir === null && needs !== 'nothing') {
    throw missingUrl();
  }
  const s3 = needs === 'nothing' ? null : resolveS3(options, notice);
  const databaseLink = databasePath === null ? null : explainDatabase(options).chosen;
  return jobConfig(options, { databasePath, databaseLink, snapshotDir, s3 });
}

/** The `config` of a job about these places. */
function jobConfig(options, { databasePath, databaseLink = null, snapshotDir, s3 }) {
  const value = (name) => options[name] ?? DEFAULTS[name];
  return {
    databasePath,
    // As it was given: where it leads elsewhere by the time that something is overwritten, nothing is.
    databaseLink,
    // An operation that needs no repository does not look at it.
    snapshotDir: snapshotDir ?? process.cwd(),
    lockTimeoutMs: value('lockTimeoutMs'),
    commitTimeoutMs: value('commitTimeoutMs'),
    maxWriterStallMs: value('maxWriterStallMs'),
    check: value('check'),
    catalogSize: value('catalogSize'),
    coreTables: value('coreTables'),
    postRestore: postRestore(options.postRestoreCommand, value('postRestoreTimeoutMs')),
    s3,
    deleteGraceMs: value('deleteGraceMs'),
    trashGraceMs: value('trashGraceMs'),
  };
}

/** Where the repository is, or null when neither an option, nor the environment, nor a database says. */
function currentSnapshotDir(options) {
  try {
    return findSnapshotDir(
      options,
      findDatabase(options, false, () => {}),
    );
  } catch {
    return null;
  }
}

function postRestore(command, timeoutMs) {
  return command == null ? null : { command, timeoutMs, cwd: process.cwd() };
}

function findSnapshotDir(options, databasePath) {
  const given = options.snapshotDir ?? (process.env.SNAPSHOT_DIR || undefined);
  if (given !== undefined) {
    return path.resolve(given);
  }
  return databasePath === null ? null : path.join(path.dirname(databasePath), 'backups');
}

function findDatabase(options, required, notice) {
  const explained = explainDatabase(options);
  if (explained === null) {
    if (required) throw missingUrl();
    return null;
  }
  const { rule, chosen, other } = explained;
  if (rule === 'both') {
    notice('warn', `DATABASE_URL fits two files; using ${chosen}, not ${other}`);
  } else if (rule === 'below prisma') {
    notice('info', `DATABASE_URL is relative and ${other} does not exist; using ${chosen}`);
  }
  return explained.path;
}

/**
 * How the path of the database comes about: which `rule` chose the file, what was `chosen`, which
 * `other` file the URL fits as well, and the `path` without links. Null when nothing is set.
 */
function explainDatabase(options) {
  const url = (options.databaseUrl ?? process.env.DATABASE_URL ?? '').trim();
  if (url === '') {
    return null;
  }
  const choice = chooseFile(pathOfUrl(url));
  const source = options.databaseUrl === undefined ? 'DATABASE_URL' : 'the option databaseUrl';
  return { ...choice, source, path: canonical(choice.chosen) };
}

function missingUrl() {
  return new SnapshotError(
    'DATABASE_URL_MISSING',
    'DATABASE_URL is not set; set it to the SQLite file (file:./prisma/dev.db) or pass the option databaseUrl',
  );
}

/** The file path inside a URL. No message repeats the URL: that of a server may hold a password. */
function pathOfUrl(url) {
  // Two letters at least: `C:\data.db` is a path.
  const scheme = /^([a-z][a-z0-9+.-]+):/i.exec(url)?.[1].toLowerCase();
  if (scheme !== undefined && scheme !== 'file' && scheme !== 'sqlite') {
    throw unsupported(`the scheme "${scheme}" is not supported; only SQLite files (file: or sqlite:) are`);
  }
  const [location, query = ''] = splitOnce(scheme === undefined ? url : url.slice(scheme.length + 1), '?');
  if (location === ':memory:' || /(^|&)mode=memory(&|$)/.test(query)) {
    throw unsupported('an in-memory database cannot be reached from another process');
  }
  const file = scheme === undefined ? location : withoutAuthority(location);
  if (file === '' || file.includes('\0')) {
    throw unsupported('it names no file');
  }
  return file;
}

/** `//localhost/a` and `///a` are `/a`; any other host is somebody else's file. */
function withoutAuthority(location) {
  if (!location.startsWith('//')) {
    return location;
  }
  const [host, rest] = splitOnce(location.slice(2), '/');
  if (rest === undefined || (host !== '' && host.toLowerCase() !== 'localhost')) {
    throw unsupported(
      'a file URL with a host is not supported; write file:/absolute/path or file:./relative/path',
    );
  }
  return `/${rest}`;
}

function unsupported(why) {
  return new SnapshotError('DATABASE_URL_UNSUPPORTED', `DATABASE_URL cannot be used: ${why}`);
}

/**
 * Prisma's versions disagree about the folder that a relative path starts from; the application
 * means its working directory. Only where that has no such file, the one below `prisma/` counts.
 */
function chooseFile(file) {
  if (path.isAbsolute(file)) {
    return { rule: 'absolute', chosen: existingSpelling(file), other: null };
  }
  const here = existingSpelling(path.resolve(file));
  const below = existingSpelling(path.resolve('prisma', file));
  if (!fs.existsSync(below)) {
    return { rule: 'here', chosen: here, other: below };
  }
  return fs.existsSync(here)
    ? { rule: 'both', chosen: here, other: below }
    : { rule: 'below prisma', chosen: below, other: here };
}

/** Prisma takes a path as it is written, libSQL decodes `%20`: the spelling that exists is meant. */
function existingSpelling(file) {
  if (!file.includes('%') || fs.existsSync(file)) {
    return file;
  }
  try {
    const decoded = decodeURIComponent(file);
    return fs.existsSync(decoded) ? decoded : file;
  } catch {
    return file;
  }
}

/** Without symbolic links, as far as the path exists: two names of one database are one database. */
function canonical(file) {
  try {
    return fs.realpathSync(file);
  } catch (error) {
    const parent = path.dirname(file);
    if (error.code !== 'ENOENT' || parent === file) {
      return file;
    }
    return path.join(canonical(parent), path.basename(file));
  }
}

function splitOnce(text, separator) {
  const at = text.indexOf(separator);
  return at < 0 ? [text] : [text.slice(0, at), text.slice(at + separator.length)];
}

module.exports = { resolveConfig, jobConfig, explainDatabase, currentSnapshotDir };
