'use strict';

// What the methods about the bucket ask of the worker and make of its answer, against a stand-in.

const fs = require('node:fs');
const path = require('node:path');
const {
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
} = require('@aws-sdk/client-s3');
const { SnapshotWriter } = require('../../index.js');
const { clearEnvironment } = require('../support/environment.js');
const { makeFolder, removeFolder, rejection, silent } = require('../support/folders.js');
const { writeStandIn } = require('./stand-in.js');

let folder;

beforeEach(() => {
  clearEnvironment();
  folder = makeFolder();
  process.env.DATABASE_URL = `file:${folder}/dev.db`;
});

afterEach(() => removeFolder(folder));

const writerWith = (body, options = {}) =>
  new SnapshotWriter({
    nodePath: writeStandIn(folder, body),
    log: silent,
    s3: { bucket: 'ours', prefix: 'p' },
    ...options,
  });

/** A writer whose worker answers with the job itself. */
const echo = (options) => writerWith('answer({ ...job, snapshot: job, items: [] });', options);

describe('sync and checkStorage', () => {
  test.each([
    [undefined, 'up'],
    [{ direction: 'down' }, 'down'],
    [{ direction: 'both', lockTimeoutMs: 5 }, 'both'],
  ])('sync(%j) goes %s', async (options, direction) => {
    expect(await echo().sync(options)).toMatchObject({ operation: 'sync', args: { direction } });
  });

  test('sync hands out what the worker did', async () => {
    const done = `{ uploaded: ['a'], downloaded: [], skipped: [{ name: 'b', reason: 'c' }],
      bytesUploaded: 5, bytesDownloaded: 0 }`;
    expect(await writerWith(`answer(${done})`).sync()).toEqual({
      uploaded: ['a'],
      downloaded: [],
      skipped: [{ name: 'b', reason: 'c' }],
      bytesUploaded: 5,
      bytesDownloaded: 0,
    });
  });

  test('checkStorage asks with the bucket of the configuration', async () => {
    const job = await echo().checkStorage();
    expect(job).toMatchObject({ operation: 'checkStorage', args: {} });
    expect(job.config.s3).toMatchObject({ bucket: 'ours', prefix: 'p/' });
  });

  test.each([
    ['sync', 'Failed to sync: '],
    ['checkStorage', 'Failed to check storage: '],
  ])('an error of %s has its prefix', async (method, prefix) => {
    const writer = writerWith(
      `send({ type: 'error', code: 'S3_UNREACHABLE', message: 'nobody there' }); process.exit(0);`,
    );
    const error = await rejection(writer[method]());
    expect(error).toMatchObject({ code: 'S3_UNREACHABLE', message: `${prefix}nobody there` });
  });

  test.each([
    [{ S3_DISABLE: 'true' }, {}, 'S3_DISABLE is true'],
    [{}, { s3: false }, 'the option s3 is false'],
    [{}, { s3: undefined }, 'S3_BUCKET is not set'],
  ])('with S3 off (%j, %j) both reject, saying why', async (environment, options, why) => {
    Object.assign(process.env, environment);
    const writer = echo(options);
    for (const method of ['sync', 'checkStorage']) {
      const error = await rejection(writer[method]());
      expect(error).toMatchObject({ code: 'S3_DISABLED', message: expect.stringContaining(why) });
    }
  });
});

describe('tier', () => {
  const CALLS = [
    ['verifySnapshot', (writer, options) => writer.verifySnapshot('a', options), { level: 'data' }],
    [
      'restoreFromSnapshot',
      async (writer, options) => (await writer.restoreFromSnapshot('a', options)).snapshot,
      {},
    ],
    [
      'exportSnapshot',
      (writer, options) => writer.exportSnapshot('a', '/out.db', options),
      { path: '/out.db' },
    ],
  ];

  test.each(CALLS)('%s passes it on when it is given', async (operation, call, args) => {
    expect(await call(echo())).toMatchObject({ operation, args: { name: 'a', ...args } });
    expect((await call(echo())).args).not.toHaveProperty('tier');
    for (const tier of ['local', 's3']) {
      expect((await call(echo(), { tier })).args).toEqual({ name: 'a', ...args, tier });
    }
  });

  test.each(CALLS)('%s: the bucket alone needs S3, the local repository does not', async (_, call) => {
    expect(await rejection(call(echo({ s3: null }), { tier: 's3' }))).toMatchObject({ code: 'S3_DISABLED' });
    expect((await call(echo({ s3: null }), { tier: 'local' })).args.tier).toBe('local');
  });
});

