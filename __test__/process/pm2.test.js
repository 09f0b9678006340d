'use strict';

// Under a real PM2, as examples/ecosystem.config.cjs has it: one run per due time, and whenever PM2
// stops or kills what it has started, whole snapshots, no process and no lock are left.

const assert = require('node:assert/strict');
const { test } = require('node:test');
const { createDatabase } = require('../support/database.js');
const { pauseAt } = require('../support/failpoints.js');
const { makePm2 } = require('../support/pm2.js');
const { childrenOf, isAlive } = require('../support/processes.js');
const { assertAllVerify, eventually, makeRig } = require('../support/rig.js');
const { EVERY_SECOND, YEARLY, assertOneRunPerTick, ticksIn } = require('../support/scheduler.js');

function prepare(t) {
  const rig = makeRig(t);
  createDatabase(rig.database, { megabytes: 1 });
  return { rig, pm2: makePm2(rig) };
}

/** Nothing of these is left, every snapshot is whole, and the next one need not wait. */
async function assertNothingLeft(rig, processes, what) {
  await eventually(() => !processes.some(isAlive), `the end of ${what}`);
  await assertAllVerify(rig.writer);
  await rig.newWriter({ lockTimeoutMs: 0 }).createSnapshot('next');
}

test('started again and again by PM2: a run at once and one per due time', async (t) => {
  const { rig, pm2 } = prepare(t);
  await pm2.start('snapshot-cron', { cron_restart: '*/3 * * * * *' });
  await eventually(() => ticksIn(pm2.output()).length >= 3, 'three runs');
  await eventually(async () => (await pm2.instances())[0].status === 'stopped', 'the end of a run');
  await pm2.command('stop', 'snapshot-cron');
  const ticks = assertOneRunPerTick(pm2.output());
  assert.ok(
    ticks.every((tick) => new Date(tick).getSeconds() % 3 === 0),
    ticks.join(),
  );
  assert.doesNotMatch(pm2.output(), /ERROR|WARN/);
  await assertNothingLeft(rig, [], 'a run');
  assert.equal(pm2.output().match(/Snapshot created/g).length, ticks.length);
});

test('several instances that PM2 starts for one due time', async (t) => {
  const { rig, pm2 } = prepare(t);
  await pm2.start('snapshot-cron', { cron_restart: YEARLY, instances: 3, exec_mode: 'fork' });
  const idle = () => pm2.output().match(/Nothing to do/g)?.length;
  await eventually(() => idle() === 2, 'two instances with nothing to do');
  await pm2.command('restart', 'snapshot-cron');
  await eventually(() => idle() === 5, 'three more of them');
  assert.equal(ticksIn(pm2.output()).length, 1);
  assert.equal((await rig.writer.listSnapshots()).length, 1);
});

for (const exec_mode of ['fork', 'cluster']) {
  test(`two long-running instances (${exec_mode}): one snapshot per tick`, async (t) => {
    const { rig, pm2 } = prepare(t);
    await pm2.start('snapshot-daemon', { exec_mode, env: { SNAPSHOT_CRON_SCHEDULE: EVERY_SECOND } });
    await eventually(() => ticksIn(pm2.output()).length >= 5, 'five runs');
    const instances = await pm2.instances();
    assert.deepEqual(
      instances.map(({ status }) => status),
      ['online', 'online'],
    );
    await pm2.command('reload', 'snapshot-daemon');
    await pm2.command('stop', 'snapshot-daemon');
    assertOneRunPerTick(pm2.output());
    assert.equal(
      pm2.output().match(/ INFO Stopped\n/g).length,
      4,
      'each of them, before and after the reload',
    );
    assert.doesNotMatch(pm2.output(), /ERROR|WARN/);
    await assertNothingLeft(
      rig,
      instances.map(({ pid }) => pid),
      'the instances',
    );
  });
}

test('a drill that PM2 starts', async (t) => {
  const { rig, pm2 } = prepare(t);
  await rig.writer.createSnapshot('nightly');
  await pm2.start('snapshot-drill', {});
  await eventually(async () => (await rig.writer.drills()).length === 1, 'the drill');
  assert.equal((await rig.writer.drills())[0].outcome, 'passed');
  await eventually(async () => (await pm2.instances())[0].status === 'stopped', 'the end of the drill');
  assert.match(pm2.output(), /^PASSED/m);
});

const CRON = ['snapshot-cron', { cron_restart: YEARLY }];
const DAEMON = ['snapshot-daemon', { instances: 1 }];
const IMPATIENT_MS = 500;

for (const [command, [name, schedule], waits] of [
  ['stop', CRON, true],
  ['stop', DAEMON, false],
  ['kill', CRON, false],
  ['kill', DAEMON, true],
]) {
  const how = waits ? 'waits' : 'does not wait';
  test(`pm2 ${command} in the middle of a snapshot of ${name} ${how} for it`, async (t) => {
    const { rig, pm2 } = prepare(t);
    const pause = pauseAt(rig, 'create.captured');
    const env = { SNAPSHOT_CRON_SCHEDULE: YEARLY, ...pause.env };
    await pm2.start(name, { ...schedule, ...(!waits && { kill_timeout: IMPATIENT_MS }), env });
    await eventually(pause.isReached, 'the worker to be held');
    const [{ pid }] = await pm2.instances();
    const processes = [pid, ...childrenOf(pid), ...(command === 'kill' ? [pm2.pid()] : [])];

    const commanded = pm2.command(...(command === 'kill' ? ['kill'] : ['stop', name]));
    await eventually(() => pm2.output().includes('stopping after what is going on'), 'the signal');
    if (waits) pause.release();
    await commanded;
    // Killed with its tree, the worker is not there to be let go.
    await eventually(() => !processes.some(isAlive), `the end of ${processes}`);
    pause.release();
    assert.equal((await rig.writer.listSnapshots()).length, waits ? 1 : 0, pm2.output());
    await assertNothingLeft(rig, processes, name);
  });
}

test('when PM2 itself is killed, what it has started ends after its snapshot', async (t) => {
  const { rig, pm2 } = prepare(t);
  const pause = pauseAt(rig, 'create.captured');
  await pm2.start('snapshot-daemon', { instances: 1, env: { SNAPSHOT_CRON_SCHEDULE: YEARLY, ...pause.env } });
  await eventually(pause.isReached, 'the worker to be held');
  const [{ pid }] = await pm2.instances();
  const processes = [pid, ...childrenOf(pid)];
  process.kill(pm2.pid(), 'SIGKILL');
  pause.release();
  await eventually(() => !processes.some(isAlive), 'the scheduler to end by itself');
  assert.equal((await rig.writer.listSnapshots()).length, 1);
  await assertNothingLeft(rig, processes, 'the scheduler');
});
