'use strict';

// The worker is killed at every named step of what it does to a bucket; see kill.test.js.

const assert = require('node:assert/strict');
const { after, before, describe, test } = require('node:test');
const { createDatabase, fill, integrityOf, rewriteFiller, withDatabase } = require('../support/database.js');
const { OF_THE_BUCKET, knownFailpoints, withFailpoint } = require('../support/failpoints.js');
const { refused } = require('../support/rig.js');
const { PREFIX, assertNoUploadLeft, assertTiersVerify, makeS3Rig, settled } = require('../support/s3.js');
const { startWeed } = require('../support/s3-servers.js');
const { claimAndDie } = require('../support/scheduler.js');

/** What is killed: `act` is killed at first and has to succeed later. */
const SCENARIOS = {
  'a snapshot': {
    steps: /^upload\./,
    act: (rig, attempt) => rig.writer.createSnapshot(`third, attempt ${attempt}`),
    // What the killed one stored locally is sent by the next one.
    ends: ['first', 'second', 'third, attempt 1', 'third, attempt 2'],
  },
  'a mirroring into the bucket': {
    steps: /^(upload|sync)\./,
    prepare: (rig) => rig.newWriter({ s3: false }).createSnapshot('third'),
    act: (rig) => rig.writer.sync({ direction: 'up' }),
    ends: ['first', 'second', 'third'],
  },
  'a repacking': {
    steps: /^bucket-repack\./,
    prepare: wearOut,
    act: (rig) => rig.writer.prune({ keepLast: 2, trashGraceMs: 0 }),
    ends: ['newest', 'worn'],
  },
  'a deletion': {
    steps: /^bucket-delete\./,
    act: (rig, attempt) => rig.writer.deleteSnapshot(attempt === 1 ? 'second' : 'first'),
  },
  'a claim of a scheduled run': {
    steps: /^bucket-claim\./,
    act: async (rig) => {
      const { claimed } = await claimAndDie(rig, new Date('2026-01-02'));
      assert.ok(claimed, 'a claim that was cut off keeps its own host from nothing');
    },
  },
};

const FAILPOINTS = knownFailpoints().filter((name) => OF_THE_BUCKET.test(name));

test('every named step of the bucket belongs to a scenario', () => {
  const steps = Object.values(SCENARIOS).map((scenario) => scenario.steps);
  const forgotten = FAILPOINTS.filter((name) => !steps.some((pattern) => pattern.test(name)));
  assert.ok(FAILPOINTS.length > 3, 'the steps were found in the source');
  assert.deepEqual(forgotten, []);
});

describe('a worker that is killed', () => {
  let server;
  before(async () => (server = await startWeed()));
  after(() => server.stop());

  for (const [what, scenario] of Object.entries(SCENARIOS)) {
    for (const step of FAILPOINTS.filter((name) => scenario.steps.test(name))) {
      test(`in ${what} at ${step} leaves whole snapshots, and the next call goes on`, async (t) => {
        const rig = await makeS3Rig(t, server, { deleteGraceMs: 0 });
        await prepare(rig, scenario);

        const death = await withFailpoint(`${step}=kill`, () =>
          refused(scenario.act(rig, 1), 'WORKER_FAILED'),
        );
        assert.match(death.message, /SIGKILL/, `the worker died at ${step}`);

        await assertTiersVerify(rig);
        await endLease(rig);
        await scenario.act(rig, 2);
        const listed = await assertTiersVerify(rig);
        if (scenario.ends) {
          assert.deepEqual(listed.map(({ name }) => name).sort(), scenario.ends);
          for (const { name, tiers } of listed) assert.deepEqual(tiers, ['local', 's3'], name);
        }
        assert.equal(integrityOf(rig.database), 'ok');
        await assertNothingLeftBehind(rig);
      });
    }
  }

  test('while it sends a part leaves a snapshot that the next one sends', async (t) => {
    const rig = await makeS3Rig(t, server);
    createDatabase(rig.database, { megabytes: 40 });
    const gate = rig.proxy.hold(/partNumber=2/);
    const killing = new AbortController();
    const creating = settled(rig.writer.createSnapshot('first', { signal: killing.signal }));
    await gate.reached;
    killing.abort();
    assert.equal((await creating).error?.code, 'ABORTED');
    gate.release();

    const [left] = await assertTiersVerify(rig);
    assert.deepEqual([left.status, left.tiers], ['PENDING', ['local']]);
    await rig.writer.createSnapshot('second');
    for (const { name, tiers } of await assertTiersVerify(rig)) {
      assert.deepEqual(tiers, ['local', 's3'], name);
    }
  });
});

async function prepare(rig, scenario) {
  createDatabase(rig.database, { megabytes: 1 });
  await rig.writer.createSnapshot('first');
  rewriteFiller(rig.database, 3);
  await rig.writer.createSnapshot('second');
  rewriteFiller(rig.database, 5);
  await scenario.prepare?.(rig);
}

/** Snapshots that share packs of which a restore would use less than half. */
async function wearOut(rig) {
  withDatabase(rig.database, (db) => fill(db, 8));
  // They would be repacked at once.
  await withFailpoint('repack.before-packs=fail', async () => {
    await rig.writer.createSnapshot('large');
    for (const [name, step] of Object.entries({ half: 2, worn: 3, newest: 50 })) {
      rewriteFiller(rig.database, step);
      await rig.writer.createSnapshot(name);
    }
  });
}

/** As if the time had passed after which the lease of a killed worker counts no more (s3-hosts.test.js waits for it). */
function endLease(rig) {
  return rig.bucket.delete(`${PREFIX}lease.json`);
}

/** Once every snapshot is deleted, no pack, mark or half an upload of the killed worker remains. */
async function assertNothingLeftBehind(rig) {
  for (const { name } of await rig.writer.listSnapshots()) await rig.writer.deleteSnapshot(name);
  const isGarbage = (key) => /^(packs|snapshots|marks)\//.test(key.slice(PREFIX.length));
  assert.deepEqual((await rig.bucket.list(PREFIX)).filter(isGarbage), []);
  await assertNoUploadLeft(rig);
}
