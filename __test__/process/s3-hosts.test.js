'use strict';

// Two hosts on one bucket, one creating while the other deletes, and either of them held at every
// named step meanwhile: what is listed is whole, and what was deleted stays deleted.

const assert = require('node:assert/strict');
const { after, before, describe, test } = require('node:test');
const { contentOf, createDatabase, rewriteFiller } = require('../support/database.js');
const { knownFailpoints, pauseAt, withFailpoint } = require('../support/failpoints.js');
const { startWriter } = require('../support/processes.js');
const { eventually, refused } = require('../support/rig.js');
const { assertNoUploadLeft, assertTiersVerify, makeS3Rig, objectsOf, settled } = require('../support/s3.js');
const { startWeed } = require('../support/s3-servers.js');

const ROUNDS = 4;
const steps = (prefix) => knownFailpoints().filter((name) => name.startsWith(prefix));

describe('two hosts on one bucket', () => {
  const deferred = [];
  let server, waiting;
  before(async () => {
    server = await startWeed();
    waiting = await waitForKilledDeleter({ after: (undo) => deferred.push(undo) }, server);
  });
  after(async () => {
    for (const undo of deferred) await undo();
    await server.stop();
  });

  /** A host that creates and one that deletes and sweeps at once. */
  async function prepare(t) {
    const rig = await makeS3Rig(t, server, { deleteGraceMs: 0 });
    createDatabase(rig.database, { megabytes: 2 });
    await rig.writer.createSnapshot('round 0');
    return { creator: rig, deleter: rig.host('deleter') };
  }

  test(`one creates while the other deletes, ${ROUNDS} times`, async (t) => {
    const { creator, deleter } = await prepare(t);
    for (let round = 1; round <= ROUNDS; round += 1) {
      rewriteFiller(creator.database, 7);
      await Promise.all([
        creator.writer.createSnapshot(`round ${round}`),
        deleter.writer.deleteSnapshot(`round ${round - 1}`),
      ]);
      await assertInBucket(creator, [`round ${round}`]);
      await assertTiersVerify(creator);
      await assertTiersVerify(deleter);
    }
    await assertStaysDeleted(creator, deleter, [`round ${ROUNDS}`]);
  });

  test(`both create, and each deletes what the other made, ${ROUNDS} times`, async (t) => {
    const { creator: one, deleter: other } = await prepare(t);
    createDatabase(other.database, { megabytes: 2 });
    await other.writer.createSnapshot('other 0');
    for (let round = 1; round <= ROUNDS; round += 1) {
      rewriteFiller(one.database, 7);
      rewriteFiller(other.database, 7);
      await Promise.all([
        one.writer
          .createSnapshot(`round ${round}`)
          .then(() => one.writer.deleteSnapshot(`other ${round - 1}`)),
        other.writer
          .createSnapshot(`other ${round}`)
          .then(() => other.writer.deleteSnapshot(`round ${round - 1}`)),
      ]);
      await assertTiersVerify(one);
      await assertTiersVerify(other);
    }
    await assertInBucket(one, [`other ${ROUNDS}`, `round ${ROUNDS}`]);
    await assertNoUploadLeft(one);
  });

  test('a pack stays as long as a snapshot in the bucket needs it, and not longer', async (t) => {
    const { creator, deleter } = await prepare(t);
    const [first] = await objectsOf(creator, 'packs');
    rewriteFiller(creator.database, 7);
    await creator.writer.createSnapshot('round 1');

    await deleter.writer.deleteSnapshot('round 0');
    assert.ok((await objectsOf(creator, 'packs')).includes(first), 'round 1 needs the pack of round 0');
    await assertTiersVerify(deleter);
    await deleter.writer.deleteSnapshot('round 1');
    assert.deepEqual(await objectsOf(creator, 'packs'), []);
    assert.deepEqual(await objectsOf(creator, 'snapshots'), []);
    assert.deepEqual(await objectsOf(creator, 'marks'), []);
  });

  test('a grace period counts from the mark: until then a pack stays', async (t) => {
    const { creator, deleter } = await prepare(t);
    const packs = await objectsOf(creator, 'packs');
    const careful = deleter.newWriter({ deleteGraceMs: 3_600_000 });
    await careful.deleteSnapshot('round 0');
    assert.deepEqual(await objectsOf(creator, 'snapshots'), []);
    assert.deepEqual(await objectsOf(creator, 'packs'), packs);
    assert.equal((await objectsOf(creator, 'marks')).length, packs.length);

    // A snapshot that needs the marked packs takes the marks away, or brings packs of its own.
    await creator.writer.createSnapshot('round 1');
    await assertTiersVerify(creator);
    createDatabase(deleter.database);
    await deleter.writer.createSnapshot('unrelated');
    await deleter.writer.deleteSnapshot('unrelated');
    await assertTiersVerify(creator);
    await assertInBucket(creator, ['round 1']);
  });

  for (const step of steps('upload.')) {
    test(`a creator held at ${step} while the other deletes and sweeps`, async (t) => {
      const { creator, deleter } = await prepare(t);
      const [first] = await objectsOf(creator, 'packs');
      rewriteFiller(creator.database, 7);
      await whileHeld(creator, step, ['createSnapshot', 'round 1'], async () => {
        await deleter.writer.deleteSnapshot('round 0');
        // Another one, so that the sweep comes round again.
        createDatabase(deleter.database);
        await deleter.writer.createSnapshot('passing');
        await deleter.writer.deleteSnapshot('passing');
        const isSwept = !(await objectsOf(creator, 'packs')).includes(first);
        const isNeeded = (await objectsOf(creator, 'snapshots')).length > 0;
        assert.equal(isSwept, !isNeeded, 'a pack is swept until a manifest in the bucket needs it');
      });
      await assertStaysDeleted(creator, deleter, ['round 1']);
    });
  }

  for (const step of steps('bucket-delete.')) {
    test(`a deleter held at ${step} while the other creates`, async (t) => {
      const { creator, deleter } = await prepare(t);
      rewriteFiller(creator.database, 7);
      let creating;
      await whileHeld(deleter, step, ['deleteSnapshot', 'round 0'], async () => {
        creator.proxy.forget();
        let ended = false;
        creating = creator.writer.createSnapshot('round 1').finally(() => (ended = true));
        // Where its packs are already condemned, it waits until the deleter has finished with them.
        const waits = () => creator.proxy.requests(/^GET .*\/lease\.json/).length > 0;
        await eventually(() => ended || waits(), 'the creator to end or to wait for the lease');
      });
      assert.equal((await creating).snapshot.status, 'COMPLETED');
      await assertStaysDeleted(creator, deleter, ['round 1']);
    });
  }

  test('a deleted snapshot does not come back from a host that still has it', async (t) => {
    const { creator, deleter } = await prepare(t);
    const content = contentOf(creator.database);
    rewriteFiller(creator.database, 7);
    await creator.writer.createSnapshot('round 1');
    await deleter.writer.sync({ direction: 'down' });
    await creator.writer.deleteSnapshot('round 0');

    await assertStaysDeleted(deleter, creator, ['round 1']);
    // Nor is its name or its content gone for good.
    await creator.writer.createSnapshot('round 0');
    const file = creator.path('export.db');
    await creator.writer.exportSnapshot('round 0', file, { tier: 's3' });
    assert.notEqual(contentOf(file), content);
  });

  test('a deleter that was killed is waited for, and not forever', async () => {
    const { rig, refusal, deleting } = waiting;
    assert.equal(refusal.code, 'REPOSITORY_BUSY', refusal.stack);
    assert.equal((await deleting).name, 'round 1');
    assert.deepEqual(await objectsOf(rig, 'snapshots'), []);
    assert.deepEqual(await objectsOf(rig, 'packs'), [], 'what the killed one had begun is finished');
  });
});

