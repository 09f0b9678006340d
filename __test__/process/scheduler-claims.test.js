'use strict';

// Whatever becomes of a claim and of the process that made it: the run takes place.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { test } = require('node:test');
const { createDatabase } = require('../support/database.js');
const { pauseAt } = require('../support/failpoints.js');
const { asideOf } = require('../support/files.js');
const { childrenOf, isAlive } = require('../support/processes.js');
const { assertAllVerify, eventually, makeRig } = require('../support/rig.js');
const { YEARLY, runScheduler, startScheduler, startedByPm2, ticksIn } = require('../support/scheduler.js');

const PM2 = startedByPm2(YEARLY);

function prepare(t) {
  const rig = makeRig(t);
  createDatabase(rig.database);
  return { rig, claims: path.join(rig.snapshotDir, 'local', 'schedule.json') };
}

/** Starts a run whose worker stands at a step, does `meanwhile`, lets it go on, waits for the end of both. */
async function startHeldAt(rig, step, meanwhile) {
  const pause = pauseAt(rig, step);
  const scheduler = startScheduler(rig, [], { ...PM2, ...pause.env });
  await eventually(pause.isReached, `the worker to reach ${step}`);
  const [worker] = childrenOf(scheduler.pid);
  await meanwhile(scheduler);
  pause.release();
  fs.rmSync(`${rig.path(`pause-${step}`)}.reached`);
  const { code } = await scheduler.exited;
  await eventually(() => !isAlive(worker), 'the worker to end');
  return { code, output: scheduler.output() };
}

async function kill(scheduler) {
  scheduler.kill('SIGKILL');
  await scheduler.exited;
}

async function assertNextStartRuns(rig, variables = {}) {
  const { code, output } = await runScheduler(rig, [], { ...PM2, ...variables });
  assert.equal(code, 0, output);
  assert.equal(ticksIn(output).length, 1, output);
  assert.match((await runScheduler(rig, [], PM2)).output, /Nothing to do/);
  return output;
}

test('a scheduler that is killed while its claim waits has claimed nothing', async (t) => {
  const { rig, claims } = prepare(t);
  await startHeldAt(rig, 'job.start', kill);
  assert.ok(!fs.existsSync(claims), 'the worker gave up');
  await assertNextStartRuns(rig);
});

test('a run is cut off when its pid is another process by now, as that of a container is', async (t) => {
  const { rig, claims } = prepare(t);
  await startHeldAt(rig, 'create.captured', kill);
  const noted = JSON.parse(fs.readFileSync(claims));
  noted.claims[0].by.pid = process.pid;
  fs.writeFileSync(claims, JSON.stringify(noted));
  await assertNextStartRuns(rig);
});

test('a run that was stopped before its snapshot is made by the next start, however often', async (t) => {
  const { rig } = prepare(t);
  for (let stop = 1; stop <= 3; stop += 1) {
    const { code, output } = await startHeldAt(rig, 'claim.after-note', (scheduler) => {
      scheduler.kill('SIGTERM');
      return eventually(() => scheduler.output().includes('stopping after'), 'the answer');
    });
    assert.equal(code, 0, output);
    assert.match(output, /Stopped before the snapshot was begun; the next start makes up for it/);
  }
  await assertNextStartRuns(rig);
  assert.equal((await assertAllVerify(rig.writer)).length, 1);
});

test('claims that cannot be understood are set aside', async (t) => {
  const { rig, claims } = prepare(t);
  assert.equal((await runScheduler(rig, [], PM2)).code, 0);
  fs.writeFileSync(claims, '{"version":1,"cla');
  const output = await assertNextStartRuns(rig);
  assert.match(output, /WARN local\/schedule\.json cannot be understood and is kept as /);
  assert.equal(fs.readFileSync(asideOf(claims), 'utf8'), '{"version":1,"cla');
});

test('claims of a later version stay, and the run is made', async (t) => {
  const { rig, claims } = prepare(t);
  assert.equal((await runScheduler(rig)).code, 0);
  fs.writeFileSync(claims, '{"version":99,"claims":[]}');
  const { code, output } = await runScheduler(rig, [], PM2);
  assert.equal(code, 0, output);
  assert.match(output, /WARN Whether another process or host .*later version/);
  assert.equal((await assertAllVerify(rig.writer)).length, 2);
  assert.equal(fs.readFileSync(claims, 'utf8'), '{"version":99,"claims":[]}');
});

test('a database that is missing counts as a failed snapshot, also under PM2', async (t) => {
  const { rig } = prepare(t);
  assert.equal((await runScheduler(rig)).code, 0);
  fs.rmSync(rig.database);
  const { code, output } = await runScheduler(rig, [], PM2);
  assert.equal(code, 1, output);
  assert.match(output, /ERROR .*does not exist/);
  assert.match(await rig.writer.metrics(), /^snapshot_failed_total 1$/m);
});
