'use strict';

// Production and staging on hosts of their own, with one bucket and databases of one file name: nothing but a
// configured name makes them one database.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { after, before, describe, test } = require('node:test');
const { contentOf, createDatabase, insertRealities, withDatabase } = require('../support/database.js');
const { refused } = require('../support/rig.js');
const { assertTiersVerify, makeS3Rig, wipe } = require('../support/s3.js');
const { startWeed } = require('../support/s3-servers.js');

const STRANGERS = { databaseId: undefined, trashGraceMs: 0, deleteGraceMs: 0 };
const namesOf = (snapshots) => snapshots.map(({ name }) => name).sort();

describe('hosts with one bucket whose databases have one file name', () => {
  let server;
  before(async () => (server = await startWeed()));
  after(() => server.stop());

  async function prepare(t) {
    const prod = await makeS3Rig(t, server, STRANGERS);
    const staging = prod.host('staging');
    createDatabase(prod.database, { realities: 5 });
    await prod.writer.createSnapshot('prod-1');
    return { prod, staging };
  }

  test('prune, delete and vouch for their own snapshots alone', async (t) => {
    const { prod, staging } = await prepare(t);
    createDatabase(staging.database, { realities: 2 });
    await staging.writer.createSnapshot('staging-1');
    await staging.writer.createSnapshot('staging-2');
    assert.equal((await prod.writer.status()).latest.name, 'prod-1');
    assert.deepEqual((await prod.writer.prune({ keepLast: 1 })).removed, []);
    assert.deepEqual(namesOf((await staging.writer.prune({ keepLast: 1 })).removed), ['staging-1']);
    const { s3Key } = await prod.writer.getSnapshot('staging-2');
    await refused(prod.writer.deleteSnapshot('staging-2'), 'SNAPSHOT_FOREIGN');
    class DeleteObjectCommand {
      input = { Bucket: prod.writer.s3Bucket, Key: s3Key };
    }
    await refused(prod.writer.s3Client.send(new DeleteObjectCommand()), 'SNAPSHOT_FOREIGN');
    const due = new Date('2026-03-01T06:00:00Z');
    for (const { writer } of [prod, staging]) {
      assert.equal((await writer._claimTick('0 */6 * * *', due)).claimed, true);
    }
    assert.deepEqual(namesOf(await assertTiersVerify(prod)), ['prod-1', 'staging-2']);
  });

  test('find their own snapshot where both have one of that name', async (t) => {
    const { prod, staging } = await prepare(t);
    createDatabase(staging.database, { realities: 2 });
    const content = contentOf(staging.database);
    prod.proxy.down();
    // Nobody could tell that the name is taken.
    await refused(staging.writer.createSnapshot('prod-1'), 'UPLOAD_FAILED');
    prod.proxy.up();
    await staging.writer.sync();
    withDatabase(staging.database, (db) => insertRealities(db, 3));
    await staging.writer.restoreFromSnapshot('prod-1', { tier: 's3' });
    assert.equal(contentOf(staging.database), content);
  });

  test('bootstrap from their own, and fork from the other one where they have none', async (t) => {
    const { prod, staging } = await prepare(t);
    assert.equal((await staging.writer.bootstrapDatabase()).snapshot.name, 'prod-1');
    withDatabase(staging.database, (db) => insertRealities(db, 3, 'test data'));
    await staging.writer.createSnapshot('staging-1');
    const content = contentOf(staging.database);
    await prod.writer.createSnapshot('prod-2');
    for (const [host, own] of [
      [prod, 'prod-2'],
      [staging, 'staging-1'],
    ]) {
      fs.rmSync(host.database);
      assert.equal((await host.writer.bootstrapDatabase()).snapshot.name, own);
    }
    assert.equal(contentOf(staging.database), content);
    // A host that lost everything cannot know which of the two it is.
    wipe(staging);
    const { bootstrapped, error } = await staging.writer.bootstrapDatabase();
    assert.equal(bootstrapped, false);
    assert.match(error, /several databases may be app\.db: .*SNAPSHOT_DATABASE_ID/);
  });

  test('what an older version put into the bucket is of the host where the lineage began', async (t) => {
    const prod = await makeS3Rig(t, server, STRANGERS);
    const staging = prod.host('staging');
    const old = path.join(__dirname, '../support/repository-before-instances');
    fs.cpSync(old, prod.snapshotDir, { recursive: true });
    for (const host of [prod, staging]) createDatabase(host.database);
    const lineage = (await prod.writer.listSnapshots())[0].lineage;
    for (const host of [prod, staging]) {
      // That version gave every database of one file name the lineage that it found in the bucket.
      const local = path.join(host.snapshotDir, 'local');
      fs.mkdirSync(local, { recursive: true });
      fs.writeFileSync(path.join(local, 'lineages.json'), JSON.stringify({ [host.database]: lineage }));
    }
    await prod.writer.sync();
    // The disk keeps less than the bucket.
    fs.rmSync(path.join(prod.snapshotDir, 'snapshots'), { recursive: true });
    for (const host of [staging, prod]) {
      await host.writer.createSnapshot(path.basename(host.folder));
      await host.writer.acknowledge();
    }
    assert.deepEqual((await staging.writer.prune({ keepLast: 1 })).removed, []);
    await refused(staging.writer.deleteSnapshot('prod-1'), 'SNAPSHOT_FOREIGN');
    const { removed } = await prod.writer.prune({ keepLast: 1 });
    assert.deepEqual(namesOf(removed), ['prod-1', 'prod-2', 'staging-1', 'staging-2']);
  });

  test('a configured name makes a new host the same database', async (t) => {
    const prod = await makeS3Rig(t, server, { ...STRANGERS, databaseId: 'shop' });
    const stranger = prod.host('stranger').newWriter({ databaseId: undefined });
    createDatabase(prod.database, { realities: 5 });
    await prod.writer.createSnapshot('one');
    const successor = prod.host('successor');
    assert.equal((await successor.writer.bootstrapDatabase()).bootstrapped, true);
    await successor.writer.createSnapshot('two');
    await refused(stranger.deleteSnapshot('one'), 'SNAPSHOT_FOREIGN');
    assert.deepEqual(namesOf((await successor.writer.prune({ keepLast: 1 })).removed), ['one']);
    assert.equal((await prod.writer.status()).latest.name, 'two');
  });
});
