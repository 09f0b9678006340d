'use strict';

// Real processes: the permission model, a missing addon, signals, the end of the application.

const { spawnSync, spawn } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { SnapshotWriter } = require('../../index.js');
const { clearEnvironment } = require('../support/environment.js');
const { makeFolder, removeFolder, rejection, silent } = require('../support/folders.js');

const PACKAGE = path.join(__dirname, '..', '..');
const PERMISSION =
  Number(process.versions.node.split('.')[0]) < 23 ? '--experimental-permission' : '--permission';

let folder;

beforeEach(() => {
  clearEnvironment();
  folder = makeFolder();
  process.env.DATABASE_URL = `file:${folder}/dev.db`;
});

afterEach(() => {
  delete process.env.SNAPSHOT_WRITER_FAILPOINT;
  removeFolder(folder);
});

/** Runs a script in a Node.js of its own and returns what it printed as JSON. */
function runNode(flags, source) {
  const script = `const { snapshotWriter } = require(${JSON.stringify(PACKAGE)});
    const report = (value) => console.log(JSON.stringify(value));
    const failed = (error) => report({ code: error.code, message: error.message });
    ${source}`;
  const { stdout, stderr } = spawnSync(process.execPath, [...flags, '-e', script], {
    encoding: 'utf8',
    env: process.env,
  });
  try {
    return JSON.parse(stdout);
  } catch {
    throw new Error(`no JSON: ${stdout}${stderr}`);
  }
}

test('under the permission model the error names the flags', () => {
  const flags = [PERMISSION, '--allow-fs-read=*'];
  const error = runNode(flags, `snapshotWriter.createSnapshot('a').catch(failed);`);
  expect(error.code).toBe('WORKER_NOT_ALLOWED');
  for (const flag of ['--allow-child-process', '--allow-addons', '--allow-fs-read']) {
    expect(error.message).toContain(flag);
  }
});

test('under the permission model bootstrapDatabase still resolves', () => {
  const result = runNode(
    [PERMISSION, '--allow-fs-read=*'],
    'snapshotWriter.bootstrapDatabase().then(report);',
  );
  expect(result).toMatchObject({ bootstrapped: false, code: 'WORKER_NOT_ALLOWED' });
});

test('a package without its addon says which platform is missing', async () => {
  // A copy of the worker whose folder has everything but the addon.
  const copy = path.join(folder, 'package');
  fs.mkdirSync(path.join(copy, 'lib'), { recursive: true });
  for (const file of ['worker.cjs', 'native.js', 'package.json', 'lib/frames.js']) {
    fs.copyFileSync(path.join(PACKAGE, file), path.join(copy, file));
  }
  const { stdout } = spawnSync(process.execPath, [path.join(copy, 'worker.cjs')]);
  const frame = JSON.parse(stdout.subarray(4).toString());
  expect(frame).toMatchObject({ type: 'error', code: 'WORKER_FAILED' });
  expect(frame.message).toContain(`${process.platform}-${process.arch}`);
});

test('a worker that is killed rejects the promise, and the application goes on', async () => {
  process.env.SNAPSHOT_WRITER_FAILPOINT = 'job.start=kill';
  const error = await rejection(new SnapshotWriter({ log: silent }).createSnapshot('a'));
  expect(error).toMatchObject({ code: 'WORKER_FAILED', message: expect.stringContaining('SIGKILL') });
});

test('an abort ends a paused worker', async () => {
  const gate = path.join(folder, 'gate');
  fs.writeFileSync(gate, '');
  process.env.SNAPSHOT_WRITER_FAILPOINT = `job.start=pause:${gate}`;
  const promise = new SnapshotWriter({ log: silent }).createSnapshot('a', {
    signal: AbortSignal.timeout(500),
  });
  const error = await rejection(promise);
  expect(error.code).toBe('ABORTED');
  expect(error.cause.name).toBe('TimeoutError');
});

test.each(['SIGINT', 'SIGTERM'])('the worker outlives %s', async (signal) => {
  const worker = spawn(process.execPath, [path.join(PACKAGE, 'worker.cjs')], { stdio: 'pipe' });
  // Time to start; without a job it waits on its standard input.
  await new Promise((resolve) => setTimeout(resolve, 1000));
  worker.kill(signal);
  await new Promise((resolve) => setTimeout(resolve, 300));
  expect(worker.exitCode ?? worker.signalCode).toBeNull();
  worker.stdin.end();
  const [code, killedBy] = await new Promise((resolve) => worker.on('close', (...end) => resolve(end)));
  expect(killedBy).toBeNull();
  expect(code).toBe(2);
});
