'use strict';

// The scheduler as real processes: one run, many at once, the long-running one, and what becomes of
// a run that was killed.

const assert = require('node:assert/strict');
const { execFileSync } = require('node:child_process');
const fs = require('node:fs');
const { test } = require('node:test');
const { createDatabase } = require('../support/database.js');
const { pauseAt, whilePaused } = require('../support/failpoints.js');
const { childrenOf, isAlive } = require('../support/processes.js');
const { assertAllVerify, eventually, makeRig, refused } = require('../support/rig.js');
const scheduling = require('../support/scheduler.js');

const { EVERY_SECOND, YEARLY, runScheduler, startScheduler, startedByPm2, ticksIn } = scheduling;

function prepare(t) {
  const rig = makeRig(t);
  createDatabase(rig.database);
  return rig;
}

const namesOf = async (rig) => (await rig.writer.listSnapshots()).map(({ name }) => name);

test('one run takes a snapshot, tells its record and keeps the newest', async (t) => {
  const rig = prepare(t);
  await rig.writer.createSnapshot('oldest');
  await rig.writer.createSnapshot('older');
  const { code, output } = await runScheduler(rig, [], { SNAPSHOT_KEEP_LAST: '2' });
  assert.equal(code, 0, output);

  const [snapshot, ...others] = await rig.writer.listSnapshots();
  assert.match(snapshot.name, /^scheduled_\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d-\d{3}Z$/);
  assert.deepEqual(
    others.map(({ name }) => name),
    ['older'],
  );
  for (const told of [snapshot.id, snapshot.name, String(snapshot.size), snapshot.checksum]) {
    assert.ok(output.includes(told), `${told} is in:\n${output}`);
  }
  assert.match(output, /Older snapshots removed \(names: oldest\)/);
  assert.ok(
    output
      .trim()
      .split('\n')
      .every((line) => /^\d{4}-\S+Z (INFO|WARN) /.test(line)),
    output,
  );
  await assertAllVerify(rig.writer);
});

test('what fails is told on standard error, and the exit code is 1', async (t) => {
  const rig = makeRig(t);
  for (const [args, variables, message] of [
    [[], {}, /ERROR .*does not exist/],
    [[], { SNAPSHOT_KEEP_DAILY: 'all' }, /ERROR SNAPSHOT_KEEP_DAILY must be a whole number/],
    [['--demon'], {}, /ERROR .*--demon/],
    [['--daemon'], { SNAPSHOT_CRON_SCHEDULE: '0 25 * * *' }, /ERROR SNAPSHOT_CRON_SCHEDULE .*hour: 25/],
    [['--daemon'], { SNAPSHOT_CRON_TZ: 'Berlin' }, /ERROR SNAPSHOT_CRON_TZ .*"Berlin"/],
    [['--daemon'], { SNAPSHOT_KEEP_WITHIN: '7' }, /ERROR SNAPSHOT_KEEP_WITHIN must be a number and a unit/],
    [['--daemon'], { DATABASE_URL: '' }, /ERROR DATABASE_URL is not set/],
  ]) {
    const { code, output } = await runScheduler(rig, args, variables);
    assert.equal(code, 1, output);
    assert.match(output, message);
    assert.doesNotMatch(output, /Taking snapshots on the schedule/);
  }
  assert.ok(!fs.existsSync(rig.snapshotDir), 'no repository was made');
});

test('of many processes that PM2 starts for one tick one takes the snapshot', async (t) => {
  const rig = prepare(t);
  const start = () => runScheduler(rig, [], startedByPm2(YEARLY));
  const together = await Promise.all(Array.from({ length: 5 }, start));
  const runs = [...together, await start()];
  for (const { code, output } of runs) assert.equal(code, 0, output);
  const idle = runs.filter(({ output }) => /Nothing to do: the run of .* by process \d+ on /.test(output));
  assert.equal(idle.length, 5);
  assert.equal((await namesOf(rig)).length, 1);
  // By hand there is always one.
  assert.equal((await runScheduler(rig)).code, 0);
  assert.equal((await namesOf(rig)).length, 2);
});

test('claims take turns, and whoever waited finds the run taken', async (t) => {
  const rig = prepare(t);
  const due = new Date('2026-01-02');
  // Known to the host from here on: the lock of the repository is not needed any more.
  await rig.writer.createSnapshot('before');
  const held = await whilePaused(
    rig,
    'claim.before-note',
    () => rig.writer._claimTick('0 0 * * *', due),
    async () => {
      const hasty = rig.newWriter({ lockTimeoutMs: 200 });
      delete process.env.SNAPSHOT_WRITER_FAILPOINT;
      await refused(hasty._claimTick('0 0 * * *', due), 'REPOSITORY_BUSY');
    },
  );
  assert.equal(held.value.claimed, true);
  assert.equal((await rig.writer._claimTick('0 0 * * *', due)).claimed, false);
});

test('databases in one repository keep schedules of their own', async (t) => {
  const rig = prepare(t);
  const other = rig.path('other', 'app.db');
  fs.mkdirSync(rig.path('other'));
  createDatabase(other);
  const pm2 = startedByPm2(YEARLY);
  await Promise.all([
    runScheduler(rig, [], pm2),
    runScheduler(rig, [], { ...pm2, DATABASE_URL: `file:${other}` }),
  ]);
  const instances = (await rig.writer.listSnapshots()).map(({ instance }) => instance);
  assert.equal(new Set(instances).size, 2);
});

