'use strict';

// The façade against a stand-in for the worker. No engine is needed.

const fs = require('node:fs');
const path = require('node:path');
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

afterEach(() => {
  jest.useRealTimers();
  removeFolder(folder);
});

const writerWith = (body, options = {}) =>
  new SnapshotWriter({ nodePath: writeStandIn(folder, body), log: silent, ...options });

const RECORD = `{ id: 'i', name: 'n', createdAt: '2026-01-02T03:04:05.678Z',
  updatedAt: '2026-01-02T03:04:05.678Z', lastRestoredAt: null, size: 4096 }`;
const ANSWER = `send({ type: 'result', value: { snapshot: ${RECORD} } }); process.exit(0);`;

test('a result comes back with dates and a positive duration', async () => {
  const result = await writerWith(ANSWER).createSnapshot('n');
  expect(result).toMatchObject({ success: true, snapshot: { name: 'n', lastRestoredAt: null, size: 4096 } });
  expect(result.snapshot.createdAt).toEqual(new Date('2026-01-02T03:04:05.678Z'));
  expect(result.durationMs).toBeGreaterThan(0);
});

test('the job carries operation, version, configuration and arguments', async () => {
  const writer = writerWith(`send({ type: 'result', value: { ...job, empty: job } }); process.exit(0);`);
  const job = await writer.isDatabaseEmpty();
  expect(job).toMatchObject({ version: 1, operation: 'isDatabaseEmpty', args: {} });
  expect(job.config.databasePath).toBe(path.join(folder, 'dev.db'));
});

test('lists arrive in pages', async () => {
  const writer = writerWith(`send({ type: 'items', items: [${RECORD}, ${RECORD}] });
    send({ type: 'items', items: [${RECORD}] });
    send({ type: 'result', value: {} }); process.exit(0);`);
  const list = await writer.listSnapshots();
  expect(list.map((item) => item.createdAt)).toEqual(Array(3).fill(new Date('2026-01-02T03:04:05.678Z')));
});

test('frames cut at any byte are put together', async () => {
  const writer = writerWith(`
    const body = Buffer.from(JSON.stringify({ type: 'result', value: { checksum: 'é€😀' } }));
    const head = Buffer.alloc(4); head.writeUInt32LE(body.length);
    const bytes = Buffer.concat([head, body]);
    let at = 0;
    const next = () => { if (at === bytes.length) process.exit(0);
      fs.writeSync(1, bytes.subarray(at, ++at)); setTimeout(next, 2); };
    next();`);
  expect(await writer._generateChecksum('x')).toBe('é€😀');
});

test('an error keeps code and prefix, and its causes become a chain', async () => {
  const writer = writerWith(`send({ type: 'error', code: 'SNAPSHOT_NOT_FOUND',
    message: 'Snapshot not found: n', causes: ['outer', 'inner'] }); process.exit(0);`);
  const error = await rejection(writer.restoreFromSnapshot('n'));
  expect(error.message).toBe('Failed to restore from snapshot: Snapshot not found: n');
  expect(error.code).toBe('SNAPSHOT_NOT_FOUND');
  expect(error.cause.message).toBe('outer');
  expect(error.cause.cause.message).toBe('inner');
});

test('a crash is reported with its exit code and the end of its standard error', async () => {
  const writer = writerWith(
    `process.stderr.write('x'.repeat(20000) + 'the last words', () => process.exit(7));`,
  );
  const error = await rejection(writer.createSnapshot('n'));
  expect(error.code).toBe('WORKER_FAILED');
  expect(error.message).toContain('exit code 7');
  expect(error.cause.message).toMatch(/the last words$/);
  expect(error.cause.message.length).toBeLessThanOrEqual(8192);
});

test('a killed worker is reported with its signal', async () => {
  const error = await rejection(writerWith(`process.kill(process.pid, 'SIGKILL');`).createSnapshot('n'));
  expect(error).toMatchObject({ code: 'WORKER_FAILED', message: expect.stringContaining('SIGKILL') });
});

test('a worker that dies before it has read the job only rejects', async () => {
  const script = path.join(folder, 'dead');
  fs.writeFileSync(script, '#!/bin/sh\nexit 3\n', { mode: 0o755 });
  const error = await rejection(new SnapshotWriter({ nodePath: script }).createSnapshot('n'));
  expect(error).toMatchObject({ code: 'WORKER_FAILED', message: expect.stringContaining('exit code 3') });
});

test('something other than frames on standard output is a failure, not a hang', async () => {
  const writer = writerWith(`fs.writeSync(1, 'Hello, I am a banner'); setInterval(() => {}, 1000);`);
  expect(await rejection(writer.createSnapshot('n'))).toMatchObject({ code: 'WORKER_FAILED' });
});

test('a nodePath that does not exist rejects', async () => {
  const writer = new SnapshotWriter({ nodePath: path.join(folder, 'absent') });
  const error = await rejection(writer.createSnapshot('n'));
  expect(error.code).toBe('WORKER_FAILED');
  expect(error.cause.message).toContain('ENOENT');
});

