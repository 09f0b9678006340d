'use strict';

// What the command line prints about the bucket, made of values that a worker could have sent.

const { spawnSync } = require('node:child_process');
const path = require('node:path');
const commands = require('../../lib/cli/commands.js');
const storage = require('../../lib/cli/storage.js');
const { clearEnvironment } = require('../support/environment.js');
const { onTerminal, run, width } = require('../support/screens.js');

const CLI = path.join(__dirname, '..', '..', 'bin', 'snapshot-writer.cjs');

const SNAPSHOT = {
  name: 'scheduled_2026-01-02T03-04-05-678Z',
  kind: 'snapshot',
  status: 'COMPLETED',
  createdAt: new Date('2026-01-02T03:04:05Z'),
  size: 58_344_448,
  storedSize: 1_310_000,
  isEmpty: false,
  tiers: ['local', 's3'],
};

describe('list', () => {
  const list = (...snapshots) =>
    run(commands.list, { listSnapshots: async () => snapshots.map((one) => ({ ...SNAPSHOT, ...one })) });

  test.each([
    ['both', {}],
    ['local', { tiers: ['local'] }],
    ['s3', { tiers: ['s3'] }],
    ['none', { tiers: [] }],
    ['pending', { tiers: ['local'], status: 'PENDING' }],
  ])('says %s for %j', async (tier, snapshot) => {
    const { text } = await list(snapshot);
    const [head, row] = text.split('\n');
    expect(row.slice(head.indexOf('TIER')).split(' ')[0]).toBe(tier);
  });

  test.each([80, 120])('fits %d columns; a scheduled name takes one line', async (columns) => {
    const long = { name: 'x'.repeat(200), kind: 'safety' };
    const { text } = await onTerminal(columns, () => list({ tiers: ['local'], status: 'PENDING' }, long));
    expect(width(text)).toBeLessThanOrEqual(columns);
    expect(text).toContain(SNAPSHOT.name);
    expect(text.split('\n').length).toBeGreaterThan(columns === 80 ? 7 : 4);
  });

  test('keeps every row on its line through a pipe', async () => {
    const { text } = await list({ name: 'x'.repeat(200), kind: 'plain' });
    expect(text.split('\n')).toHaveLength(2);
  });
});

describe('show', () => {
  const show = async (snapshot) =>
    (await run(commands.show, { getSnapshot: async () => ({ ...SNAPSHOT, ...snapshot }) })).text;

  test('says where the snapshot is, and what is to do', async () => {
    expect(await show({})).toMatch(/^tier +local and s3$/m);
    expect(await show({ tiers: ['local'], status: 'PENDING' })).toMatch(/^tier +local; not yet .*sync/m);
  });

  test('counts no pages of an old plain file', async () => {
    expect(await show({ pageCount: null })).toMatch(/^size +58\.3 MB$/m);
    expect(await show({ pageCount: 3, pageSize: 512 })).toMatch(/^size +58\.3 MB \(3 pages of 512 bytes\)$/m);
  });
});

test.each([
  ['verify', 'verifySnapshot', { ok: true, problems: [] }],
  ['restore', 'restoreFromSnapshot', { snapshot: SNAPSHOT, durationMs: 1 }],
  ['exportFile', 'exportSnapshot', { path: '/x', size: 1, checksum: 'c' }],
])('%s hands --tier on', async (command, method, result) => {
  const writer = { [method]: jest.fn(async () => result) };
  await run(commands[command], writer, { tier: 's3' }, 'a', 'file');
  expect(writer[method].mock.calls[0].at(-1)).toMatchObject({ tier: 's3' });
});

describe('sync', () => {
  const sync = (done) => {
    const writer = {
      sync: jest.fn(async () => ({
        uploaded: [],
        downloaded: [],
        skipped: [],
        bytesUploaded: 0,
        bytesDownloaded: 0,
        ...done,
      })),
    };
    return run(storage.sync, writer, { direction: 'both' }).then((result) => ({ ...result, writer }));
  };

  test('lists what was moved and what was not', async () => {
    const { text, writer } = await sync({
      uploaded: ['a', 'b'],
      bytesUploaded: 1_310_000,
      downloaded: ['c'],
      bytesDownloaded: 12,
      skipped: [{ name: 'd', reason: 'a pack is missing' }],
    });
    expect(text).toBe(
      'Uploaded (1.31 MB):\n  a\n  b\nDownloaded (12 B):\n  c\nSkipped:\n  d: a pack is missing',
    );
    expect(writer.sync).toHaveBeenCalledWith({ direction: 'both' });
  });

  test('says so when there was nothing', async () => {
    expect((await sync({})).text).toBe('Nothing to do.');
  });
});

