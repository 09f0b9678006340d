'use strict';

// A database that is lost at night and snapshotted empty by the scheduler: the status is red from the first
// night on, and the good snapshots outlive it, whoever cleans up.

const assert = require('node:assert/strict');
const { after, before, describe, test } = require('node:test');
const { DeleteObjectCommand } = require('@aws-sdk/client-s3');
const { contentOf, createDatabase, withDatabase } = require('../support/database.js');
const { samples } = require('../support/health.js');
const { assertAllVerify, makeRig } = require('../support/rig.js');
const { assertTiersVerify, makeS3Rig } = require('../support/s3.js');
const { startWeed } = require('../support/s3-servers.js');
const { runScheduler } = require('../support/scheduler.js');

const NIGHTS = 20;
const TABLES = ['Reality', 'RecursionPath', 'ConsciousnessField'];

test(`${NIGHTS} snapshots of an emptied database age no good one out, and bootstrapping brings it back`, async (t) => {
  const rig = makeRig(t);
  const good = await makeGoodSnapshot(rig);
  empty(rig.database);
  for (let night = 1; night <= NIGHTS; night += 1) {
    const { code, output } = await runScheduler(rig, [], { SNAPSHOT_KEEP_LAST: '3' });
    assert.equal(code, 0, output);
    assert.match(output, /WARN Nothing from before scheduled_\S+ is removed: /);
    await assertRed(rig, night);
  }
  assertHolds(await assertAllVerify(rig.writer), good);
  await assertBroughtBack(rig, good);
});

describe("with the application's own clean-up", () => {
  let server;
  before(async () => (server = await startWeed()));
  after(() => server.stop());

  test(`${NIGHTS} snapshots of an emptied database age no good one out either`, async (t) => {
    const rig = await makeS3Rig(t, server);
    const good = await makeGoodSnapshot(rig);
    empty(rig.database);
    const refusals = [];
    for (let night = 1; night <= NIGHTS; night += 1) {
      // Its own retention is out of the way.
      const { code, output } = await runScheduler(rig, [], { SNAPSHOT_KEEP_LAST: '999' });
      assert.equal(code, 0, output);
      refusals.push(...(await cleanUp(rig, 10)));
      await assertRed(rig, night);
    }
    const snapshots = await assertTiersVerify(rig);
    assertHolds(snapshots, good);
    assert.equal(snapshots.length, 10 + 1, 'the others that are too many were deleted');
    assert.deepEqual(
      refusals.map(({ code, name }) => [code, name]),
      Array.from({ length: NIGHTS + 1 - 10 }, () => ['SNAPSHOT_LAST_GOOD', good.name]),
    );
    await assertBroughtBack(rig, good);
  });
});

/** A snapshot by the scheduler: its name, and what the database holds. */
async function makeGoodSnapshot(rig) {
  createDatabase(rig.database, { realities: 20 });
  const content = contentOf(rig.database);
  const { code, output } = await runScheduler(rig);
  assert.equal(code, 0, output);
  const [{ name }] = await rig.writer.listSnapshots();
  return { name, content };
}

function empty(database) {
  withDatabase(database, (db) => TABLES.forEach((table) => db.exec(`DELETE FROM "${table}"`)));
}

/** As the application's script does it: the newest `kept` stay; what could not be deleted is only logged. */
async function cleanUp({ writer }, kept) {
  const refusals = [];
  const completed = (await writer.listSnapshots()).filter(({ status }) => status === 'COMPLETED');
  for (const { name, s3Key: Key } of completed.slice(kept)) {
    try {
      await writer.s3Client.send(new DeleteObjectCommand({ Bucket: writer.s3Bucket, Key }));
    } catch ({ code }) {
      refusals.push({ code, name });
    }
  }
  return refusals;
}

async function assertRed(rig, night) {
  const { healthy, checks } = await rig.writer.status();
  const { verdict } = checks.find(({ name }) => name === 'collapse');
  assert.deepEqual([healthy, verdict], [false, 'critical'], `after ${night} nights`);
  assert.equal((await samples(rig.writer)).snapshot_collapse, 1, `after ${night} nights`);
}

function assertHolds(snapshots, good) {
  assert.ok(
    snapshots.some(({ name }) => name === good.name),
    'the good one is still there',
  );
}

async function assertBroughtBack(rig, good) {
  const { bootstrapped, snapshot } = await rig.writer.bootstrapDatabase();
  assert.deepEqual([bootstrapped, snapshot?.name], [true, good.name]);
  assert.equal(contentOf(rig.database), good.content);
}
