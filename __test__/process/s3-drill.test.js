'use strict';

// Restore drills of what is in a bucket, and of a bucket that cannot be reached.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { after, before, describe, test } = require('node:test');
const { createDatabase, insertRealities, withDatabase } = require('../support/database.js');
const { filesBelow, flipBit } = require('../support/files.js');
const { PREFIX, assertSecretKept, makeS3Rig, settled, wipe } = require('../support/s3.js');
const { startWeed } = require('../support/s3-servers.js');

describe('a drill of what is in a bucket', () => {
  let server;
  before(async () => (server = await startWeed()));
  after(() => server.stop());

  async function prepare(t) {
    const rig = await makeS3Rig(t, server);
    createDatabase(rig.database, { megabytes: 1 });
    await rig.writer.createSnapshot('first');
    return rig;
  }

  test('reads the bucket alone when that is asked for', async (t) => {
    const rig = await prepare(t);
    const packs = filesBelow(path.join(rig.snapshotDir, 'packs'));
    for (const pack of packs) flipBit(pack, 0.5);
    rig.proxy.forget();
    const far = await rig.writer.drill({ tier: 's3' });
    assert.equal(far.outcome, 'passed', far.reason);
    assert.equal(far.tier, 's3');
    assert.ok(rig.proxy.bytes('down') > 100_000, 'the image came from the bucket');
    const near = await rig.writer.drill({ tier: 'local' });
    assert.deepEqual([near.outcome, near.tier], ['failed', 'local']);
    assert.deepEqual(
      (await rig.writer.drills()).map(({ tier, outcome }) => [tier, outcome]),
      [
        ['local', 'failed'],
        ['s3', 'passed'],
      ],
    );
  });

  test('keeps nobody waiting while it downloads', async (t) => {
    const rig = await prepare(t);
    const download = rig.proxy.hold(/^GET .*packs/);
    const drill = settled(rig.writer.drill({ tier: 's3' }));
    await download.reached;
    const { snapshot } = await rig.newWriter({ lockTimeoutMs: 500 }).createSnapshot('meanwhile');
    assert.equal(snapshot.name, 'meanwhile');
    download.release();
    const { value, error } = await drill;
    assert.equal(value?.outcome, 'passed', `${value?.reason} ${error?.stack}`);
    assert.equal(value.snapshot.name, 'first');
  });

  test('passes on a host that has nothing else', async (t) => {
    const rig = await prepare(t);
    wipe(rig);
    const report = await rig.writer.drill();
    assert.equal(report.outcome, 'passed', report.reason);
    assert.equal(report.snapshot.name, 'first');
    assert.equal(fs.existsSync(rig.database), false, 'a drill restores nothing');
  });

  test('fails when the newest one in the bucket is damaged', async (t) => {
    const rig = await prepare(t);
    const known = await rig.bucket.list(`${PREFIX}packs/`);
    withDatabase(rig.database, (db) => insertRealities(db, 5));
    await rig.writer.createSnapshot('second');
    const [pack] = (await rig.bucket.list(`${PREFIX}packs/`)).filter((key) => !known.includes(key));
    const bytes = await rig.bucket.get(pack);
    bytes[bytes.length >> 1] ^= 1;
    await rig.bucket.put(pack, bytes);
    const report = await rig.writer.drill({ tier: 's3' });
    assert.equal(report.outcome, 'failed', JSON.stringify(report));
    assert.equal(report.snapshot.name, 'second');
    assert.equal((await rig.writer.drill()).outcome, 'passed', 'the local copy is good');
  });

  test('is inconclusive when the bucket cannot be reached, and remembered', async (t) => {
    const rig = await prepare(t);
    rig.proxy.down();
    const far = await rig.writer.drill({ tier: 's3' });
    assert.equal(far.outcome, 'inconclusive');
    assert.equal(far.snapshot, null);
    assert.match(far.reason, /S3_UNREACHABLE/);

    // What is here is drilled all the same; but there may be something newer.
    const both = await rig.writer.drill();
    assert.equal(both.outcome, 'inconclusive');
    assert.match(both.reason, /^bucket: .*newer snapshot.*S3_UNREACHABLE/);
    assert.equal(both.snapshot.name, 'first');
    assert.ok(both.rtoMs > 0);
    assert.equal((await rig.writer.drill({ tier: 'local' })).outcome, 'passed');
    assert.equal((await rig.writer.drill({ name: 'first' })).outcome, 'passed', 'it is here, nobody asked');

    rig.proxy.up();
    assert.equal((await rig.writer.drill()).outcome, 'passed');
    const history = (await rig.writer.drills()).map(({ outcome }) => outcome);
    assert.deepEqual(history, ['passed', 'passed', 'passed', 'inconclusive', 'inconclusive']);
    assertSecretKept(rig);
  });
});