describe('check-storage', () => {
  const GOOD = {
    ok: true,
    bucket: 'backups',
    prefix: 'app/',
    endpoint: null,
    region: 'eu-central-1',
    credentials: 'environment',
    conditionalWrites: true,
    missingPermissions: [],
    checks: [
      { name: 'put', ok: true, required: true, detail: '', permission: 's3:PutObject' },
      { name: 'conditional put', ok: true, required: false, detail: '', permission: null },
    ],
  };
  const BAD = {
    ...GOOD,
    ok: false,
    missingPermissions: ['s3:PutObject', 's3:ListBucket', 's3:ListBucketMultipartUploads'],
    checks: [
      { name: 'put', ok: false, required: true, detail: 'refused '.repeat(20), permission: 's3:PutObject' },
      { name: 'conditional put', ok: false, required: false, detail: 'ignored', permission: null },
    ],
  };
  const check = (result) => run(storage.check, { checkStorage: async () => result });

  test('a good one ends with 0 and shows each check', async () => {
    const { text, exitCode } = await check(GOOD);
    expect(exitCode).toBe(0);
    expect(text).toMatch(/^put +ok$/m);
    expect(text).toMatch(/^endpoint +AWS$/m);
    expect(text).not.toMatch(/permission|conditional writes/i);
  });

  test('a bad one ends with 3, and says what failed and what is only missing', async () => {
    const { text, exitCode } = await check(BAD);
    expect(exitCode).toBe(3);
    expect(text).toMatch(/^put +FAILED +s3:PutObject: refused/m);
    expect(text).toMatch(/^conditional put +no +ignored$/m);
  });

  const policyIn = (text) => JSON.parse(text.slice(text.indexOf('{'), text.lastIndexOf('}') + 1));

  test('the missing permissions make a policy for bucket and prefix', async () => {
    expect(policyIn((await check(BAD)).text)).toEqual({
      Version: '2012-10-17',
      Statement: [
        {
          Effect: 'Allow',
          Action: ['s3:ListBucket', 's3:ListBucketMultipartUploads'],
          Resource: 'arn:aws:s3:::backups',
        },
        { Effect: 'Allow', Action: ['s3:PutObject'], Resource: 'arn:aws:s3:::backups/app/*' },
      ],
    });
  });

  test.each([
    ['cn-north-1', 'arn:aws-cn:s3:::backups/*'],
    ['us-gov-west-1', 'arn:aws-us-gov:s3:::backups/*'],
    [null, 'arn:aws:s3:::backups/*'],
  ])('in the region %s the resource is %s', async (region, resource) => {
    const { text } = await check({ ...BAD, region, prefix: '', missingPermissions: ['s3:GetObject'] });
    expect(policyIn(text).Statement).toEqual([
      { Effect: 'Allow', Action: ['s3:GetObject'], Resource: resource },
    ]);
  });

  test('missing conditional writes are explained, untested ones are not', async () => {
    expect((await check({ ...GOOD, conditionalWrites: false })).text).toContain('S3_UNSUPPORTED');
    expect((await check({ ...GOOD, conditionalWrites: null })).text).not.toContain('S3_UNSUPPORTED');
  });

  test('fits a terminal of 80 columns', async () => {
    const { text } = await onTerminal(80, () => check({ ...BAD, conditionalWrites: false }));
    expect(width(text)).toBeLessThanOrEqual(80);
  });
});

describe('the program', () => {
  beforeEach(clearEnvironment);
  const cli = (...args) =>
    spawnSync(process.execPath, [CLI, ...args], { encoding: 'utf8', env: process.env, input: '' });

  test.each(['sync', 'check-storage'])('%s says that S3 is off', (command) => {
    const { status, stdout } = cli(command, '--json', '--snapshot-dir', '/nowhere');
    expect(status).toBe(1);
    expect(JSON.parse(stdout).error).toMatchObject({
      code: 'S3_DISABLED',
      message: expect.stringContaining('S3_BUCKET is not set'),
    });
  });

  test('the help names the variables, in 80 columns', () => {
    const { stdout } = cli('--help');
    for (const name of ['S3_BUCKET', 'S3_PREFIX', 'S3_FORCE_PATH_STYLE', 'S3_DISABLE', 'AWS_ENDPOINT_URL']) {
      expect(stdout).toContain(name);
    }
    expect(width(stdout)).toBeLessThanOrEqual(80);
  });
});
