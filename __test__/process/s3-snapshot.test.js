'use strict';

// Snapshots in a bucket: what is sent, what it costs, and what becomes of a snapshot that cannot be sent.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { after, before, describe, test } = require('node:test');
const { catalogRow, createDatabase, rewriteFiller } = require('../support/database.js');
const { bytesBelow, filesBelow, sha256 } = require('../support/files.js');
const { peakOfChildren } = require('../support/processes.js');
const { assertAllVerify, refused } = require('../support/rig.js');
const {
  PREFIX,
  assertNoUploadLeft,
  assertSecretKept,
  assertTiersVerify,
  makeS3Rig,
} = require('../support/s3.js');
const { startWeed } = require('../support/s3-servers.js');

const MEGABYTES = process.env.SNAPSHOT_WRITER_TEST_LARGE === '1' ? 1024 : 60;
const MEMORY_LIMIT_KB = 200 * 1024;
/** Lists, marks and the like, and what surrounds the chunks of a body. */
const OVERHEAD = 64 * 1024;

describe('a snapshot in a bucket', () => {
  let server;
  before(async () => (server = await startWeed()));
  after(() => server.stop());

  test(`of ${MEGABYTES} MB is sent whole once, then only what changed, in constant memory`, async (t) => {
    const rig = await makeS3Rig(t, server, { lockTimeoutMs: 120_000 });
    createDatabase(rig.database, { megabytes: MEGABYTES });

    const first = await snapshotAndCount(t, rig, 'first');
    assert.ok(first.sent >= first.stored, 'the first snapshot is in the bucket');
    rewriteFiller(rig.database, 100);
    const second = await snapshotAndCount(t, rig, 'second');
    assert.ok(second.sent < first.sent / 25, 'one percent of the pages is sent, not the database');
    const unchanged = await snapshotAndCount(t, rig, 'unchanged');
    assert.ok(unchanged.sent < OVERHEAD, `${unchanged.sent} bytes for an unchanged database`);

    await assertNoUploadLeft(rig);
    await assertSameFolder(rig);
    assert.equal((await assertTiersVerify(rig)).length, 3);
  });

  test('is listed in both tiers, and its record names the key', async (t) => {
    const rig = await makeS3Rig(t, server);
    createDatabase(rig.database);
    const { success, snapshot } = await rig.writer.createSnapshot('first');

    assert.equal(success, true);
    assert.equal(snapshot.status, 'COMPLETED');
    assert.equal(snapshot.s3Key, `${PREFIX}snapshots/${snapshot.id}.1`);
    const head = await rig.bucket.head(snapshot.s3Key);
    assert.ok(head, 'the key is that of an object');
    const row = catalogRow(rig.database, 'first');
    assert.deepEqual([row.s3Key, row.status], [snapshot.s3Key, 'COMPLETED']);
    const [listed] = await rig.writer.listSnapshots();
    assert.deepEqual([listed.s3Key, listed.tiers], [snapshot.s3Key, ['local', 's3']]);

    const checked = await rig.writer.checkStorage();
    assert.deepEqual([checked.ok, checked.conditionalWrites, checked.missingPermissions], [true, true, []]);
    assertSecretKept(rig, [JSON.stringify(checked)]);
    for (const key of await rig.bucket.list()) {
      assert.ok(!(await rig.bucket.get(key)).includes(process.env.AWS_SECRET_ACCESS_KEY), key);
    }
  });

  test('goes below the prefix that is configured, and nowhere else', async (t) => {
    const rig = await makeS3Rig(t, server);
    createDatabase(rig.database);
    process.env.S3_PREFIX = 'backups/of the app';
    const { snapshot } = await rig.writer.createSnapshot('first');

    assert.ok(snapshot.s3Key.startsWith('backups/of the app/snapshots/'), snapshot.s3Key);
    for (const key of await rig.bucket.list()) assert.ok(key.startsWith('backups/of the app/'), key);
    await assertTiersVerify(rig);
    process.env.S3_PREFIX = 'somewhere else/';
    assert.deepEqual((await rig.writer.listSnapshots())[0].tiers, ['local']);
  });

  for (const [what, complete] of Object.entries({
    'the next snapshot': (rig) => rig.writer.createSnapshot('next'),
    sync: (rig) => rig.writer.sync({ direction: 'up' }),
  })) {
    test(`that cannot be sent is kept and PENDING until ${what} completes it`, async (t) => {
      const rig = await makeS3Rig(t, server);
      createDatabase(rig.database, { megabytes: 1 });
      await rig.writer.createSnapshot('base');
      rewriteFiller(rig.database, 2);

      rig.proxy.down();
      const refusal = await refused(rig.writer.createSnapshot('late'), 'UPLOAD_FAILED');
      assert.match(refusal.message, /^Failed to create snapshot: .*S3_UNREACHABLE/s);
      const local = rig.newWriter({ s3: false });
      assert.deepEqual(await local.verifySnapshot('late', { level: 'database' }), wholeAt('database'));
      assert.equal(catalogRow(rig.database, 'late').status, 'PENDING');

      rig.proxy.up();
      assert.deepEqual(await stateOf(rig, 'late'), { status: 'PENDING', tiers: ['local'] });
      const result = await complete(rig);
      assert.deepEqual(await stateOf(rig, 'late'), { status: 'COMPLETED', tiers: ['local', 's3'] });
      assert.equal(catalogRow(rig.database, 'late').status, 'COMPLETED');
      if (result.uploaded) assert.deepEqual(result.uploaded, ['late']);
      await assertTiersVerify(rig);
      await assertNoUploadLeft(rig);
      assertSecretKept(rig, [refusal]);
    });
  }

  test('is mirrored in either direction that sync is asked for', async (t) => {
    const rig = await makeS3Rig(t, server);
    const other = rig.host('other');
    createDatabase(rig.database, { megabytes: 1 });
    createDatabase(other.database, { megabytes: 1 });
    await rig.writer.createSnapshot('here');
    await other.newWriter({ s3: false }).createSnapshot('there');

    const nothing = await rig.writer.sync({ direction: 'both' });
    assert.deepEqual([nothing.uploaded, nothing.downloaded], [[], []]);
    const up = await other.writer.sync();
    assert.deepEqual([up.uploaded, up.downloaded, up.bytesDownloaded], [['there'], [], 0]);
    assert.ok(up.bytesUploaded > 400_000, 'it counts what it sent');
    const both = await rig.writer.sync({ direction: 'both' });
    assert.deepEqual([both.uploaded, both.downloaded], [[], ['there']]);
    assert.equal(both.bytesDownloaded, up.bytesUploaded);
    await other.writer.sync({ direction: 'down' });

    for (const host of [rig, other]) {
      for (const { tiers } of await assertTiersVerify(host)) assert.deepEqual(tiers, ['local', 's3']);
      assert.equal((await assertAllVerify(host.newWriter({ s3: false }), 'database')).length, 2);
    }
  });
  for (const [damage, breakIt] of Object.entries({
    'a lost pack': (file) => fs.rmSync(file('packs')),
    'a pack that was cut off': (file) => fs.truncateSync(file('packs'), 1000),
    'a damaged manifest': (file) => fs.writeFileSync(file('snapshots'), 'rubbish'),
  })) {
    test(`is brought back whole by sync after ${damage}`, async (t) => {
      const rig = await makeS3Rig(t, server);
      createDatabase(rig.database, { megabytes: 2 });
      await rig.writer.createSnapshot('here');
      const only = (kind) =>
        path.join(rig.snapshotDir, kind, fs.readdirSync(path.join(rig.snapshotDir, kind))[0]);
      breakIt(only);
      const { ok } = await rig.writer.verifySnapshot('here', { tier: 'local' }).catch(() => ({ ok: false }));
      assert.equal(ok, false, 'the local tier is damaged');

      const { downloaded } = await rig.writer.sync({ direction: 'down' });

      assert.deepEqual(downloaded, ['here']);
      await assertTiersVerify(rig);
      assert.deepEqual((await rig.writer.sync({ direction: 'both' })).downloaded, []);
    });
  }
});

