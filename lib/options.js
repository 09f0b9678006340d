'use strict';

const { distance } = require('fastest-levenshtein');
const { SnapshotError } = require('./errors.js');
const { RULES: S3 } = require('./s3-config.js');

// Beyond this many edits a suggestion is a guess.
const FARTHEST_SUGGESTION = 4;
const LONGEST_NAME = 200;
const CREDENTIAL = /accesskey|secret|token|credential|password|profile/i;

const isText = (value) => typeof value === 'string' && value.trim() !== '' && !value.includes('\0');
const isTextList = (value) => Array.isArray(value) && value.length > 0 && value.every(isText);
/** What `databaseId` and `SNAPSHOT_DATABASE_ID` may be. */
const DATABASE_ID = 'a name of 1 to 255 characters without control characters';
const isDatabaseId = (value) =>
  typeof value === 'string' && value.isWellFormed() && /^\P{Cc}{1,255}$/u.test(value) && value.trim() !== '';
const isBoolean = (value) => typeof value === 'boolean';
const isDuration = (value) => Number.isSafeInteger(value) && value >= 0;
const isObject = (value) => typeof value === 'object' && value !== null;
const orNull = (accepts) => (value) => value === null || accepts(value);
const oneOf =
  (...values) =>
  (value) =>
    values.includes(value);

// Duck-typed: a signal that comes out of Jest's sandbox is no instance of our AbortSignal.
const isSignal = (value) =>
  isObject(value) && typeof value.aborted === 'boolean' && typeof value.addEventListener === 'function';

/** What JSON carries as it is; the worker checks what it means. */
function isPlainList(value) {
  const isPlain = (field) => field === null || typeof field === 'string' || Number.isFinite(field);
  return Array.isArray(value) && value.every((one) => isObject(one) && Object.values(one).every(isPlain));
}

/** Every public option: what it accepts, how a refusal describes that, and the options inside it. */
const COMMON = {
  databaseUrl: [isText, 'a non-empty string'],
  databaseId: [isDatabaseId, DATABASE_ID],
  snapshotDir: [isText, 'a non-empty string'],
  s3: [
    (value) => value === false || value === null || (isObject(value) && !Array.isArray(value)),
    'an object, or false or null (off)',
    S3,
  ],
  lockTimeoutMs: [isDuration, 'a whole number of milliseconds'],
  commitTimeoutMs: [isDuration, 'a whole number of milliseconds'],
  maxWriterStallMs: [isDuration, 'a whole number of milliseconds'],
  check: [oneOf('none', 'quick', 'full'), "'none', 'quick' or 'full'"],
  catalogSize: [oneOf('clamped', 'exact'), "'clamped' or 'exact'"],
  coreTables: [isTextList, 'a non-empty array of table names'],
  postRestoreCommand: [
    orNull((value) => isText(value) || isTextList(value)),
    'a command line, an array of program and arguments, or null',
  ],
  postRestoreTimeoutMs: [isDuration, 'a whole number of milliseconds'],
  deleteGraceMs: [isDuration, 'a whole number of milliseconds'],
  trashGraceMs: [isDuration, 'a whole number of milliseconds'],
  nodePath: [isText, 'the path of a Node.js executable'],
  signal: [orNull(isSignal), 'an AbortSignal'],
  onProgress: [orNull((value) => typeof value === 'function'), 'a function'],
  log: [orNull((value) => isObject(value) || typeof value === 'function'), 'a logger object'],
};

/** Of calls that read a snapshot. */
const READ = {
  ...COMMON,
  tier: [oneOf('local', 's3'), "'local' or 's3'"],
};

const FORCE = { force: [isBoolean, 'true or false'] };

const RESTORE = { ...READ, ...FORCE, foreign: [isBoolean, 'true or false'] };

const BOOTSTRAP = { ...COMMON, ...FORCE };

const VERIFY = {
  ...READ,
  level: [oneOf('structure', 'data', 'database'), "'structure', 'data' or 'database'"],
};

const SYNC = {
  ...COMMON,
  direction: [oneOf('up', 'down', 'both'), "'up', 'down' or 'both'"],
};

const RECOVERY = {
  ...COMMON,
  recoveryDir: [isText, 'a non-empty string'],
};

