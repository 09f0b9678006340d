'use strict';

// What one tier's retention must not do to the other one, and to what a bucket that is away may hold.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { after, before, describe, test } = require('node:test');
const { catalogRow, createDatabase, rewriteFiller } = require('../support/database.js');
const { filesBelow } = require('../support/files.js');
const { refused } = require('../support/rig.js');
const { assertTiersVerify, makeS3Rig, objectsOf } = require('../support/s3.js');
const { errorAnswer } = require('../support/s3-proxy.js');
const { startWeed } = require('../support/s3-servers.js');

const AT_ONCE = { trashGraceMs: 0, deleteGraceMs: 0 };
const OLD = ['snapshot_2025-01-01T00-00-00-000Z', 'snapshot_2025-01-02T00-00-00-000Z'];
const keyOf = (name) => `snapshots/${name}.db`;
const namesOf = (snapshots) => snapshots.map(({ name }) => name);

describe('one tier and the other', () => {
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

  /** Old plain snapshots in the folder, and their copies in the bucket. */
  async function withPlainOnes(t) {
    const rig = await prepare(t, []);
    fs.mkdirSync(rig.snapshotDir);
    for (const name of OLD) {
      fs.copyFileSync(rig.database, fileOf(rig, name));
      await rig.bucket.put(keyOf(name), fs.readFileSync(rig.database));
    }
    await rig.writer.createSnapshot('new');
    return rig;
  }

  const fileOf = (rig, name) => path.join(rig.snapshotDir, `${name}.db`);

  async function whereIs(rig, name) {
    const listed = (await rig.writer.listSnapshots()).filter((snapshot) => snapshot.name === name);
    assert.ok(listed.length <= 1, `${name} is listed once`);
    return listed[0]?.tiers ?? [];
  }

  test('old plain snapshots go from the tier that is pruned, and stay in the other one', async (t) => {
    const rig = await withPlainOnes(t);
    assert.deepEqual(await whereIs(rig, OLD[0]), ['local', 's3']);
    const local = await rig.writer.prune({ keepLast: 1, tier: 'local' });
    assert.deepEqual(local.swept, OLD);
    for (const name of OLD) {
      assert.equal(fs.existsSync(fileOf(rig, name)), false);
      assert.ok(await rig.bucket.head(keyOf(name)), 'the bucket keeps it');
      assert.deepEqual(await whereIs(rig, name), ['s3']);
    }
    await rig.writer.prune({ keepLast: 2, tier: 's3' });
    assert.equal(await rig.bucket.head(keyOf(OLD[0])), undefined);
    assert.deepEqual([await whereIs(rig, OLD[0]), await whereIs(rig, OLD[1])], [[], ['s3']]);
  });

  test('old plain snapshots go from both tiers when both are pruned', async (t) => {
    const rig = await withPlainOnes(t);
    const { removed, swept } = await rig.writer.prune({ keepLast: 1 });
    assert.deepEqual(
      removed.map(({ tiers }) => tiers),
      [
        ['local', 's3'],
        ['local', 's3'],
      ],
    );
    assert.deepEqual(swept, OLD);
    for (const name of OLD) {
      assert.equal(fs.existsSync(fileOf(rig, name)), false);
      assert.equal(await rig.bucket.head(keyOf(name)), undefined);
    }
  });

  test('an old plain snapshot that is deleted by its name goes from both tiers', async (t) => {
    const rig = await withPlainOnes(t);
    await rig.writer.deleteSnapshot(OLD[0]);
    assert.equal(fs.existsSync(fileOf(rig, OLD[0])), false);
    assert.equal(await rig.bucket.head(keyOf(OLD[0])), undefined);
    rig.proxy.down();
    await assert.rejects(rig.writer.deleteSnapshot(OLD[1]), { code: /^S3_/ });
    assert.ok(fs.existsSync(fileOf(rig, OLD[1])), 'it goes from both or from none');
  });

  test('an old plain snapshot that is deleted while its file is in the trash does not come back', async (t) => {
    const rig = await withPlainOnes(t);
    await rig.writer.prune({ keepLast: 1, tier: 'local', trashGraceMs: 60_000 });
    assert.deepEqual(await whereIs(rig, OLD[0]), ['s3']);
    await rig.writer.deleteSnapshot(OLD[0]);
    assert.deepEqual(await whereIs(rig, OLD[0]), []);
    assert.equal(fs.existsSync(fileOf(rig, OLD[0])), false);
  });

  test('what is in the trash of a bucket that is switched off is not called deleted', async (t) => {
    const rig = await prepare(t, ['one', 'two'], {});
    await rig.writer.prune({ keepLast: 1, tier: 'local', trashGraceMs: 0 });
    await rig.writer.prune({ keepLast: 1 });
    await refused(rig.newWriter({ s3: false }).undelete('one'), 'S3_DISABLED');
    assert.equal((await rig.writer.undelete('one')).name, 'one');
  });

  test('while the bucket is away, old plain files are pruned and the rest is left to another time', async (t) => {
    const rig = await withPlainOnes(t);
    rig.proxy.down();
    const { swept, bucketFailure } = await rig.writer.prune({ keepLast: 1 });
    assert.deepEqual(swept, OLD);
    assert.match(bucketFailure.code, /^S3_/);
    rig.proxy.up();
    for (const name of OLD) assert.deepEqual(await whereIs(rig, name), ['s3']);
  });

  test('rows stay as long as a bucket that is away may hold their snapshots', async (t) => {
    const rig = await prepare(t, ['in both']);
    const alone = rig.newWriter({ ...AT_ONCE, s3: false });
    for (const name of ['here only', 'newest']) {
      rewriteFiller(rig.database, 7);
      await alone.createSnapshot(name);
    }
    rig.proxy.down();
    assert.deepEqual((await rig.writer.prune({ keepLast: 1 })).swept, ['in both', 'here only']);
    for (const name of ['in both', 'here only']) assert.ok(catalogRow(rig.database, name), name);

    rig.proxy.up();
    assert.deepEqual(namesOf(await assertTiersVerify(rig)), ['newest', 'in both']);
    await rig.writer.prune({ keepLast: 2 });
    assert.ok(catalogRow(rig.database, 'in both'), 'it is in the bucket');
    assert.equal(catalogRow(rig.database, 'here only'), undefined, 'it is nowhere');
    await rig.writer.sync();
    await rig.writer.prune({ keepLast: 1 });
    assert.equal(catalogRow(rig.database, 'in both'), undefined);
    assert.deepEqual(fs.readdirSync(path.join(rig.snapshotDir, 'local', 'trash')), []);
  });

  test('a bucket without conditional writes is left out', async (t) => {
    const rig = await prepare(t, ['one', 'two']);
    rig.proxy.answer(errorAnswer(501, 'NotImplemented'), { match: /^PUT .*\/check\//, times: Infinity });
    await refused(rig.writer.prune({ keepLast: 1, tier: 's3' }), 'S3_UNSUPPORTED');
    const planned = await rig.writer.prune({ keepLast: 1, dryRun: true });
    const { removed, swept, bucketFailure } = await rig.writer.prune({ keepLast: 1 });
    assert.deepEqual([removed, swept], [planned.removed, planned.swept]);
    assert.deepEqual([removed[0].tiers, swept], [['local'], ['one']]);
    assert.equal(bucketFailure.code, 'S3_UNSUPPORTED');
    assert.deepEqual(await whereIs(rig, 'one'), ['s3'], 'it is not hidden where it cannot be deleted');
    assert.ok(catalogRow(rig.database, 'one'));
    await assertTiersVerify(rig);
  });

  test('what is in the trash of one tier is still mended in the other', async (t) => {
    const rig = await prepare(t, ['one', 'two'], { deleteGraceMs: 0 });
    await rig.writer.prune({ keepLast: 1, tier: 'local' });
    for (const key of await objectsOf(rig, 'packs')) await rig.bucket.delete(key);
    assert.deepEqual((await rig.writer.sync()).uploaded, ['one', 'two']);

    await rig.writer.undelete('one');
    await rig.writer.prune({ keepLast: 1, tier: 's3' });
    const packs = filesBelow(path.join(rig.snapshotDir, 'packs'));
    for (const pack of packs) fs.rmSync(pack);
    assert.deepEqual((await rig.writer.sync({ direction: 'down' })).downloaded, ['one', 'two']);
    await assertTiersVerify(rig);
  });

  test('what is in the trash of its only tier is not copied into the other', async (t) => {
    const rig = await prepare(t, [], { deleteGraceMs: 0 });
    const alone = rig.newWriter({ s3: false });
    for (const name of ['one', 'two']) await alone.createSnapshot(name);
    await alone.prune({ keepLast: 1 });
    assert.deepEqual((await rig.writer.sync({ direction: 'both' })).uploaded, ['two']);
  });

  test('what only the bucket has stays in the trash while nobody can ask the bucket', async (t) => {
    const rig = await prepare(t, ['one', 'two'], { deleteGraceMs: 0 });
    await rig.writer.prune({ keepLast: 1, tier: 'local', trashGraceMs: 0 });
    await rig.writer.prune({ keepLast: 1, tier: 's3' });
    rig.proxy.down();
    await assert.rejects(rig.writer.undelete('one'), { code: /^S3_/ });
    rig.proxy.up();
    assert.deepEqual((await rig.writer.undelete('one')).tiers, ['s3']);
    assert.equal(catalogRow(rig.database, 'one').status, 'COMPLETED');
  });
});
