'use strict';

// Where the bucket is, from the option `s3` and the environment. Credentials never come this way:
// the AWS SDK in the worker finds them, as it finds the region and the endpoint that are not given.

const { SnapshotError } = require('./errors.js');

const DEFAULT_PREFIX = 'snapshots/';
const SWITCHES = ['SNAPSHOT_S3_DISABLE', 'S3_DISABLE'];
const ENDPOINT_VARIABLES = ['AWS_ENDPOINT_URL_S3', 'AWS_ENDPOINT_URL'];

/**
 * What each setting may be, and how a refusal describes that. No refusal repeats the value:
 * who writes a whole URL where a name belongs may have put a password into it.
 */
const RULES = {
  bucket: [
    isBucket,
    "the bucket's name alone, of letters, digits, '.', '-' and '_'; " +
      'folders in it belong into S3_PREFIX, the address of a server into AWS_ENDPOINT_URL',
  ],
  prefix: [
    isPrefix,
    "folders such as 'snapshots/' ('/' for none), without control characters and without " +
      "an empty, '.' or '..' part between two '/'",
  ],
  region: [isRegion, "a region such as 'eu-central-1'"],
  endpoint: [
    isEndpoint,
    "an http or https URL such as 'https://s3.example.com', without user name, password, query and " +
      'fragment; the AWS SDK finds credentials by itself',
  ],
  forcePathStyle: [(value) => typeof value === 'boolean', 'true or false'],
};

/** The bucket that is configured, or null when S3 is off. Never throws: a property shows it. */
function currentBucket(options) {
  return whyOff(options) === undefined ? (options.s3?.bucket ?? process.env.S3_BUCKET) : null;
}

/** Why S3 is off, undefined when it is on. The switches win over all else: they are for emergencies. */
function whyOff({ s3 }) {
  const thrown = SWITCHES.find((name) => isWord(process.env[name], 'true'));
  if (thrown) return `${thrown} is true`;
  if (s3 === false || s3 === null) return `the option s3 is ${s3}`;
  return (s3?.bucket ?? process.env.S3_BUCKET) ? undefined : 'S3_BUCKET is not set';
}

/** The error of a call that cannot do without the bucket. */
function s3IsOff(options) {
  return new SnapshotError('S3_DISABLED', `this needs the bucket, and S3 is off: ${whyOff(options)}`);
}

/** The `s3` of a job's configuration; null when S3 is off. The option itself was checked before. */
function resolveS3(options, notice) {
  if (whyOff(options) !== undefined) {
    return null;
  }
  warnAboutSwitches(notice);
  const given = options.s3 ?? {};
  return {
    bucket: given.bucket ?? fromEnvironment('S3_BUCKET', 'bucket'),
    prefix: asPrefix(given.prefix ?? fromEnvironment('S3_PREFIX', 'prefix') ?? DEFAULT_PREFIX),
    region: given.region ?? null,
    endpoint: given.endpoint === undefined ? endpointOfTheSdk() : asEndpoint(given.endpoint),
    forcePathStyle:
      given.forcePathStyle ?? fromEnvironment('S3_FORCE_PATH_STYLE', 'forcePathStyle', asBoolean) ?? null,
  };
}

/** A checked variable; an empty one counts as not set. */
function fromEnvironment(variable, setting, parse = (text) => text) {
  const text = process.env[variable];
  if (text === undefined || text === '') {
    return undefined;
  }
  const [accepts, expected] = RULES[setting];
  const value = parse(text);
  if (!accepts(value)) {
    throw new SnapshotError('INVALID_ARGUMENT', `${variable} must be ${expected}`);
  }
  return value;
}

/** Somebody who writes S3_DISABLE=1 believes that S3 is off. */
function warnAboutSwitches(notice) {
  for (const name of SWITCHES) {
    const value = process.env[name] ?? '';
    if (value.trim() !== '' && !isWord(value, 'false')) {
      notice('warn', `${name} is neither true nor false, so S3 stays on; only true switches it off`);
    }
  }
}

/** Left to the SDK, once it is sure that messages about the endpoint can hold no password. */
function endpointOfTheSdk() {
  for (const name of ENDPOINT_VARIABLES) {
    const url = parseUrl(process.env[name]);
    if (url && hasUserInfo(url)) {
      throw new SnapshotError(
        'INVALID_ARGUMENT',
        `${name} must not hold a user name or a password; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY`,
      );
    }
  }
  return null;
}

// Looser than AWS is today: its oldest buckets and other providers have capitals and underscores.
function isBucket(value) {
  return typeof value === 'string' && /^[a-z0-9][a-z0-9._-]{0,254}$/i.test(value);
}

function isPrefix(value) {
  if (typeof value !== 'string' || !value.isWellFormed() || /\p{Cc}/u.test(value)) {
    return false;
  }
  const parts = value.replace(/^\//, '').replace(/\/$/, '').split('/');
  return value === '' || value === '/' || !parts.some((part) => ['', '.', '..'].includes(part));
}

function asPrefix(value) {
  const inner = value.replace(/^\//, '');
  return inner === '' || inner.endsWith('/') ? inner : `${inner}/`;
}

// It becomes part of a host name.
function isRegion(value) {
  return typeof value === 'string' && /^[\w.-]+$/.test(value);
}

function isEndpoint(value) {
  const url = parseUrl(value);
  return (
    url !== null &&
    /^https?:$/.test(url.protocol) &&
    !hasUserInfo(url) &&
    url.search === '' &&
    url.hash === ''
  );
}

function asEndpoint(value) {
  return parseUrl(value).href.replace(/\/$/, '');
}

function parseUrl(value) {
  return typeof value === 'string' && URL.canParse(value) ? new URL(value) : null;
}

function hasUserInfo({ username, password }) {
  return username !== '' || password !== '';
}

/** The value that a text means; the text itself when it means neither. */
function asBoolean(text) {
  if (isWord(text, 'true')) return true;
  return isWord(text, 'false') ? false : text;
}

function isWord(text, word) {
  return text?.trim().toLowerCase() === word;
}

module.exports = { RULES, currentBucket, resolveS3, s3IsOff, whyOff };
