'use strict';

// examples/express.cjs as it is started, asked over HTTP.

const assert = require('node:assert/strict');
const { spawn } = require('node:child_process');
const { once } = require('node:events');
const fs = require('node:fs');
const path = require('node:path');
const { test } = require('node:test');
const { countRows, createDatabase, insertRealities, withDatabase } = require('../support/database.js');
const { pauseAt } = require('../support/failpoints.js');
const { eventually, makeRig } = require('../support/rig.js');

const EXAMPLE = path.join(__dirname, '..', '..', 'examples', 'express.cjs');

/** Starts the example on a free port; `ask` resolves with status, body and headers. */
async function startServer(rig, environment = {}) {
  const child = spawn(process.execPath, [EXAMPLE], {
    env: {
      ...process.env,
      DATABASE_URL: `file:${rig.database}`,
      SNAPSHOT_DIR: rig.snapshotDir,
      PORT: '0',
      ...environment,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const exited = once(child, 'exit');
  rig.defer(async () => {
    child.kill('SIGKILL');
    await exited;
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text) => (output += text));
  const address = await eventually(() => /Listening on (\S+)/.exec(output)?.[1], 'the server to listen');
  const ask = async (method, url, body) => {
    const headers = body === undefined ? {} : { 'content-type': 'application/json' };
    const response = await fetch(address + url, { method, headers, body });
    return { status: response.status, body: await response.json(), headers: response.headers };
  };
  return { ask, exited, output: () => output, kill: (signal) => child.kill(signal) };
}

const rows = (rig) => countRows(rig.database, 'Reality');

test('the three routes', async (t) => {
  const rig = makeRig(t);
  createDatabase(rig.database);
  const { ask } = await startServer(rig);
  assert.deepEqual((await ask('GET', '/snapshots')).body, { snapshots: [] });

  const name = 'a b/ü:. 🦀';
  const created = await ask('POST', '/snapshots', JSON.stringify({ name }));
  assert.equal(created.status, 201);
  assert.deepEqual([created.body.snapshot.name, created.body.snapshot.status], [name, 'COMPLETED']);
  assert.match(created.body.snapshot.createdAt, /^\d{4}-\d\d-\d\dT.*Z$/);
  const unnamed = await ask('POST', '/snapshots');
  assert.match(unnamed.body.snapshot.name, /^snapshot_/);
  const listed = await ask('GET', '/snapshots');
  assert.deepEqual(
    listed.body.snapshots.map((snapshot) => snapshot.name),
    [unnamed.body.snapshot.name, name],
  );

  withDatabase(rig.database, (db) => insertRealities(db, 2));
  const restored = await ask('POST', `/snapshots/${encodeURIComponent(name)}/restore`);
  assert.equal(restored.status, 200);
  assert.equal(restored.body.snapshot.restoreStatus, 'SUCCESS');
  assert.equal(rows(rig), 3);
});

test('failures have a code and the status that fits', async (t) => {
  const rig = makeRig(t);
  createDatabase(rig.database);
  const server = await startServer(rig);
  const fails = async (status, code, ...request) => {
    const answer = await server.ask(...request);
    assert.deepEqual([answer.status, answer.body.error.code], [status, code], answer.body.error.message);
    assertTellsNoPath(answer, rig);
    return answer;
  };
  const body = (value) => JSON.stringify(value);
  await server.ask('POST', '/snapshots', body({ name: 'x' }));
  await fails(409, 'SNAPSHOT_EXISTS', 'POST', '/snapshots', body({ name: 'x' }));
  await fails(400, 'INVALID_ARGUMENT', 'POST', '/snapshots', body({ name: 5 }));
  await fails(400, 'SNAPSHOT_NAME_INVALID', 'POST', '/snapshots', body({ name: '' }));
  await fails(400, 'BAD_REQUEST', 'POST', '/snapshots', '{');
  const unknown = await fails(404, 'SNAPSHOT_NOT_FOUND', 'POST', '/snapshots/y/restore');
  assert.match(unknown.body.error.message, /Snapshot not found: y/);

  fs.rmSync(rig.database);
  await fails(500, 'DATABASE_NOT_FOUND', 'POST', '/snapshots');
  assert.match(server.output(), /DATABASE_NOT_FOUND/);
});

test('a busy repository is worth another try, and a signal lets a restore finish', async (t) => {
  const rig = makeRig(t);
  createDatabase(rig.database);
  await rig.writer.createSnapshot('x');
  withDatabase(rig.database, (db) => insertRealities(db, 2));
  const pause = pauseAt(rig, 'restore.before-begin');
  const first = await startServer(rig, pause.env);
  // The example's own writer waits a minute for the lock; the routes take any other.
  const impatient = await startImpatient(rig);
  const logged = t.mock.method(console, 'error', () => {});
  const restoring = first.ask('POST', '/snapshots/x/restore');
  await eventually(pause.isReached, 'the restore to begin');

  const busy = await impatient.ask('POST', '/snapshots');
  assert.deepEqual([busy.status, busy.body.error.code], [503, 'REPOSITORY_BUSY']);
  assertTellsNoPath(busy, rig);
  assert.equal(logged.mock.calls[0].arguments[0].code, 'REPOSITORY_BUSY', 'the log has the reason');
  assert.equal(busy.headers.get('retry-after'), '5');
  assert.equal((await impatient.ask('GET', '/snapshots')).status, 200, 'reading goes on');

  first.kill('SIGTERM');
  pause.release();
  assert.equal((await restoring).status, 200);
  assert.deepEqual(await first.exited, [0, null]);
  assert.equal(rows(rig), 3);
});

// Their messages are the engine's own words; how each comes about is tested elsewhere.
test('what names paths and processes of the host is for its log', async (t) => {
  const rig = makeRig(t);
  const logged = t.mock.method(console, 'error', () => {});
  let error;
  const server = await startRoutes(rig, { createSnapshot: () => Promise.reject(error) });
  for (const [code, status] of Object.entries({
    UNDO_CONFLICT: 409,
    UPLOAD_FAILED: 502,
    REPOSITORY_BUSY: 503,
    DATABASE_BUSY: 503,
    DATABASE_EXCLUSIVE: 503,
    WRITERS_TOO_BUSY: 503,
    REPOSITORY_FULL: 507,
    REPOSITORY_IO: 500,
  })) {
    const message = `${rig.database} is open in process ${process.pid} (node)`;
    error = Object.assign(new Error(message), { code });
    const answer = await server.ask('POST', '/snapshots');
    assert.deepEqual([answer.status, answer.body.error.code], [status, code]);
    assertTellsNoPath(answer, rig);
    assert.match(answer.body.error.message, /^[A-Z].*\.$/);
    assert.equal(logged.mock.calls.at(-1).arguments[0], error);
  }
});

function assertTellsNoPath({ body }, rig) {
  const { message } = body.error;
  assert.ok(!message.includes(rig.folder), `paths of the host are for its log: ${message}`);
  assert.ok(!/process|pid/i.test(message), `processes of the host are for its log: ${message}`);
}

/** The routes in this process, with a writer that does not wait. */
const startImpatient = (rig) => startRoutes(rig, rig.newWriter({ lockTimeoutMs: 100 }));

/** The routes in this process. */
async function startRoutes(rig, writer) {
  const express = require('express');
  const { snapshotRoutes } = require('../../examples/express.cjs');
  const server = express().use(snapshotRoutes(writer)).listen(0, '127.0.0.1');
  await once(server, 'listening');
  rig.defer(() => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  });
  return {
    ask: async (method, url) => {
      const response = await fetch(`http://127.0.0.1:${server.address().port}${url}`, { method });
      return { status: response.status, body: await response.json(), headers: response.headers };
    },
  };
}