/**
 * A deleter that was killed in its work, one that is told so, and one that waits until the lease counts
 * no more. That takes a minute; it is a process with an environment of its own, and other tests run meanwhile.
 */
async function waitForKilledDeleter(t, server) {
  const rig = await makeS3Rig(t, server, { deleteGraceMs: 0 });
  createDatabase(rig.database, { megabytes: 2 });
  await rig.writer.createSnapshot('round 0');
  await rig.writer.createSnapshot('round 1');
  await withFailpoint('bucket-delete.after-tombstone=kill', () =>
    refused(rig.writer.deleteSnapshot('round 0'), 'WORKER_FAILED'),
  );
  const impatient = rig.newWriter({ lockTimeoutMs: 1000 });
  const { error: refusal } = await settled(impatient.deleteSnapshot('round 1'));
  const patient = startWriter(rig, { options: { lockTimeoutMs: 120_000 } });
  const deleting = patient.call('deleteSnapshot', 'round 1');
  // Looked at by the last test; until then nobody may call it unhandled.
  deleting.catch(() => {});
  return { rig, refusal, deleting };
}

/** Runs a call of `host` in another process, held at a step while `meanwhile` takes place. */
async function whileHeld(host, step, [method, name], meanwhile) {
  const pause = pauseAt(host, step);
  const child = startWriter(host, { env: pause.env });
  let ended = false;
  const calling = child.call(method, name).finally(() => (ended = true));
  // Looked at below; until then nobody else may call it unhandled.
  calling.catch(() => {});
  await eventually(() => ended || pause.isReached(), `the worker to reach ${step}`);
  assert.ok(pause.isReached(), `${method} does not come past ${step}`);
  await meanwhile();
  assert.equal(ended, false, 'it was held all the time');
  pause.release();
  await calling;
}

/**
 * All that is listed is whole at once, not only after the next mirroring has mended it; and mirroring
 * in every direction from every host brings nothing back.
 */
async function assertStaysDeleted(one, other, names) {
  await assertTiersVerify(other);
  await assertTiersVerify(one);
  for (const host of [one, other, one]) {
    await host.writer.sync({ direction: 'both' });
    await assertTiersVerify(host);
    await assertInBucket(host, names);
  }
  await assertNoUploadLeft(one);
}

async function assertInBucket(host, names) {
  const listed = (await host.writer.listSnapshots()).filter(({ tiers }) => tiers.includes('s3'));
  assert.deepEqual(listed.map(({ name }) => name).sort(), names);
  assert.equal((await objectsOf(host, 'snapshots')).length, names.length);
}
