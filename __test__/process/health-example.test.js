'use strict';

// The example for health and metrics answers over HTTP as monitors expect it.

const assert = require('node:assert/strict');
const { once } = require('node:events');
const fs = require('node:fs');
const path = require('node:path');
const { test } = require('node:test');
const { createDatabase } = require('../support/database.js');
const { samplesOf } = require('../support/health.js');
const { makeRig } = require('../support/rig.js');

/** The example as if it had just been started, on a database of its own. */
async function startExample(t, rig) {
  const before = { ...process.env };
  Object.assign(process.env, { DATABASE_URL: `file:${rig.database}`, SNAPSHOT_DIR: rig.snapshotDir });
  rig.defer(() => {
    for (const name of ['DATABASE_URL', 'SNAPSHOT_DIR']) {
      if (name in before) process.env[name] = before[name];
      else delete process.env[name];
    }
  });
  const file = require.resolve('../../examples/health.express.cjs');
  delete require.cache[file];
  const server = require(file).listen(0, '127.0.0.1');
  rig.defer(() => server.close());
  await once(server, 'listening');
  return (where) => fetch(`http://127.0.0.1:${server.address().port}${where}`);
}

test('/health is 200 when healthy, and tells of warnings', async (t) => {
  const rig = makeRig(t);
  createDatabase(rig.database);
  await rig.writer.createSnapshot('first');
  const get = await startExample(t, rig);
  const response = await get('/health');
  assert.equal(response.status, 200);
  const { healthy, verdict, checks } = await response.json();
  assert.deepEqual([healthy, verdict], [true, 'warning']);
  assert.ok(checks.some((check) => check.name === 'drill' && check.verdict === 'warning'));
});

test('/health is 503 when something is critical', async (t) => {
  const rig = makeRig(t);
  createDatabase(rig.database);
  const get = await startExample(t, rig);
  const response = await get('/health');
  assert.equal(response.status, 503);
  assert.equal((await response.json()).healthy, false);
});

test('/health is 500 when that cannot be found out', async (t) => {
  const rig = makeRig(t);
  createDatabase(rig.database);
  fs.mkdirSync(rig.snapshotDir);
  fs.writeFileSync(path.join(rig.snapshotDir, 'repository.json'), '{ "format": 999 }');
  const get = await startExample(t, rig);
  const response = await get('/health');
  assert.equal(response.status, 500);
  assert.equal((await response.json()).code, 'REPOSITORY_NEWER');
});

test('/metrics are text for Prometheus; many who ask at once are one question', async (t) => {
  const rig = makeRig(t);
  createDatabase(rig.database);
  await rig.writer.createSnapshot('first');
  const get = await startExample(t, rig);
  const responses = await Promise.all([get('/metrics'), get('/metrics'), get('/metrics')]);
  assert.equal(responses[0].headers.get('content-type'), 'text/plain; version=0.0.4; charset=utf-8');
  const texts = await Promise.all(responses.map((response) => response.text()));
  assert.equal(samplesOf(texts[0]).snapshot_created_total, 1);
  await rig.writer.createSnapshot('second');
  assert.equal(await (await get('/metrics')).text(), texts[0], 'remembered for a while');
});