test('an abort kills the worker and rejects after its end', async () => {
  const pidFile = path.join(folder, 'pid');
  const writer = writerWith(`process.on('SIGTERM', () => {});
    fs.writeFileSync(${JSON.stringify(pidFile)}, String(process.pid)); setInterval(() => {}, 1000);
    send({ type: 'progress', phase: 'read', done: 1, total: 2, unit: 'pages' });`);
  const controller = new AbortController();
  const reason = new Error('enough');
  const error = await rejection(
    writer.createSnapshot('n', { signal: controller.signal, onProgress: () => controller.abort(reason) }),
  );
  expect(error).toMatchObject({ code: 'ABORTED', cause: reason });
  expect(() => process.kill(Number(fs.readFileSync(pidFile)), 0)).toThrow(/ESRCH/);
});

test('a child of the worker that keeps its pipes open delays the answer only a little', async () => {
  const writer = writerWith(`require('node:child_process').spawn('sleep', ['20'], { stdio: 'inherit' });
    ${ANSWER}`);
  const { durationMs } = await writer.createSnapshot('n');
  expect(durationMs).toBeLessThan(10_000);
});

test('an abort after the answer changes nothing', async () => {
  const controller = new AbortController();
  const writer = writerWith(`send({ type: 'result', value: { snapshot: ${RECORD} } });
    send({ type: 'progress', phase: 'end', done: 1, total: 1, unit: 'x' }); setInterval(() => {}, 1000);`);
  const options = { signal: controller.signal, onProgress: () => controller.abort() };
  expect(await writer.createSnapshot('n', options)).toMatchObject({ success: true });
});

test('a listener of the application stays on its signal, ours goes', async () => {
  const { getEventListeners } = require('node:events');
  const controller = new AbortController();
  controller.signal.onabort = () => {};
  await writerWith(ANSWER).createSnapshot('n', { signal: controller.signal });
  expect(getEventListeners(controller.signal, 'abort')).toHaveLength(1);
});

describe('callbacks of the application', () => {
  const CHATTY = `send({ type: 'log', level: 'warn', message: 'careful', fields: { pages: 3 } });
    send({ type: 'log', level: 'debug', message: 'detail', fields: {} });
    send({ type: 'progress', phase: 'read', done: 1, total: 2, unit: 'pages' }); ${ANSWER}`;

  test('log and progress are relayed', async () => {
    const log = { warn: jest.fn(), debug: jest.fn() };
    const onProgress = jest.fn();
    await writerWith(CHATTY, { log, onProgress }).createSnapshot('n');
    expect(log.warn).toHaveBeenCalledWith('careful', { pages: 3 });
    expect(log.debug).toHaveBeenCalledWith('detail', {});
    expect(onProgress).toHaveBeenCalledWith({ phase: 'read', done: 1, total: 2, unit: 'pages' });
  });

  const refuse = () => Promise.reject(new Error('a logger that rejects'));
  const fail = () => {
    throw new Error('a logger that throws');
  };
  test.each([
    ['throw', { log: { warn: fail, debug: fail }, onProgress: fail }],
    ['reject', { log: { warn: refuse, debug: refuse }, onProgress: refuse }],
    ['are missing', { log: {} }],
  ])('that %s change no outcome', async (_, options) => {
    expect(await writerWith(CHATTY, options).createSnapshot('n')).toMatchObject({ success: true });
  });

  test('log is assignable, and console when unset', async () => {
    const writer = writerWith(CHATTY, { log: null });
    expect(writer.log).toBe(console);
    writer.log = { warn: jest.fn() };
    await writer.createSnapshot('n');
    expect(writer.log.warn).toHaveBeenCalledTimes(1);
  });
});

test.each(['modern', 'installed before the package is loaded'])(
  'fake timers (%s) do not matter',
  async (kind) => {
    jest.useFakeTimers();
    const script = writerWith(ANSWER);
    let writer = script;
    if (kind !== 'modern') {
      jest.isolateModules(() => {
        const { SnapshotWriter: Fresh } = require('../../index.js');
        writer = new Fresh({ nodePath: path.join(folder, 'stand-in'), log: silent });
      });
    }
    const { durationMs } = await writer.createSnapshot('n');
    expect(durationMs).toBeGreaterThan(0);
  },
);

test('the worker gets an environment of our choice', async () => {
  Object.assign(process.env, {
    NODE_OPTIONS: '--no-warnings',
    NODE_CHANNEL_FD: '3',
    pm_id: '0',
    AWS_REGION: 'eu-central-1',
    SNAPSHOT_WRITER_TEST: 'yes',
    APPLICATION_SECRET: 'hidden',
  });
  const writer = writerWith(`send({ type: 'result', value: { empty: process.env } }); process.exit(0);`);
  const environment = await writer.isDatabaseEmpty();
  for (const name of ['NODE_OPTIONS', 'NODE_CHANNEL_FD', 'pm_id', 'APPLICATION_SECRET']) {
    delete process.env[name];
    expect(environment).not.toHaveProperty(name);
  }
  expect(environment).toMatchObject({
    PATH: process.env.PATH,
    AWS_REGION: 'eu-central-1',
    SNAPSHOT_WRITER_TEST: 'yes',
  });
  expect(environment).not.toHaveProperty('DATABASE_URL');
});

test('a command after the restore finds the database by its absolute path', async () => {
  const body = `send({ type: 'result', value: { empty: process.env.DATABASE_URL } }); process.exit(0);`;
  const url = await writerWith(body, { postRestoreCommand: 'true' }).isDatabaseEmpty();
  expect(url).toBe(`file:${folder}/dev.db`);
});