/** Takes a snapshot; checks that what was sent is what the folder grew by, and the worker's memory. */
async function snapshotAndCount(t, rig, name) {
  const before = bytesShared(rig);
  rig.proxy.forget();
  const peak = await peakOfChildren(() => rig.writer.createSnapshot(name));
  const stored = bytesShared(rig) - before;
  const sent = rig.proxy.bytes('up');
  t.diagnostic(`${name}: ${stored} bytes stored, ${sent} sent, ${Math.round(peak / 1024)} MB of memory`);
  assert.ok(sent <= stored * 1.02 + OVERHEAD, `${sent} bytes sent for ${stored} stored`);
  assert.ok(peak > 10 * 1024, 'the worker was seen');
  assert.ok(peak < MEMORY_LIMIT_KB, `the worker needed ${peak} KB`);
  return { stored, sent };
}

/** Bytes of the local packs and manifests: what belongs into the bucket as well. */
function bytesShared(rig) {
  return (
    bytesBelow(path.join(rig.snapshotDir, 'packs')) + bytesBelow(path.join(rig.snapshotDir, 'snapshots'))
  );
}

/** The bucket is the folder: the same packs and manifests at the same places, byte by byte. */
async function assertSameFolder(rig) {
  const isShared = (name) => /^(packs|snapshots)\//.test(name);
  const files = filesBelow(rig.snapshotDir).map((file) => path.relative(rig.snapshotDir, file));
  const keys = (await rig.bucket.list(PREFIX)).map((key) => key.slice(PREFIX.length));
  assert.deepEqual(keys.filter(isShared), files.filter(isShared));
  for (const name of keys.filter(isShared)) {
    const copy = rig.path('copy');
    fs.writeFileSync(copy, await rig.bucket.get(PREFIX + name));
    assert.equal(sha256(copy), sha256(path.join(rig.snapshotDir, name)), name);
  }
}

async function stateOf(rig, name) {
  const { status, tiers } = await rig.writer.getSnapshot(name);
  return { status, tiers };
}

function wholeAt(level) {
  return { ok: true, level, problems: [] };
}
