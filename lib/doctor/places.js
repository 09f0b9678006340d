'use strict';

// Which places are meant, and why: database, repository, bucket. Looks at names only.

const path = require('node:path');
const { explainDatabase, findDatabaseId } = require('../config.js');
const { resolveS3, whyOff } = require('../s3-config.js');
const { ok, warning, problem, sentence } = require('./findings.js');

const SET_URL = 'Set DATABASE_URL to the SQLite file, such as file:./prisma/dev.db.';

/** Where everything is as far as that can be told, and the findings about it. */
function findPlaces(options) {
  const findings = [];
  const attempt = (check, find) => {
    try {
      return find((finding) => findings.push(finding));
    } catch (error) {
      // Only the configuration is at fault here.
      findings.push(problem(check, sentence(error.message), ADVICE[check]));
      return null;
    }
  };
  const databasePath = attempt('url', (add) => findDatabase(options, add));
  const databaseId = attempt('identity', () => findDatabaseId(options));
  const snapshotDir = attempt('folder', (add) => findFolder(options, databasePath, add));
  const s3 = attempt('bucket', (add) => findBucket(options, add));
  return { databasePath, databaseId, snapshotDir, s3, findings };
}

const ADVICE = {
  url: SET_URL,
  identity: 'Correct it, or unset it: then repository and path identify the database.',
  bucket: 'Correct the setting; S3_DISABLE=true works without the bucket meanwhile.',
};

function findDatabase(options, add) {
  const explained = explainDatabase(options);
  if (explained === null) {
    add(problem('url', 'Neither DATABASE_URL nor the option databaseUrl is set.', SET_URL));
    return null;
  }
  const { rule, chosen, other, source, path: real } = explained;
  const link = real === chosen ? '' : `, a link to ${real}`;
  const start = `${capital(source)} means ${chosen}${link}`;
  switch (rule) {
    case 'absolute':
      add(ok('url', `${start}: the path is absolute.`));
      break;
    case 'here':
      add(ok('url', `${start}: the path is relative to the working directory. (${other} does not exist.)`));
      break;
    case 'below prisma':
      add(
        warning(
          'url',
          `${start}: ${other}, the same below the working directory, does not exist.`,
          "Prisma's versions disagree about relative paths, and this depends on the working directory. Write an absolute path.",
        ),
      );
      break;
    default:
      add(
        warning(
          'url',
          `${start}, relative to the working directory. ${other} exists as well, and some versions of Prisma mean that one.`,
          'Write an absolute path, and look which of the two your application writes to.',
        ),
      );
  }
  return real;
}

function findFolder(options, databasePath, add) {
  const given = options.snapshotDir ?? (process.env.SNAPSHOT_DIR || undefined);
  if (given === undefined && databasePath === null) {
    add(problem('folder', 'Nothing says where the snapshots are.', 'Set DATABASE_URL, or SNAPSHOT_DIR.'));
    return null;
  }
  const folder = given === undefined ? path.join(path.dirname(databasePath), 'backups') : path.resolve(given);
  add(ok('folder', `Snapshots are in ${folder}: ${reason(options, given)}.`));
  return folder;
}

function reason(options, given) {
  if (given === undefined) return 'beside the database, because SNAPSHOT_DIR is not set';
  const source = options.snapshotDir === undefined ? 'SNAPSHOT_DIR' : 'the option snapshotDir';
  const base = path.isAbsolute(given) ? '' : ', relative to the working directory';
  return `${source} says so${base}`;
}

/** Findings about the bucket itself come from trying it out. */
function findBucket(options, add) {
  const s3 = resolveS3(options, (level, message) => {
    add(warning('bucket', sentence(message), 'Write true, or remove the variable.'));
  });
  if (s3 === null) {
    add(ok('bucket', `S3 is off: ${whyOff(options)}.`));
  }
  return s3;
}

const capital = (text) => text[0].toUpperCase() + text.slice(1);

module.exports = { findPlaces };
