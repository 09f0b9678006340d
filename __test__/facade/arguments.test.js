'use strict';

const { SnapshotWriter } = require('../../index.js');
const { clearEnvironment } = require('../support/environment.js');
const { makeFolder, removeFolder, rejection, silent } = require('../support/folders.js');
const fs = require('node:fs');

let folder;
let writer;

beforeEach(() => {
  clearEnvironment();
  folder = makeFolder();
  process.env.DATABASE_URL = `file:${folder}/dev.db`;
  writer = new SnapshotWriter({ log: silent });
});

// Whatever was refused left nothing behind.
afterEach(() => {
  expect(fs.readdirSync(folder)).toEqual([]);
  removeFolder(folder);
});

const PREFIXES = [
  ['createSnapshot', 'Failed to create snapshot: '],
  ['restoreFromSnapshot', 'Failed to restore from snapshot: '],
  ['getSnapshot', 'Failed to get snapshot: '],
  ['verifySnapshot', 'Failed to verify snapshot: '],
  ['exportSnapshot', 'Failed to export snapshot: '],
  ['deleteSnapshot', 'Failed to delete snapshot: '],
];

test.each(PREFIXES)('%s rejects a name that is no string, and never throws', async (method, prefix) => {
  const promise = writer[method](42);
  expect(promise).toBeInstanceOf(Promise);
  const error = await rejection(promise);
  expect(error).toMatchObject({ name: 'SnapshotError', code: 'INVALID_ARGUMENT' });
  expect(error.message.startsWith(prefix)).toBe(true);
  expect(error.cause).toBeInstanceOf(Error);
});

test.each(PREFIXES)('%s rejects names that no repository could hold', async (method) => {
  for (const name of ['', 'a\0b', 'x'.repeat(201), '\ud800']) {
    expect(await rejection(writer[method](name))).toMatchObject({ code: 'SNAPSHOT_NAME_INVALID' });
  }
});

test('a restore without a name is refused', async () => {
  expect(await rejection(writer.restoreFromSnapshot())).toMatchObject({ code: 'INVALID_ARGUMENT' });
});

test('an unknown option is named, with the closest valid one', async () => {
  const error = await rejection(writer.createSnapshot('a', { lockTimeout: 5 }));
  expect(error.code).toBe('INVALID_ARGUMENT');
  expect(error.message).toMatch(/unknown option "lockTimeout"; did you mean "lockTimeoutMs"\?/);
});

test('an unknown option that resembles nothing gets no suggestion', async () => {
  const error = await rejection(writer.createSnapshot('a', { colourOfTheSky: 1 }));
  expect(error.message).toMatch(/unknown option "colourOfTheSky"$/);
});

test.each([
  ['lockTimeoutMs', -1],
  ['commitTimeoutMs', 1.5],
  ['maxWriterStallMs', '4000'],
  ['check', 'thorough'],
  ['catalogSize', 'big'],
  ['coreTables', []],
  ['coreTables', 'Reality'],
  ['postRestoreCommand', ['npx', 3]],
  ['databaseUrl', ''],
  ['snapshotDir', 7],
  ['s3', 'bucket'],
  ['s3', true],
  ['s3', ['bucket']],
  ['deleteGraceMs', -1],
  ['deleteGraceMs', '1 day'],
  ['signal', {}],
  ['onProgress', 'loud'],
  ['log', 'file'],
])('option %s = %j is refused by name', async (name, value) => {
  const error = await rejection(writer.createSnapshot('a', { [name]: value }));
  expect(error.code).toBe('INVALID_ARGUMENT');
  expect(error.message).toContain(`"${name}"`);
});

test.each(['text', 5, ['a'], true])('options that are %j are refused', async (options) => {
  expect(await rejection(writer.createSnapshot('a', options))).toMatchObject({ code: 'INVALID_ARGUMENT' });
});

test('level belongs to verifySnapshot alone', async () => {
  const wrong = await rejection(writer.verifySnapshot('a', { level: 'deep' }));
  expect(wrong.message).toContain('"level"');
  const misplaced = await rejection(writer.createSnapshot('a', { level: 'data' }));
  expect(misplaced.message).toContain('unknown option "level"');
});

test('tier belongs to the calls that read a snapshot', async () => {
  const calls = [
    (options) => writer.verifySnapshot('a', options),
    (options) => writer.restoreFromSnapshot('a', options),
    (options) => writer.exportSnapshot('a', 'file', options),
    (options) => writer.drill(options),
  ];
  for (const call of calls) {
    expect((await rejection(call({ tier: 'both' }))).message).toContain(`"tier" must be 'local' or 's3'`);
  }
  const misplaced = await rejection(writer.createSnapshot('a', { tier: 's3' }));
  expect(misplaced.message).toContain('unknown option "tier"');
});

test('a drill refuses what it cannot use, and the doctor an unknown option', async () => {
  for (const options of [{ maxDrift: 1.1 }, { assertionTimeoutMs: -1 }, { assertions: {} }, { name: 5 }]) {
    const error = await rejection(writer.drill(options));
    expect(error).toMatchObject({ code: 'INVALID_ARGUMENT' });
    expect(error.message).toContain(`Failed to drill: option "${Object.keys(options)[0]}" must be `);
  }
  expect(await rejection(writer.drill({ name: 'a\0b' }))).toMatchObject({ code: 'INVALID_ARGUMENT' });
  expect((await rejection(writer.doctor({ tier: 's3' }))).message).toContain('unknown option "tier"');
  const signal = AbortSignal.abort();
  expect(await rejection(writer.doctor({ signal }))).toMatchObject({ code: 'ABORTED' });
});

test('direction belongs to sync alone', async () => {
  const wrong = await rejection(writer.sync({ direction: 'sideways' }));
  expect(wrong.message).toBe(`Failed to sync: option "direction" must be 'up', 'down' or 'both'`);
  const misplaced = await rejection(writer.checkStorage({ direction: 'up' }));
  expect(misplaced.message).toBe('Failed to check storage: unknown option "direction"');
});

test('bootstrapDatabase resolves whatever is wrong', async () => {
  const { bootstrapped, snapshot, error, stack } = await writer.bootstrapDatabase({ nonsense: 1 });
  expect(bootstrapped).toBe(false);
  expect(snapshot).toBeUndefined();
  expect(error).toContain('unknown option "nonsense"');
  expect(stack).toContain('SnapshotError');
});

test('an export needs a path', async () => {
  expect(await rejection(writer.exportSnapshot('a', ''))).toMatchObject({ code: 'INVALID_ARGUMENT' });
});

test('an aborted signal is noticed before anything starts', async () => {
  const reason = new Error('changed my mind');
  const error = await rejection(writer.createSnapshot('a', { signal: AbortSignal.abort(reason) }));
  expect(error).toMatchObject({ code: 'ABORTED', cause: reason });
});
