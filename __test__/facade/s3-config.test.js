'use strict';

// Where the bucket is: what an option, a variable or a switch says, and what is refused.

const { SnapshotWriter } = require('../../index.js');
const { resolveConfig } = require('../../lib/config.js');
const { clearEnvironment } = require('../support/environment.js');
const { makeFolder, removeFolder, rejection, silent } = require('../support/folders.js');
const { writeStandIn } = require('./stand-in.js');

let folder;

beforeEach(() => {
  clearEnvironment();
  // What a shell may have set, and what the test before has.
  for (const name of Object.keys(process.env)) {
    if (/^(AWS|S3)_/.test(name)) delete process.env[name];
  }
  folder = makeFolder();
  process.env.DATABASE_URL = `file:${folder}/dev.db`;
});

afterEach(() => removeFolder(folder));

const s3 = (option, notice) =>
  resolveConfig(option === undefined ? {} : { s3: option }, 'database', notice).s3;
const status = (options) => rejection(new SnapshotWriter({ log: silent, ...options }).status());

test('S3_BUCKET alone: the prefix of old, the rest is left to the SDK', () => {
  process.env.S3_BUCKET = 'bucket';
  expect(s3()).toEqual({
    bucket: 'bucket',
    prefix: 'snapshots/',
    region: null,
    endpoint: null,
    forcePathStyle: null,
  });
});

test('an option wins over its variable, and leaves the others to theirs', () => {
  Object.assign(process.env, { S3_BUCKET: 'b', S3_PREFIX: 'p', S3_FORCE_PATH_STYLE: 'true' });
  expect(s3({ bucket: 'mine' })).toMatchObject({ bucket: 'mine', prefix: 'p/', forcePathStyle: true });
  const all = {
    bucket: 'mine',
    prefix: 'mine/',
    region: 'eu-central-1',
    endpoint: 'http://127.0.0.1:8333',
    forcePathStyle: false,
  };
  expect(s3(all)).toEqual(all);
});

test('an object without a bucket anywhere is off', () => {
  expect(s3({ prefix: 'p/' })).toBeNull();
  expect(s3({ bucket: undefined })).toBeNull();
});

test('an object of a call replaces that of the constructor', async () => {
  const nodePath = writeStandIn(folder, 'answer({ empty: job.config.s3 });');
  const writer = new SnapshotWriter({ nodePath, s3: { bucket: 'first', prefix: 'first' } });
  expect(await writer.isDatabaseEmpty()).toMatchObject({ bucket: 'first', prefix: 'first/' });
  expect(await writer.isDatabaseEmpty({ s3: { bucket: 'second' } })).toMatchObject({
    bucket: 'second',
    prefix: 'snapshots/',
  });
  expect(await writer.isDatabaseEmpty({ s3: false })).toBeNull();
});

describe('the switches', () => {
  test.each(['S3_DISABLE', 'SNAPSHOT_S3_DISABLE'])('%s=true wins over everything', (name) => {
    process.env.S3_BUCKET = 'no bucket at all';
    process.env.S3_PREFIX = '../..';
    for (const value of ['true', 'TRUE', ' true\r']) {
      process.env[name] = value;
      expect(s3()).toBeNull();
      expect(s3({ bucket: 'bucket' })).toBeNull();
      expect(new SnapshotWriter({ s3: { bucket: 'bucket' } }).s3Bucket).toBeNull();
    }
  });

  test.each([false, null])('the option s3: %j wins over S3_BUCKET', (off) => {
    process.env.S3_BUCKET = 'bucket';
    expect(s3(off)).toBeNull();
  });

  test('another value than true or false leaves S3 on, and is said', () => {
    process.env.S3_BUCKET = 'bucket';
    const notices = [];
    for (const value of ['1', 'false', '']) {
      process.env.S3_DISABLE = value;
      expect(s3(undefined, (...notice) => notices.push(notice))).toMatchObject({ bucket: 'bucket' });
    }
    expect(notices).toEqual([['warn', expect.stringContaining('S3_DISABLE')]]);
  });
});

