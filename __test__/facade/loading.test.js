'use strict';

const { spawnSync } = require('node:child_process');
const { clearEnvironment } = require('../support/environment.js');
const { makeFolder, removeFolder } = require('../support/folders.js');
const fs = require('node:fs');
const path = require('node:path');

beforeEach(clearEnvironment);

test('requiring needs no configuration and the subpath exports the default instance', () => {
  const { snapshotWriter, SnapshotWriter, SnapshotError } = require('../../index.js');
  expect(snapshotWriter).toBeInstanceOf(SnapshotWriter);
  expect(require('../../snapshotWriter.cjs')).toBe(snapshotWriter);
  expect(new SnapshotError('X', 'y')).toBeInstanceOf(Error);
});

test('requiring and constructing neither make nor change a file', () => {
  const folder = makeFolder();
  process.env.DATABASE_URL = `file:${folder}/dev.db`;
  jest.isolateModules(() => {
    const { SnapshotWriter } = require('../../index.js');
    expect(new SnapshotWriter().snapshotDir).toBe(path.join(folder, 'backups'));
  });
  expect(fs.readdirSync(folder)).toEqual([]);
  removeFolder(folder);
});

test('no native addon is loaded into the application', () => {
  jest.isolateModules(() => require('../../index.js'));
  expect(Object.keys(require.cache).filter((file) => file.endsWith('.node'))).toEqual([]);
});

test('of packages it loads what it needs itself, and nothing that only the command line does', () => {
  const script = 'require(process.argv[1]); console.log(Object.keys(require.cache).join("\\n"))';
  const root = path.join(__dirname, '..', '..');
  const { stdout } = spawnSync(process.execPath, ['-e', script, root], { encoding: 'utf8' });
  const files = stdout.split('\n').filter(Boolean);
  expect(files).toContain(path.join(root, 'lib', 'snapshot-writer.js'));
  expect(files.filter((file) => file.startsWith(path.join(root, 'lib', 'cli')))).toEqual([]);
  const packages = files.map((file) => /node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(file)?.[1]).filter(Boolean);
  expect([...new Set(packages)].sort()).toEqual(['croner', 'fastest-levenshtein']);
});

test('properties follow the environment at each read', () => {
  const { snapshotWriter } = require('../../index.js');
  expect(snapshotWriter.snapshotDir).toBeNull();
  process.env.SNAPSHOT_DIR = 'some/where';
  expect(snapshotWriter.snapshotDir).toBe(path.resolve('some/where'));
  process.env.SNAPSHOT_DIR = '/else/where';
  expect(snapshotWriter.snapshotDir).toBe('/else/where');
});

test('constructor options win over the environment', () => {
  const { SnapshotWriter } = require('../../index.js');
  process.env.SNAPSHOT_DIR = '/from/environment';
  expect(new SnapshotWriter({ snapshotDir: '/from/option' }).snapshotDir).toBe('/from/option');
});

test('the constructor refuses a wrong option type', () => {
  const { SnapshotWriter } = require('../../index.js');
  expect(() => new SnapshotWriter({ lockTimeoutMs: 'soon' })).toThrow(
    expect.objectContaining({ name: 'SnapshotError', code: 'INVALID_ARGUMENT' }),
  );
});

describe('S3', () => {
  test.each([
    [{}, null],
    [{ S3_BUCKET: '' }, null],
    [{ S3_BUCKET: 'bucket' }, 'bucket'],
    [{ S3_BUCKET: 'bucket', S3_DISABLE: 'true' }, null],
    [{ S3_BUCKET: 'bucket', SNAPSHOT_S3_DISABLE: 'true' }, null],
    [{ S3_BUCKET: 'bucket', S3_DISABLE: 'false' }, 'bucket'],
  ])('the bucket for %j is %j', (environment, bucket) => {
    const { snapshotWriter } = require('../../index.js');
    Object.assign(process.env, environment);
    expect(snapshotWriter.s3Bucket).toBe(bucket);
    expect(snapshotWriter.s3Client === null).toBe(bucket === null);
  });

  test('the option s3: false switches a bucket of the environment off', () => {
    const { SnapshotWriter } = require('../../index.js');
    process.env.S3_BUCKET = 'bucket';
    expect(new SnapshotWriter({ s3: false }).s3Bucket).toBeNull();
  });
});

test('_generateTimestamp is an ISO time that fits a file name', () => {
  const { snapshotWriter } = require('../../index.js');
  expect(snapshotWriter._generateTimestamp()).toMatch(/^\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d-\d{3}Z$/);
});