test('two long-running ones take one snapshot per tick, and stop when they are told to', async (t) => {
  const rig = prepare(t);
  const variables = { SNAPSHOT_CRON_SCHEDULE: EVERY_SECOND, SNAPSHOT_KEEP_LAST: '3' };
  const both = [startScheduler(rig, ['--daemon'], variables), startScheduler(rig, ['--daemon'], variables)];
  const outputs = () => both.map(({ output }) => output());
  await eventually(() => outputs().flatMap(ticksIn).length >= 6, 'six ticks');
  both[0].kill('SIGTERM');
  both[1].kill('SIGINT');
  for (const { exited } of both)
    assert.deepEqual(await exited, { code: 0, signal: null }, outputs().join('\n'));
  scheduling.assertOneRunPerTick(...outputs());
  assert.ok(
    both.every(({ messages }) => messages.includes('ready')),
    'PM2 was told',
  );
  const names = await assertAllVerify(rig.writer);
  assert.ok(names.length <= 4, 'the newest 3, and one whose run was told to stop before it pruned');
});

test('a missed run is made up for once at the start', async (t) => {
  const rig = prepare(t);
  const startAndStop = async () => {
    const scheduler = startScheduler(rig, ['--daemon'], { SNAPSHOT_CRON_SCHEDULE: YEARLY });
    await eventually(() => /The next run is due at/.test(scheduler.output()), 'the start to be over');
    scheduler.kill('SIGTERM');
    assert.equal((await scheduler.exited).code, 0);
    return scheduler.output();
  };
  assert.equal(ticksIn(await startAndStop()).length, 1);
  assert.match(await startAndStop(), /Nothing to do: the run of \S+ was made by process/);
  assert.equal((await namesOf(rig)).length, 1);
});

test('a run that is killed gives up, is made up for once, and leaves no lock', async (t) => {
  const rig = prepare(t);
  const pm2 = startedByPm2(YEARLY);
  const killed = async () => {
    const pause = pauseAt(rig, 'create.captured');
    const scheduler = startScheduler(rig, [], { ...pm2, ...pause.env });
    await eventually(pause.isReached, 'the worker to be held');
    const [worker] = childrenOf(scheduler.pid);
    scheduler.kill('SIGKILL');
    await scheduler.exited;
    pause.release();
    fs.rmSync(`${rig.path('pause-create.captured')}.reached`);
    await eventually(() => !isAlive(worker), 'the worker to end by itself');
    return ticksIn(scheduler.output());
  };
  const [first, again] = [await killed(), await killed()];
  assert.equal(first.length, 1);
  assert.deepEqual(again, first);
  const third = await runScheduler(rig, [], pm2);
  assert.match(third.output, /Nothing to do/);
  assert.deepEqual(await namesOf(rig), []);
  assert.equal((await runScheduler(rig)).code, 0);
  await assertAllVerify(rig.writer);
});

for (const [how, ask] of [
  ['SIGINT', (scheduler) => scheduler.kill('SIGINT')],
  ['SIGTERM', (scheduler) => scheduler.kill('SIGTERM')],
  ["PM2's message", (scheduler) => scheduler.send('shutdown')],
]) {
  for (const args of [[], ['--daemon']]) {
    test(`${how} during a snapshot: ${args[0] ?? 'one run'} ends with 0 after it`, async (t) => {
      const rig = prepare(t);
      const { scheduler, pause } = await heldInSnapshot(rig, args);
      ask(scheduler);
      await eventually(() => scheduler.output().includes('stopping after what is going on'), 'the answer');
      // Ctrl-C comes twice at once when npm is in between.
      ask(scheduler);
      pause.release();
      assert.deepEqual(await scheduler.exited, { code: 0, signal: null }, scheduler.output());
      assert.equal((await assertAllVerify(rig.writer)).length, 1);
    });
  }
}

test('a second SIGINT ends it at once, and the worker gives up', async (t) => {
  const rig = prepare(t);
  const { scheduler, pause, worker } = await heldInSnapshot(rig, ['--daemon']);
  scheduler.kill('SIGINT');
  const again = setInterval(() => scheduler.kill('SIGINT'), 300);
  t.after(() => clearInterval(again));
  assert.deepEqual(await scheduler.exited, { code: 130, signal: null });
  pause.release();
  await eventually(() => !isAlive(worker), 'the worker to end by itself');
  assert.deepEqual(await namesOf(rig), []);
});

async function heldInSnapshot(rig, args) {
  const pause = pauseAt(rig, 'create.captured');
  const scheduler = startScheduler(rig, args, { SNAPSHOT_CRON_SCHEDULE: YEARLY, ...pause.env });
  await eventually(pause.isReached, 'the worker to be held');
  const [worker] = childrenOf(scheduler.pid);
  return { scheduler, pause, worker };
}

test('requiring it starts nothing, and an application can run it', async (t) => {
  const rig = prepare(t);
  const program = `
    const { main, runOnce, startDaemon } = require('snapshot-writer/runSnapshotCron.cjs');
    const stop = new AbortController();
    (async () => {
      const { ok, snapshot } = await runOnce({ keep: { keepLast: 1 } });
      const running = startDaemon({ schedule: '${YEARLY}', timezone: 'UTC', signal: stop.signal, onReady: () => stop.abort() });
      await running;
      process.stdout.write(JSON.stringify([typeof main, ok, snapshot.status]));
    })();`;
  const output = execFileSync(process.execPath, ['-e', program], {
    encoding: 'utf8',
    cwd: __dirname,
    env: scheduling.environmentOf(rig),
  });
  assert.ok(output.endsWith('["function",true,"COMPLETED"]'), output);
  assert.equal((await namesOf(rig)).length, 1);
});