describe('the bucket', () => {
  const BAD = [
    's3://name',
    'name/folder',
    'na me',
    'name\n',
    '.name',
    'a:secret@b',
    'x'.repeat(256),
    'bücket',
  ];

  test.each(BAD)('%j is refused as a variable by every call, and not repeated', async (name) => {
    process.env.S3_BUCKET = name;
    const error = await status();
    expect(error.code).toBe('INVALID_ARGUMENT');
    expect(error.message).toMatch(/^Failed to read status: S3_BUCKET must be the bucket's name alone/);
    expect(`${error.message} ${error.stack}`).not.toContain(name);
    expect(await new SnapshotWriter({ log: silent }).bootstrapDatabase()).toMatchObject({
      bootstrapped: false,
      code: 'INVALID_ARGUMENT',
    });
  });

  test.each([...BAD, '', 7, null])('%j is refused as an option', (bucket) => {
    expect(() => new SnapshotWriter({ s3: { bucket } })).toThrow(
      expect.objectContaining({
        code: 'INVALID_ARGUMENT',
        message: expect.stringMatching(/^option "s3\.bucket" must be the bucket's name alone/),
      }),
    );
  });

  test.each(['my-bucket', 'My_Old.Bucket', 'b', '1a'])('%s is taken', (bucket) => {
    expect(s3({ bucket }).bucket).toBe(bucket);
  });
});

describe('the prefix', () => {
  test.each([
    ['app', 'app/'],
    ['app/', 'app/'],
    ['/app', 'app/'],
    ['a/b c/ü', 'a/b c/ü/'],
    ['..a/b..', '..a/b../'],
    ['/', ''],
  ])('%j becomes %j', (given, prefix) => {
    expect(s3({ bucket: 'b', prefix: given }).prefix).toBe(prefix);
    Object.assign(process.env, { S3_BUCKET: 'b', S3_PREFIX: given });
    expect(s3().prefix).toBe(prefix);
  });

  test('an empty option means none, an empty variable means the default', () => {
    expect(s3({ bucket: 'b', prefix: '' }).prefix).toBe('');
    Object.assign(process.env, { S3_BUCKET: 'b', S3_PREFIX: '' });
    expect(s3().prefix).toBe('snapshots/');
  });

  test.each(['..', 'a/../b', './a', 'a//b', 'a//', '//a', '//', 's3://b/p', 'a\tb', 'a\x7f', '\ud800'])(
    '%j is refused',
    async (prefix) => {
      const message = expect.stringContaining("must be folders such as 'snapshots/'");
      const s3 = { bucket: 'b', prefix };
      expect(() => new SnapshotWriter({ s3 })).toThrow(
        expect.objectContaining({ code: 'INVALID_ARGUMENT', message }),
      );
      Object.assign(process.env, { S3_BUCKET: 'b', S3_PREFIX: prefix });
      expect(await status()).toMatchObject({ code: 'INVALID_ARGUMENT', message });
    },
  );
});

describe('the endpoint', () => {
  test.each([
    ['https://s3.example.com', 'https://s3.example.com'],
    ['http://127.0.0.1:8333/', 'http://127.0.0.1:8333'],
    [' HTTPS://Host/storage/v1/s3 ', 'https://host/storage/v1/s3'],
  ])('%j becomes %j', (endpoint, url) => expect(s3({ bucket: 'b', endpoint }).endpoint).toBe(url));

  test.each([
    'https://user:s3cret@host',
    'https://s3cret@host',
    'https://host/?token=s3cret',
    'https://host/#s3cret',
    'ftp://s3cret',
    's3cret:9000',
    's3cret',
    '',
  ])('%j is refused and not repeated', (endpoint) => {
    const make = () => new SnapshotWriter({ s3: { bucket: 'b', endpoint } });
    expect(make).toThrow(/^option "s3\.endpoint" must be an http or https URL/);
    expect(make).not.toThrow(/s3cret/);
  });

  test.each(['AWS_ENDPOINT_URL', 'AWS_ENDPOINT_URL_S3'])('a password in %s is refused', async (name) => {
    Object.assign(process.env, { S3_BUCKET: 'b', [name]: 'https://user:s3cret@host' });
    const error = await status();
    expect(error).toMatchObject({ code: 'INVALID_ARGUMENT', message: expect.stringContaining(name) });
    expect(error.message).not.toContain('s3cret');
    process.env[name] = 'https://host';
    expect(s3().endpoint).toBeNull();
  });
});

test.each([
  ['true', true],
  ['False', false],
  ['', null],
])('S3_FORCE_PATH_STYLE=%s means %j', (text, value) => {
  Object.assign(process.env, { S3_BUCKET: 'b', S3_FORCE_PATH_STYLE: text });
  expect(s3().forcePathStyle).toBe(value);
});

test('S3_FORCE_PATH_STYLE that is neither is refused', async () => {
  Object.assign(process.env, { S3_BUCKET: 'b', S3_FORCE_PATH_STYLE: 'yes' });
  expect((await status()).message).toContain('S3_FORCE_PATH_STYLE must be true or false');
});

test.each([
  [{ region: 'eu/west' }, '"s3.region"'],
  [{ region: '' }, '"s3.region"'],
  [{ forcePathStyle: 'true' }, '"s3.forcePathStyle" must be true or false'],
  [{ buket: 'b' }, 'unknown option "s3.buket"; did you mean "bucket"?'],
  [{ colour: 1 }, /unknown option "s3.colour"$/],
  [{ secretAccessKey: 'x' }, 'unknown option "s3.secretAccessKey"; credentials are no options'],
])('the option s3: %j is refused', (s3, message) => {
  expect(() => new SnapshotWriter({ s3 })).toThrow(message);
});

test('wrong variables disturb neither loading nor constructing nor reading a property', () => {
  Object.assign(process.env, { S3_BUCKET: 's3://b', S3_PREFIX: '..', S3_FORCE_PATH_STYLE: 'maybe' });
  jest.isolateModules(() => {
    const { SnapshotWriter: Fresh } = require('../../index.js');
    const writer = new Fresh();
    expect(writer.s3Bucket).toBe('s3://b');
    expect(writer.s3Client).not.toBeNull();
    expect(writer.snapshotDir).toContain('backups');
  });
});

test('a call that needs no repository does not look at S3', async () => {
  process.env.S3_BUCKET = 's3://b';
  const nodePath = writeStandIn(folder, 'answer({ checksum: job.config.s3 });');
  expect(await new SnapshotWriter({ nodePath })._generateChecksum('x')).toBeNull();
});

test('the worker gets credentials from the environment, and never in its job', async () => {
  const secrets = {
    AWS_SECRET_ACCESS_KEY: 's3cret 1',
    AWS_SESSION_TOKEN: 's3cret 2',
    AWS_PROFILE: 's3cret 3',
  };
  Object.assign(process.env, secrets, { S3_BUCKET: 'b', AWS_ACCESS_KEY_ID: 's3cret 4' });
  const nodePath = writeStandIn(
    folder,
    'answer({ empty: { job, environment: process.env, argv: process.argv } });',
  );
  const { job, environment, argv } = await new SnapshotWriter({ nodePath }).isDatabaseEmpty();
  expect(environment).toMatchObject(secrets);
  expect(job.config.s3.bucket).toBe('b');
  expect(JSON.stringify([job, argv])).not.toContain('s3cret');
});

test('deleteGraceMs goes to the worker', () => {
  expect(resolveConfig({ deleteGraceMs: 0 }, 'database').deleteGraceMs).toBe(0);
});