describe('s3Client', () => {
  const input = { Bucket: 'ours', Key: 'p/manifests/x.1' };
  const refusal = async (command) => {
    const error = await rejection(echo().s3Client.send(command));
    expect(error).toMatchObject({ name: 'SnapshotError', code: 'INVALID_ARGUMENT' });
    expect(error.message).toMatch(/^Failed to send command: this client cannot send that: /);
    return error.message;
  };

  test('is the same object at each read, and null when S3 is off', () => {
    const writer = echo();
    expect(writer.s3Client).toBe(writer.s3Client);
    process.env.S3_DISABLE = 'true';
    expect(writer.s3Client).toBeNull();
  });

  test('rejects when S3 was switched off after it was taken', async () => {
    const { s3Client } = echo();
    process.env.S3_DISABLE = 'true';
    expect(await rejection(s3Client.send(new DeleteObjectCommand(input)))).toMatchObject({
      code: 'S3_DISABLED',
    });
  });

  test('a delete is an operation of the worker and resolves as the SDK does', async () => {
    const seen = path.join(folder, 'seen');
    const writer = writerWith(`fs.writeFileSync('${seen}', JSON.stringify(job)); answer({});`);
    const { send } = writer.s3Client;
    expect(await send(new DeleteObjectCommand(input))).toEqual({ $metadata: { httpStatusCode: 204 } });
    expect(JSON.parse(fs.readFileSync(seen))).toMatchObject({
      operation: 'deleteObject',
      args: { key: input.Key },
    });
  });

  test('a head that finds the object resolves as the SDK does', async () => {
    const writer = writerWith(`if (job.operation !== 'headObject') process.exit(8);
      answer({ found: true, contentLength: 4096, lastModified: '2026-01-02T03:04:05.000Z', etag: '"e"',
        sha256: job.args.key === 'old' ? null : 'abc', name: 'n' });`);
    expect(await writer.s3Client.send(new HeadObjectCommand(input))).toEqual({
      $metadata: { httpStatusCode: 200 },
      ContentLength: 4096,
      LastModified: new Date('2026-01-02T03:04:05.000Z'),
      ETag: '"e"',
      Metadata: { sha256: 'abc' },
    });
    const old = await writer.s3Client.send(new HeadObjectCommand({ Bucket: 'ours', Key: 'old' }));
    expect(old.Metadata).toEqual({});
  });

  test('a head that finds nothing rejects as the SDK does', async () => {
    const writer = writerWith('answer({ found: false });');
    const error = await rejection(writer.s3Client.send(new HeadObjectCommand(input)));
    expect(error).toMatchObject({
      name: 'NotFound',
      code: 'SNAPSHOT_NOT_FOUND',
      $metadata: { httpStatusCode: 404 },
    });
    expect(error.constructor.name).toBe('SnapshotError');
  });

  test('an error of the worker keeps its code', async () => {
    const writer = writerWith(
      `send({ type: 'error', code: 'S3_UNSUPPORTED', message: 'no conditions' }); process.exit(0);`,
    );
    const error = await rejection(writer.s3Client.send(new DeleteObjectCommand(input)));
    expect(error).toMatchObject({
      code: 'S3_UNSUPPORTED',
      message: 'Failed to send command: no conditions',
    });
  });

  test.each([
    ['GetObjectCommand', new GetObjectCommand(input)],
    ['ListObjectsV2Command', new ListObjectsV2Command({ Bucket: 'ours' })],
    ['Object', {}],
    ['undefined', undefined],
    ['null', null],
    ['String', 'DeleteObjectCommand'],
    // A name that every object inherits.
    ['toString', new (class toString {})()],
  ])('%s is refused by its name, with what is served', async (name, command) => {
    const message = await refusal(command);
    expect(message).toContain('DeleteObjectCommand and HeadObjectCommand');
    expect(message).toContain(`not ${name}`);
  });

  test.each([
    [{ Bucket: 'theirs', Key: 'k' }, 'Bucket'],
    [{ Key: 'k' }, 'Bucket'],
    [undefined, 'Bucket'],
    [{ Bucket: 'ours' }, 'needs a Key'],
    [{ Bucket: 'ours', Key: '' }, 'needs a Key'],
    [{ Bucket: 'ours', Key: 7 }, 'needs a Key'],
    [{ ...input, VersionId: 'v' }, 'not VersionId'],
    [{ ...input, IfMatch: '"e"' }, 'not IfMatch'],
  ])('the input %j is refused', async (given, why) => {
    expect(await refusal(new DeleteObjectCommand(given))).toContain(why);
  });

  test('an input that is not given does not count', async () => {
    const writer = writerWith('answer({});');
    const command = new DeleteObjectCommand({ ...input, VersionId: undefined });
    expect(await writer.s3Client.send(command)).toEqual({ $metadata: { httpStatusCode: 204 } });
  });
});
