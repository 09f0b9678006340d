'use strict';

// Somebody pins a snapshot or brings it back while it is on its way out of the bucket: either it stays
// for good, or the call says that it came too late.

const assert = require('node:assert/strict');
const { after, before, describe, test } = require('node:test');
const { catalogRow, createDatabase, rewriteFiller } = require('../support/database.js');
const { whilePaused, withFailpoint } = require('../support/failpoints.js');
const { eventually, refused } = require('../support/rig.js');
const { assertTiersVerify, makeS3Rig, objectsOf, settled } = require('../support/s3.js');
const { startWeed } = require('../support/s3-servers.js');

const AT_ONCE = { trashGraceMs: 0, deleteGraceMs: 0 };
const POLICY = { keepLast: 1 };
const BEFORE_ITS_TURN = 'bucket-delete.before-lease';
const IN_ITS_TURN = 'bucket-delete.before-tombstone';

describe('second thoughts about a snapshot in a bucket', () => {
  let server;
  before(async () => (server = await startWeed()));
  after(() => server.stop());

  /** `one` and `two` are in the trash, and the next prune may delete them. */
  async function prepare(t, { inTrash = true } = {}) {
    const rig = await makeS3Rig(t, server, { deleteGraceMs: 0 });
    createDatabase(rig.database, { megabytes: 1 });
    for (const name of ['one', 'two', 'three']) {
      rewriteFiller(rig.database, 7);
      await rig.writer.createSnapshot(name);
    }
    if (inTrash) await rig.writer.prune(POLICY);
    const prune = () => rig.newWriter(AT_ONCE).prune(POLICY);
    return { rig, other: rig.host('other'), prune };
  }

  test('what is brought back while a prune waits for its turn stays', async (t) => {
    const { rig, prune } = await prepare(t);
    const pruned = await whilePaused(rig, BEFORE_ITS_TURN, prune, async () => {
      const { name, tiers } = await rig.writer.undelete('one');
      assert.deepEqual([name, tiers], ['one', ['s3']], 'the local copy had gone by then');
    });
    assert.deepEqual(pruned.value?.swept, ['one', 'two'], pruned.reason?.stack);
    await assertLeft(rig, ['one', 'three']);
    assert.equal(catalogRow(rig.database, 'one').status, 'COMPLETED');
    // It is there for good: it can be mirrored, and no deletion finds a tombstone.
    await rig.writer.sync();
    await rig.writer.deleteSnapshot('three');
    await assertLeft(rig, ['one']);
  });

  test('what is asked for in the turn of a prune has gone, and the call says so', async (t) => {
    const { rig, prune } = await prepare(t);
    let undeleting;
    await whilePaused(rig, IN_ITS_TURN, prune, async () => {
      rig.proxy.forget();
      undeleting = settled(rig.writer.undelete('one'));
      await hasAskedForLease(rig);
    });
    assert.equal((await undeleting).error?.code, 'SNAPSHOT_NOT_FOUND');
    await assertLeft(rig, ['three']);
  });

  test('a deletion that has begun is not taken back, whoever began it', async (t) => {
    const { rig, other, prune } = await prepare(t);
    const cutOff = await withFailpoint('bucket-delete.after-tombstone=fail', prune);
    assert.equal(cutOff.bucketFailure.code, 'INTERNAL');
    const error = await refused(rig.writer.undelete('one'), 'SNAPSHOT_NOT_FOUND');
    assert.match(error.message, /has been deleted from the bucket/);
    await refused(other.writer.pinSnapshot('one'), 'SNAPSHOT_NOT_FOUND');
    assert.deepEqual(await objectsOf(rig, 'pins'), []);

    assert.deepEqual((await prune()).swept, ['one', 'two']);
    await assertLeft(rig, ['three']);
  });

  test('a local copy comes back and can be pinned although another host deleted that of the bucket', async (t) => {
    const { rig, other } = await prepare(t);
    await other.writer.deleteSnapshot('one');
    assert.deepEqual((await rig.writer.undelete('one')).tiers, ['local']);
    assert.equal((await rig.writer.pinSnapshot('one')).pinned, true);
    const { ok } = await rig.writer.verifySnapshot('one', { tier: 'local' });
    assert.ok(ok);
    assert.deepEqual((await rig.writer.sync()).uploaded, [], 'what was deleted there stays deleted');
  });

  test('a snapshot in the trash comes back while the bucket is away, if there is a local copy', async (t) => {
    const { rig } = await prepare(t);
    rig.proxy.down();
    const hurried = rig.newWriter({ lockTimeoutMs: 3000 });
    assert.deepEqual((await hurried.undelete('one')).tiers, ['local']);
    rig.proxy.up();
    await assertLeft(rig, ['one', 'three']);
  });

  for (const [what, act] of Object.entries({
    'a prune': ({ prune }) => prune(),
    deleteSnapshot: ({ rig }) => rig.writer.deleteSnapshot('one'),
  })) {
    const isRefused = what === 'deleteSnapshot';

    test(`what another host pins while ${what} waits for its turn stays`, async (t) => {
      const hosts = await prepare(t, { inTrash: !isRefused });
      const { rig, other } = hosts;
      const deleted = await whilePaused(
        rig,
        BEFORE_ITS_TURN,
        () => act(hosts),
        () => other.writer.pinSnapshot('one'),
      );
      if (isRefused) assert.equal(deleted.reason?.code, 'SNAPSHOT_PINNED');
      else assert.equal(deleted.status, 'fulfilled', deleted.reason?.stack);
      const { ok } = await other.writer.verifySnapshot('one', { tier: 's3' });
      assert.ok(ok);
      await assertTiersVerify(rig);
      assert.deepEqual(await tombstones(rig, 'one', other), []);
    });

    test(`what another host wants to pin in the turn of ${what} is gone, and not pinned`, async (t) => {
      const hosts = await prepare(t, { inTrash: !isRefused });
      const { rig, other } = hosts;
      let pinning;
      const deleted = await whilePaused(
        rig,
        IN_ITS_TURN,
        () => act(hosts),
        async () => {
          rig.proxy.forget();
          pinning = settled(other.writer.pinSnapshot('one'));
          await hasAskedForLease(rig);
        },
      );
      assert.equal(deleted.status, 'fulfilled', deleted.reason?.stack);
      assert.equal((await pinning).error?.code, 'SNAPSHOT_NOT_FOUND');
      assert.deepEqual(await objectsOf(rig, 'pins'), []);
      assert.ok(!(await other.writer.listSnapshots()).some(({ name }) => name === 'one'));
    });
  }
});

/** Until somebody waits for the lease, or does without it. */
function hasAskedForLease(rig) {
  return eventually(() => rig.proxy.requests(/^GET .*\/lease\.json/).length > 0, 'a request for the lease');
}

async function assertLeft(host, names) {
  assert.deepEqual((await assertTiersVerify(host)).map(({ name }) => name).sort(), names);
}

async function tombstones(rig, name, host) {
  const { id } = await host.writer.getSnapshot(name);
  return (await objectsOf(rig, 'deleted')).filter((key) => key.endsWith(id));
}
