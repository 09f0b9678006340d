'use strict';

// Several hosts with one bucket: of all their schedulers one makes a run.

const assert = require('node:assert/strict');
const path = require('node:path');
const { after, before, describe, test } = require('node:test');
const { createDatabase } = require('../support/database.js');
const { withFailpoint } = require('../support/failpoints.js');
const { makeS3Rig, assertTiersVerify, settled } = require('../support/s3.js');
const { errorAnswer } = require('../support/s3-proxy.js');
const { startWeed } = require('../support/s3-servers.js');
const { EVERY_SECOND, YEARLY, ...scheduling } = require('../support/scheduler.js');
const { eventually, refused } = require('../support/rig.js');
const { runOnce } = require('../../runSnapshotCron.cjs');

const { runScheduler, startScheduler, startedByPm2, ticksIn } = scheduling;
const TICKS = ['2026-03-01T06:00:00Z', '2026-03-01T12:00:00Z', '2026-03-01T18:00:00Z'].map(
  (at) => new Date(at),
);
const CLAIMS = /schedule\.json/;

describe('hosts with one bucket', () => {
  let server;
  before(async () => (server = await startWeed()));
  after(() => server.stop());

  /** Two hosts with one database, which a configured name tells. */
  async function prepare(t) {
    const one = await makeS3Rig(t, server);
    const other = one.host('other');
    for (const host of [one, other]) createDatabase(host.database);
    return [one, other];
  }

  const claim = async (host, due) => (await host.writer._claimTick('0 */6 * * *', due)).claimed;

  test('that are all new and start at once: one makes the run, also after it is over', async (t) => {
    const hosts = await prepare(t);
    const start = (host) => runScheduler(host, [], startedByPm2(YEARLY));
    const runs = await Promise.all([...hosts, ...hosts].map(start));
    for (const host of hosts) runs.push(await start(host));
    for (const { code, output } of runs) assert.equal(code, 0, output);
    assert.equal(runs.filter(({ output }) => output.includes('Nothing to do')).length, 5);
    assert.equal(scheduling.assertOneRunPerTick(...runs.map(({ output }) => output)).length, 1);

    const [snapshot, ...others] = await assertTiersVerify(hosts[0]);
    assert.deepEqual(others, []);
    // They have found each other: what the other host stores is of the same database.
    await hosts[1].writer.createSnapshot('by hand');
    assert.equal((await hosts[1].writer.getSnapshot('by hand')).lineage, snapshot.lineage);
  });

  test('that run all the time: one snapshot per tick, and when one stops the other goes on', async (t) => {
    const hosts = await prepare(t);
    const variables = { SNAPSHOT_CRON_SCHEDULE: EVERY_SECOND };
    const daemons = hosts.map((host) => startScheduler(host, ['--daemon'], variables));
    const ticks = () => daemons.map(({ output }) => ticksIn(output()).length);
    await eventually(() => ticks()[0] + ticks()[1] >= 4, 'four ticks');
    daemons[0].kill('SIGTERM');
    await daemons[0].exited;
    const made = ticks()[1];
    await eventually(() => ticks()[1] >= made + 2, 'the other one to go on');
    daemons[1].kill('SIGTERM');
    assert.equal((await daemons[1].exited).code, 0, daemons[1].output());
    scheduling.assertOneRunPerTick(...daemons.map(({ output }) => output()));
    await assertTiersVerify(hosts[1]);
  });

  test('a claim whose answer was lost counts', async (t) => {
    const [one, other] = await prepare(t);
    for (const [due, hosts] of [
      [TICKS[0], [one, other]],
      [TICKS[1], [other, one]],
    ]) {
      one.proxy.loseAnswer({ match: CLAIMS });
      one.proxy.loseAnswer({ match: /^PUT .*schedule\.json/ });
      assert.equal(await claim(hosts[0], due), true);
      assert.equal(await claim(hosts[1], due), false);
    }
  });

  test('a claim whose answer was lost counts, also when another database was faster after it', async (t) => {
    const [one, other] = await prepare(t);
    const second = other.path('second.db');
    createDatabase(second);
    one.proxy.loseAnswer({ match: /^PUT .*schedule\.json/ });
    // By this request the host finds out who wrote the object that refuses its second try.
    const gate = one.proxy.hold(/^HEAD .*schedule\.json/);
    const claiming = claim(one, TICKS[0]);
    await gate.reached;
    const writer = other.newWriter({ databaseUrl: `file:${second}`, databaseId: 'second' });
    assert.equal(await claim({ writer }, TICKS[0]), true);
    gate.release();
    assert.equal(await claiming, true);
    assert.equal(await claim(other, TICKS[0]), false);
  });

  test('a snapshot that an application makes during the first claim is of the same lineage', async (t) => {
    const [one, other] = await prepare(t);
    const gate = one.proxy.hold(/^PUT .*schedule\.json/);
    const claiming = claim(one, TICKS[0]);
    await gate.reached;
    await settled(one.writer.createSnapshot('at the same time', { lockTimeoutMs: 300 }));
    gate.release();
    assert.equal(await claiming, true);
    await one.writer.createSnapshot('later');
    // Both of them, where the first one did not give way.
    const made = (await one.writer.listSnapshots()).map(({ lineage }) => lineage);
    await claim(other, TICKS[1]);
    await other.writer.createSnapshot('elsewhere');
    const { lineage } = await other.writer.getSnapshot('elsewhere');
    assert.deepEqual([...new Set(made)], [lineage]);
  });

  for (const step of ['claim.before-note', 'claim.after-note', 'bucket-claim.answered']) {
    test(`a new host that is killed at ${step} makes its run at the next start`, async (t) => {
      const [one, other] = await prepare(t);
      assert.equal(await claim(other, TICKS[0]), true);
      const killed = withFailpoint(`${step}=kill`, () => scheduling.claimAndDie(one, TICKS[1]));
      await refused(killed, 'WORKER_FAILED');
      assert.equal((await scheduling.claimAndDie(one, TICKS[1])).claimed, true);
      assert.equal(await claim(other, TICKS[1]), false);
      // It has found the other host all the same.
      for (const host of [one, other]) await host.writer.createSnapshot(path.basename(host.folder));
      const lineages = (await one.writer.listSnapshots()).map(({ lineage }) => lineage);
      assert.deepEqual(lineages, [lineages[0], lineages[0]]);
    });
  }

  test('a bucket that nobody may delete from is a failure of every run', async (t) => {
    const [one] = await prepare(t);
    const writer = one.newWriter({ trashGraceMs: 0, deleteGraceMs: 0 });
    await writer.createSnapshot('old');
    one.proxy.answer(errorAnswer(403, 'AccessDenied'), { match: /^DELETE /, times: Infinity });
    for (let run = 1; run <= 2; run += 1) {
      const outcome = await runOnce({ writer, log: one.log, keep: { keepLast: 1 } });
      assert.equal(outcome.ok, false, `run ${run}`);
      assert.equal(outcome.error.code, 'S3_ACCESS_DENIED');
      assert.equal(outcome.snapshot.status, 'COMPLETED');
    }
    one.proxy.mend();
    assert.equal((await runOnce({ writer, log: one.log, keep: { keepLast: 1 } })).ok, true);
    assert.equal((await assertTiersVerify(one)).length, 1);
  });

  test('without the bucket each host decides alone and says so; with it they agree again', async (t) => {
    const [one, other] = await prepare(t);
    assert.equal(await claim(one, TICKS[0]), true);
    assert.equal(await claim(other, TICKS[0]), false);
    one.proxy.down();
    for (const host of [one, other]) {
      assert.equal(await claim(host, TICKS[1]), true);
      assert.equal(await claim(host, TICKS[1]), false);
      const warned = host.log.warnings().map(({ message }) => message);
      assert.ok(
        warned.some((message) => message.includes('so this one makes it')),
        warned.join('\n'),
      );
    }
    one.proxy.up();
    assert.equal(await claim(other, TICKS[2]), true);
    assert.equal(await claim(one, TICKS[2]), false);
  });

  test('the bucket keeps more than the disk when it has a policy of its own', async (t) => {
    const [host] = await prepare(t);
    for (const name of ['one', 'two', 'three']) await host.writer.createSnapshot(name);
    const policies = { SNAPSHOT_KEEP_LAST: '2', SNAPSHOT_S3_KEEP_LAST: '3' };
    const { code, output } = await runScheduler(host, [], policies);
    assert.equal(code, 0, output);
    assert.match(output, /Older snapshots removed here \(names: two, one\)/);
    assert.match(output, /Older snapshots removed from the bucket \(names: one\)/);
    const tiers = (await host.writer.listSnapshots()).map((snapshot) => snapshot.tiers.join('+'));
    assert.deepEqual(tiers, ['local+s3', 'local+s3', 's3']);
  });

  test('a run that cannot reach the bucket is a failure, and its snapshot is kept', async (t) => {
    const [one] = await prepare(t);
    one.proxy.down();
    const { code, output } = await runScheduler(one, [], startedByPm2(YEARLY));
    assert.equal(code, 1, output);
    assert.match(
      output,
      /ERROR .*complete in the local repository, but not in the bucket.*code: UPLOAD_FAILED/,
    );
    one.proxy.up();
    const [snapshot] = await one.writer.listSnapshots();
    assert.equal(snapshot.status, 'PENDING');
    assert.equal((await runScheduler(one)).code, 0);
    await assertTiersVerify(one);
  });

  test('a lost local repository does not bring a run back', async (t) => {
    const [one, other] = await prepare(t);
    assert.equal(await claim(one, TICKS[0]), true);
    const fresh = one.newWriter({ snapshotDir: one.path('new-disk') });
    assert.equal((await fresh._claimTick('0 */6 * * *', TICKS[0])).claimed, false);
    assert.equal(await claim(other, TICKS[0]), false);
  });
});