const LIST = {
  ...COMMON,
  deleted: [isBoolean, 'true or false'],
};

/** Rules of retention. That they make sense is the engine's to say. */
const POLICY = {
  keepLast: [Number.isSafeInteger, 'a whole number'],
  keepHourly: [Number.isSafeInteger, 'a whole number'],
  keepDaily: [Number.isSafeInteger, 'a whole number'],
  keepWeekly: [Number.isSafeInteger, 'a whole number'],
  keepMonthly: [Number.isSafeInteger, 'a whole number'],
  keepYearly: [Number.isSafeInteger, 'a whole number'],
  keepWithin: [(value) => typeof value === 'string', 'a duration such as "7d"'],
};

const PRUNE = {
  ...READ,
  ...POLICY,
  dryRun: [isBoolean, 'true or false'],
  now: [isBoolean, 'true or false'],
};

const DRILL = {
  ...READ,
  name: [isText, 'the name of a snapshot'],
  assertions: [isPlainList, 'an array of { name, sql, equals | min | max } with strings and finite numbers'],
  assertionsFile: [isText, 'the path of a JSON file'],
  maxDrift: [(value) => typeof value === 'number' && value >= 0 && value <= 1, 'a number from 0 to 1'],
  assertionTimeoutMs: [isDuration, 'a whole number of milliseconds'],
};

/** Checks an options object and returns a copy of what was given (`undefined` means not given). */
function checkOptions(options, schema = COMMON) {
  if (options === undefined || options === null) {
    return {};
  }
  if (typeof options !== 'object' || Array.isArray(options)) {
    throw new SnapshotError('INVALID_ARGUMENT', 'options must be an object');
  }
  return checkEach(options, schema, '');
}

/** `path` leads to these options: empty, or `s3.`. */
function checkEach(options, schema, path) {
  const given = {};
  for (const [name, value] of Object.entries(options)) {
    if (!Object.hasOwn(schema, name)) {
      throw new SnapshotError('INVALID_ARGUMENT', `unknown option "${path}${name}"${hint(name, schema)}`);
    }
    if (value === undefined) {
      continue;
    }
    const [accepts, expected, inner] = schema[name];
    if (!accepts(value)) {
      throw new SnapshotError('INVALID_ARGUMENT', `option "${path}${name}" must be ${expected}`);
    }
    given[name] = inner && isObject(value) ? checkEach(value, inner, `${path}${name}.`) : value;
  }
  return given;
}

function hint(name, schema) {
  if (CREDENTIAL.test(name)) {
    return '; credentials are no options, the AWS SDK finds them (AWS_ACCESS_KEY_ID, AWS_PROFILE, a role, …)';
  }
  const farness = (valid) => distance(name.toLowerCase(), valid.toLowerCase());
  const closest = Object.keys(schema).reduce((best, next) => (farness(next) < farness(best) ? next : best));
  return farness(closest) <= FARTHEST_SUGGESTION ? `; did you mean "${closest}"?` : '';
}

/** Refuses what no repository could store, before a process is started for it. */
function checkName(name) {
  if (typeof name !== 'string') {
    throw new SnapshotError('INVALID_ARGUMENT', 'the name of a snapshot must be a string');
  }
  const fault = nameFault(name);
  if (fault) {
    throw new SnapshotError('SNAPSHOT_NAME_INVALID', `the name of a snapshot must not ${fault}`);
  }
}

function nameFault(name) {
  if (name === '') return 'be empty';
  if (name.includes('\0')) return 'hold a NUL character';
  if (!name.isWellFormed()) return 'hold half of a surrogate pair';
  if ([...name].length > LONGEST_NAME) return `be longer than ${LONGEST_NAME} characters`;
  return undefined;
}

/** Refuses a path that is no usable string. */
function checkPath(path, what) {
  if (!isText(path)) {
    throw new SnapshotError('INVALID_ARGUMENT', `${what} must be a path`);
  }
}

module.exports = {
  checkOptions,
  checkName,
  checkPath,
  DATABASE_ID,
  isDatabaseId,
  READ,
  RESTORE,
  BOOTSTRAP,
  VERIFY,
  SYNC,
  RECOVERY,
  LIST,
  PRUNE,
  POLICY,
  DRILL,
};
