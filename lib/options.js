'use strict';

const { distance } = require('fastest-levenshtein');
const { SnapshotError } = require('./errors.js');

// Beyond this many edits a suggestion is a guess.
const FARTHEST_SUGGESTION = 4;
const LONGEST_NAME = 200;

const isText = (value) => typeof value === 'string' && value.trim() !== '' && !value.includes('\0');
const isTextList = (value) => Array.isArray(value) && value.length > 0 && value.every(isText);
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

/** Every public option: what it accepts and how a refusal describes that. */
const COMMON = {
  databaseUrl: [isText, 'a non-empty string'],
  snapshotDir: [isText, 'a non-empty string'],
  s3: [oneOf(false, null), 'false or null (this version stores locally only)'],
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
  nodePath: [isText, 'the path of a Node.js executable'],
  signal: [orNull(isSignal), 'an AbortSignal'],
  onProgress: [orNull((value) => typeof value === 'function'), 'a function'],
  log: [orNull((value) => isObject(value) || typeof value === 'function'), 'a logger object'],
};

const VERIFY = {
  ...COMMON,
  level: [oneOf('structure', 'data', 'database'), "'structure', 'data' or 'database'"],
};

/** Checks an options object and returns a copy of what was given (`undefined` means not given). */
function checkOptions(options, schema = COMMON) {
  if (options === undefined || options === null) {
    return {};
  }
  if (typeof options !== 'object' || Array.isArray(options)) {
    throw new SnapshotError('INVALID_ARGUMENT', 'options must be an object');
  }
  const given = {};
  for (const [name, value] of Object.entries(options)) {
    if (!Object.hasOwn(schema, name)) {
      throw new SnapshotError('INVALID_ARGUMENT', `unknown option "${name}"${suggestion(name, schema)}`);
    }
    if (value === undefined) {
      continue;
    }
    const [accepts, expected] = schema[name];
    if (!accepts(value)) {
      throw new SnapshotError('INVALID_ARGUMENT', `option "${name}" must be ${expected}`);
    }
    given[name] = value;
  }
  return given;
}

function suggestion(name, schema) {
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

module.exports = { checkOptions, checkName, checkPath, VERIFY };
