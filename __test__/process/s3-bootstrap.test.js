'use strict';

// A host that starts from nothing: the disk is lost, the bucket is there.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const { after, before, describe, test } = require('node:test');
const {
  catalogRow,
  contentOf,
  createDatabase,
  integrityOf,
  insertRealities,
  rewriteFiller,
  withDatabase,
} = require('../support/database.js');
const { sha256 } = require('../support/files.js');
const { PREFIX, assertTiersVerify, makeS3Rig, objectsOf, wipe } = require('../support/s3.js');
const { startWeed } = require('../support/s3-servers.js');

const LATENCY_MS = 50;
/** What somebody else may have put into our place of the bucket. */
const FOREIGN = [
  'README.txt',
  'packs/README.txt',
  'packs/0b2f7a52-0000-4000-8000-00000000000g',
  'snapshots/README.txt',
  'snapshots/not-a-uuid.1',
  'snapshots/0b2f7a52-0000-4000-8000-000000000000.one',
  'marks/README.txt',
  'deleted/README.txt',
  'other/packs/0b2f7a52-0000-4000-8000-000000000000',
  'ümlaut & blank +%20.txt',
];

describe('a host that has lost its disk', () => {
  let server;
  before(async () => (server = await startWeed()));
  after(() => server.stop());

  test('comes back from a slow bucket alone: image, catalog, and increments from there on', async (t) => {
    const rig = await makeS3Rig(t, server);
    createDatabase(rig.database, { megabytes: 10 });
    await rig.writer.createSnapshot('first');
    change(rig);
    const content = contentOf(rig.database);
    const { snapshot } = await rig.writer.createSnapshot('second');
    const sentForAll = rig.proxy.bytes('up');
    wipe(rig);
    rig.proxy.delay(LATENCY_MS);

    const result = await rig.writer.bootstrapDatabase();

    assert.equal(result.bootstrapped, true, result.stack);
    assert.deepEqual(result.snapshot, {
      name: 'second',
      timestamp: snapshot.createdAt,
      checksum: snapshot.checksum,
    });
    assert.equal(result.counts.realities, 8);
    assert.equal(result.passedOver, undefined);
    assert.equal(contentOf(rig.database), content);
    assert.equal(integrityOf(rig.database), 'ok');
    for (const name of ['first', 'second']) {
      const row = catalogRow(rig.database, name);
      assert.equal(row?.status, 'COMPLETED', `row of ${name}`);
      await assertExportable(rig, name);
    }

    change(rig);
    rig.proxy.forget();
    await rig.writer.createSnapshot('third');
    const sent = rig.proxy.bytes('up');
    t.diagnostic(`${sentForAll} bytes for two snapshots, ${sent} for the one after bootstrapping`);
    assert.ok(sent < sentForAll / 5, 'the snapshot after bootstrapping is an increment');
    assert.equal((await assertTiersVerify(rig)).length, 3);
  });

  test('gets the very bytes of the image when nothing is to be written into it', async (t) => {
    const rig = await makeS3Rig(t, server);
    createDatabase(rig.database, { megabytes: 1, catalog: false });
    const { snapshot } = await rig.writer.createSnapshot('first');
    wipe(rig);

    const result = await rig.writer.bootstrapDatabase();

    assert.equal(result.bootstrapped, true, result.stack);
    assert.equal(sha256(rig.database), snapshot.checksum);
    assert.equal(fs.statSync(rig.database).size, snapshot.size);
  });

  test('or another host with the same bucket restores, verifies and exports from there', async (t) => {
    const rig = await makeS3Rig(t, server);
    createDatabase(rig.database, { megabytes: 1 });
    const first = contentOf(rig.database);
    await rig.writer.createSnapshot('first');
    change(rig);
    await rig.writer.createSnapshot('second');

    const other = rig.host('other');
    assert.equal((await other.writer.bootstrapDatabase()).snapshot?.name, 'second');
    await other.writer.restoreFromSnapshot('first', { tier: 's3' });

    assert.equal(contentOf(other.database), first);
    for (const name of ['first', 'second']) await assertExportable(other, name);
    await assertTiersVerify(other);
    await assertTiersVerify(rig);
  });

  test('restores in place only what differs, from the bucket alone', async (t) => {
    const rig = await makeS3Rig(t, server);
    createDatabase(rig.database, { megabytes: 10 });
    const content = contentOf(rig.database);
    await rig.writer.createSnapshot('first');
    fs.rmSync(rig.snapshotDir, { recursive: true });
    // Pages that lie side by side, hence in a frame or two of the forty.
    withDatabase(rig.database, (db) =>
      db.exec("UPDATE Filler SET body = replace(body, 'a', 'b') WHERE id <= 30"),
    );

    rig.proxy.forget();
    await rig.writer.restoreFromSnapshot('first');

    assert.equal(contentOf(rig.database), content);
    const packs = rig.proxy.bytes('down', /^GET .*\/packs\//);
    t.diagnostic(`${packs} bytes of packs fetched`);
    assert.ok(packs > 0, 'the pages came from the bucket');
    assert.ok(packs < 1_000_000, `${packs} bytes of packs fetched for one percent of the pages`);
  });

  for (const [damage, breakIt] of Object.entries({
    'one bit of its pack flipped': async (bucket, key) => {
      const bytes = await bucket.get(key);
      bytes[Math.floor(bytes.length / 2)] ^= 1;
      await bucket.put(key, bytes);
    },
    'its pack missing': (bucket, key) => bucket.delete(key),
    'its pack cut off': async (bucket, key) => bucket.put(key, (await bucket.get(key)).subarray(0, 1000)),
  })) {
    test(`takes the snapshot before the newest one, which has ${damage}, and reports both`, async (t) => {
      const rig = await makeS3Rig(t, server);
      createDatabase(rig.database, { megabytes: 1 });
      const content = contentOf(rig.database);
      await rig.writer.createSnapshot('good');
      const before = await objectsOf(rig, 'packs');
      change(rig);
      await rig.writer.createSnapshot('newest');
      const [pack] = (await objectsOf(rig, 'packs')).filter((key) => !before.includes(key));
      wipe(rig);
      await breakIt(rig.bucket, pack);

      const result = await rig.writer.bootstrapDatabase();

      assert.equal(result.bootstrapped, true, result.stack);
      assert.equal(result.snapshot.name, 'good');
      assert.equal(result.passedOver.length, 1);
      assert.match(result.passedOver[0], /newest/);
      assert.equal(contentOf(rig.database), content);
    });
  }

  test('is not bothered by what else is in the bucket, and leaves it alone', async (t) => {
    const rig = await makeS3Rig(t, server, { deleteGraceMs: 0 });
    for (const key of FOREIGN) await rig.bucket.put(PREFIX + key, `foreign: ${key}`);
    await rig.bucket.put('elsewhere/snapshot.db', 'not below the prefix');
    createDatabase(rig.database, { megabytes: 1 });
    await rig.writer.createSnapshot('first');
    change(rig);
    await rig.writer.createSnapshot('second');
    await rig.writer.deleteSnapshot('first');
    wipe(rig);

    const result = await rig.writer.bootstrapDatabase();

    assert.equal(result.bootstrapped, true, result.stack);
    assert.deepEqual(
      (await assertTiersVerify(rig)).map(({ name }) => name),
      ['second'],
    );
    await rig.writer.sync({ direction: 'both' });
    for (const key of FOREIGN) {
      assert.equal((await rig.bucket.get(PREFIX + key)).toString(), `foreign: ${key}`);
    }
    assert.ok(await rig.bucket.head('elsewhere/snapshot.db'));
  });

  test('finds nothing in an empty bucket, and says so without an error', async (t) => {
    const rig = await makeS3Rig(t, server);
    const result = await rig.writer.bootstrapDatabase();
    assert.deepEqual(result, { bootstrapped: false });
    assert.equal(fs.existsSync(rig.database), false);
  });
});

function change(host) {
  rewriteFiller(host.database, 50);
  withDatabase(host.database, (db) => insertRealities(db, 5));
}

async function assertExportable(host, name) {
  const { checksum } = await host.writer.getSnapshot(name);
  const file = host.path(`${name}.export`);
  const exported = await host.writer.exportSnapshot(name, file, { tier: 's3' });
  assert.equal(exported.checksum, checksum);
  assert.equal(sha256(file), checksum);
}
