'use strict';

// Retention and repacking with a bucket: each tier by itself, and hosts that respect each other.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { after, before, describe, test } = require('node:test');
const { HeadObjectCommand } = require('@aws-sdk/client-s3');
const { catalogRow, contentOf, createDatabase, rewriteFiller } = require('../support/database.js');
const { knownFailpoints, whilePaused, withFailpoint } = require('../support/failpoints.js');
const { refused } = require('../support/rig.js');
const { PREFIX, assertTiersVerify, makeS3Rig, objectsOf } = require('../support/s3.js');
const { startWeed } = require('../support/s3-servers.js');
const { makeWornRig } = require('../support/worn.js');

const AT_ONCE = { trashGraceMs: 0, deleteGraceMs: 0 };
const namesOf = (snapshots) => snapshots.map(({ name }) => name);
const tiersOf = (snapshots) =>
  Object.fromEntries(snapshots.map(({ name, tiers }) => [name, tiers.join('+')]));

describe('retention with a bucket', () => {
  let server;
  before(async () => (server = await startWeed()));
  after(() => server.stop());

  async function prepare(t, names, options = AT_ONCE) {
    const rig = await makeS3Rig(t, server, options);
    createDatabase(rig.database, { megabytes: 1 });
    for (const name of names) {
      rewriteFiller(rig.database, 7);
      await rig.writer.createSnapshot(name);
    }
    return rig;
  }

  test('each tier is pruned by itself, and both together', async (t) => {
    const rig = await prepare(t, ['one', 'two', 'three', 'four']);
    const local = await rig.writer.prune({ keepLast: 1, tier: 'local' });
    assert.deepEqual(local.swept, ['one', 'two', 'three']);
    assert.deepEqual(local.kept[0].tiers, ['local']);
    assert.deepEqual(tiersOf(await assertTiersVerify(rig)), {
      four: 'local+s3',
      three: 's3',
      two: 's3',
      one: 's3',
    });
    assert.equal(catalogRow(rig.database, 'one').status, 'COMPLETED', 'it is in the bucket');

    assert.deepEqual((await rig.writer.prune({ keepLast: 3, tier: 's3' })).swept, ['one']);
    assert.deepEqual(namesOf(await assertTiersVerify(rig)), ['four', 'three', 'two']);
    assert.equal(catalogRow(rig.database, 'one'), undefined);

    assert.deepEqual((await rig.writer.prune({ keepLast: 2 })).swept, ['two']);
    assert.deepEqual(tiersOf(await assertTiersVerify(rig)), { four: 'local+s3', three: 's3' });
    assert.deepEqual(namesOf(await assertTiersVerify(rig.host('other'))), ['four', 'three']);
  });

  test('what is in the trash is not mirrored, and comes back in both tiers', async (t) => {
    const rig = await prepare(t, ['one', 'two', 'three'], {});
    await rig.writer.prune({ keepLast: 1, tier: 'local' });
    await rig.writer.prune({ keepLast: 1 });
    assert.deepEqual(namesOf(await rig.writer.listSnapshots()), ['three']);
    const { uploaded, downloaded } = await rig.writer.sync({ direction: 'both' });
    assert.deepEqual([uploaded, downloaded], [[], []]);
    assert.deepEqual((await rig.writer.undelete('one')).tiers, ['local', 's3']);
    assert.deepEqual(tiersOf(await assertTiersVerify(rig)), { three: 'local+s3', one: 'local+s3' });
    assert.equal(catalogRow(rig.database, 'one').status, 'COMPLETED');
  });

  test('a pin holds on every host', async (t) => {
    const rig = await prepare(t, ['one', 'two', 'three']);
    await rig.writer.pinSnapshot('one');
    const other = rig.host('other');
    const { kept, swept } = await other.writer.prune({ keepLast: 1 });
    assert.deepEqual([namesOf(kept), swept], [['three', 'one'], ['two']]);
    await refused(other.writer.deleteSnapshot('one'), 'SNAPSHOT_PINNED');
    await rig.writer.unpinSnapshot('one');
    assert.deepEqual((await other.writer.prune({ keepLast: 1 })).swept, ['one']);
    assert.deepEqual(await objectsOf(rig, 'pins'), []);
  });

  test('what is not in the bucket yet stays, and a bucket that cannot be reached is told', async (t) => {
    const rig = await prepare(t, ['one', 'two']);
    await rig.proxy.stop();
    const hurried = rig.newWriter({ ...AT_ONCE, lockTimeoutMs: 3000 });
    await refused(hurried.createSnapshot('three'), 'UPLOAD_FAILED');
    await refused(hurried.createSnapshot('four'), 'UPLOAD_FAILED');
    const { kept, swept, bucketFailure } = await hurried.prune({ keepLast: 1 });
    assert.deepEqual(
      kept.map(({ name, reasons }) => [name, reasons]),
      [
        ['four', ['newest verified', 'not in the bucket yet']],
        ['three', ['not in the bucket yet']],
        // Those that wait do not push it out.
        ['two', ['last 1 of 1']],
      ],
    );
    assert.deepEqual(swept, ['one'], 'the local tier is pruned all the same');
    assert.match(bucketFailure.code, /^S3_/);
    await refused(hurried.prune({ keepLast: 1, tier: 's3' }), bucketFailure.code);
  });

  test('the bucket follows when the local tier is repacked', async (t) => {
    const rig = await wornOut(t);
    const other = rig.host('other');
    await other.writer.sync({ direction: 'down' });
    const oldKey = catalogRow(rig.database, 'worn').s3Key;

    const { repacked, bucketFailure } = await rig.writer.prune({ keepLast: 2 });
    assert.equal(repacked.snapshots, 2);
    assert.equal(bucketFailure, null);
    await assertSameObjects(rig);
    assert.deepEqual(tiersOf(await assertTiersVerify(rig)), { newest: 'local+s3', worn: 'local+s3' });
    for (const name of ['newest', 'worn']) {
      const { s3Key } = catalogRow(rig.database, name);
      assert.match(s3Key, /\.2$/);
      assert.equal((await rig.writer.getSnapshot(name)).s3Key, s3Key);
      assert.ok(await rig.bucket.head(s3Key), 'the row names what is in the bucket');
    }
    const Bucket = rig.bucket.name;
    const head = await rig.writer.s3Client.send(new HeadObjectCommand({ Bucket, Key: oldKey }));
    assert.ok(head.ContentLength > 0, 'the key that the application knows still finds it');

    // Nothing is uploaded twice: the next snapshot shares the new packs.
    const packs = await objectsOf(rig, 'packs');
    rewriteFiller(rig.database, 100);
    await rig.writer.createSnapshot('after');
    assert.equal((await objectsOf(rig, 'packs')).length, packs.length + 1);
    await assertSameObjects(rig);
    assert.deepEqual((await rig.writer.sync({ direction: 'both' })).uploaded, []);

    // The other host has the older generations, and goes on with them.
    fs.copyFileSync(rig.database, other.database);
    rewriteFiller(other.database, 50);
    await other.writer.createSnapshot('of the other host');
    await assertTiersVerify(other);
    await assertTiersVerify(rig);
    const content = contentOf(other.database);
    await rig.writer.restoreFromSnapshot('of the other host', { tier: 's3' });
    assert.equal(contentOf(rig.database), content);
  });

  test('whoever reads old packs in the bucket has the grace to finish', async (t) => {
    const rig = await wornOut(t, { trashGraceMs: 0 });
    const before = await objectsOf(rig, 'packs');
    const { repacked } = await rig.writer.prune({ keepLast: 2 });
    assert.notEqual(repacked, null);
    const now = await objectsOf(rig, 'packs');
    for (const pack of before) assert.ok(now.includes(pack), `${pack} is still there`);
    assert.equal((await objectsOf(rig, 'marks')).length, repacked.packsBefore);
    assert.equal((await objectsOf(rig, 'snapshots')).length, 2, 'old generations are gone');
    await assertTiersVerify(rig);
  });

  for (const step of knownFailpoints().filter((name) => name.startsWith('bucket-repack.'))) {
    test(`a host held at ${step} while another one builds on the old packs harms nobody`, async (t) => {
      const rig = await wornOut(t);
      const other = rig.host('other');
      await other.writer.sync({ direction: 'down' });
      fs.copyFileSync(rig.database, other.database);
      rewriteFiller(other.database, 50);
      const pruned = await whilePaused(
        rig,
        step,
        () => rig.writer.prune({ keepLast: 2 }),
        () => other.writer.createSnapshot('meanwhile'),
      );
      assert.notEqual(pruned.value?.repacked, null, pruned.reason?.stack);
      assert.deepEqual(namesOf(await assertTiersVerify(rig)), ['meanwhile', 'newest', 'worn']);
      await assertTiersVerify(other);
      await rig.writer.prune({ keepLast: 3 });
      await assertTiersVerify(rig);
      await assertTiersVerify(other);
    });
  }

  test('a bucket that was away while the local tier was repacked follows later', async (t) => {
    const rig = await wornOut(t);
    await withFailpoint('bucket-repack.before-upload=fail', () => rig.writer.prune({ keepLast: 2 }));
    assert.deepEqual(tiersOf(await assertTiersVerify(rig)), { newest: 'local+s3', worn: 'local+s3' });
    assert.match((await rig.writer.getSnapshot('worn')).s3Key, /\.1$/, 'as the bucket has it');
    await rig.writer.createSnapshot('later');
    await assertTiersVerify(rig);
    await assertSameObjects(rig);
  });

  test('a generation of another host that has lost a pack is replaced by a whole one', async (t) => {
    const rig = await wornOut(t);
    const other = rig.host('other');
    await other.writer.sync({ direction: 'down' });
    const { repacked } = await rig.writer.prune({ keepLast: 2 });
    assert.notEqual(repacked, null);
    for (const key of await objectsOf(rig, 'packs')) await rig.bucket.delete(key);

    const { uploaded } = await other.writer.sync();
    assert.deepEqual(uploaded.sort(), ['newest', 'worn']);
    assert.match((await other.writer.getSnapshot('worn')).s3Key, /\.3$/);
    await assertTiersVerify(other);
    for (const name of ['newest', 'worn']) {
      const { ok } = await rig.writer.verifySnapshot(name, { tier: 's3' });
      assert.ok(ok, name);
    }
    assert.deepEqual((await other.writer.sync()).uploaded, []);
  });

  test('what the local tier has lost comes back in the generation that the bucket has', async (t) => {
    const rig = await wornOut(t);
    const other = rig.host('other');
    await other.writer.sync({ direction: 'down' });
    assert.notEqual((await rig.writer.prune({ keepLast: 2 })).repacked, null);
    const packs = path.join(other.snapshotDir, 'packs');
    for (const pack of fs.readdirSync(packs)) fs.rmSync(path.join(packs, pack));

    const { downloaded } = await other.writer.sync({ direction: 'down' });
    assert.deepEqual(downloaded.sort(), ['newest', 'worn']);
    for (const name of ['newest', 'worn']) {
      const { ok, problems } = await other.writer.verifySnapshot(name, { tier: 'local' });
      assert.ok(ok, `${name}: ${problems}`);
    }
    assert.deepEqual((await other.writer.sync({ direction: 'down' })).downloaded, []);
  });

  function wornOut(t, options = AT_ONCE) {
    return makeWornRig(t, server, options);
  }

  /** The bucket is the same folder: the same packs and manifests. */
  async function assertSameObjects(rig) {
    for (const kind of ['packs', 'snapshots']) {
      const here = fs.readdirSync(path.join(rig.snapshotDir, kind)).sort();
      const there = (await objectsOf(rig, kind)).map((key) => key.slice(`${PREFIX}${kind}/`.length)).sort();
      assert.deepEqual(there, here, kind);
    }
  }
});
