'use strict';

// A pack that is damaged in the bucket is shared there: the next snapshot stores its pages again, though the local copy of
// the pack is good.

const assert = require('node:assert/strict');
const { after, before, describe, test } = require('node:test');
const { createDatabase, withDatabase } = require('../support/database.js');
const { refused } = require('../support/rig.js');
const { assertTiersVerify, makeS3Rig, objectsOf } = require('../support/s3.js');
const { startWeed } = require('../support/s3-servers.js');

describe('a pack that is damaged in the bucket', () => {
  let server;
  before(async () => (server = await startWeed()));
  after(() => server.stop());

  const change = (rig, text) =>
    withDatabase(rig.database, (db) => db.prepare('UPDATE Reality SET description = ?').run(text));

  const FINDERS = {
    'a verification': async ({ writer }) => {
      assert.equal((await writer.verifySnapshot('one', { tier: 's3' })).ok, false);
      assert.equal(
        (await writer.verifySnapshot('one', { tier: 'local' })).ok,
        true,
        'says nothing of the bucket',
      );
    },
    'a drill': async ({ writer }) => {
      assert.equal((await writer.drill({ name: 'one', tier: 's3' })).outcome, 'failed');
    },
    'a restore': async (rig) => {
      withDatabase(rig.database, (db) => db.exec("UPDATE Filler SET body = 'other' WHERE id % 20 = 0"));
      await refused(rig.writer.restoreFromSnapshot('one', { tier: 's3' }), 'SNAPSHOT_DAMAGED');
    },
  };

  for (const [who, find] of Object.entries(FINDERS)) {
    test(`found by ${who} is not built on`, async (t) => {
      const rig = await makeS3Rig(t, server);
      createDatabase(rig.database, { megabytes: 1 });
      await rig.writer.createSnapshot('one');
      const [pack] = await objectsOf(rig, 'packs');
      change(rig, 'two');
      await rig.writer.createSnapshot('two');
      const bytes = await rig.bucket.get(pack);
      bytes[bytes.length >> 1] ^= 1;
      await rig.bucket.put(pack, bytes);
      await find(rig);
      change(rig, 'three');
      await rig.writer.createSnapshot('three');
      for (const tier of ['local', 's3']) {
        const { problems } = await rig.writer.verifySnapshot('three', { tier });
        assert.deepEqual(problems, [], tier);
      }
    });
  }

  test('is built on again once it was put right and read', async (t) => {
    const rig = await makeS3Rig(t, server);
    createDatabase(rig.database, { megabytes: 1 });
    await rig.writer.createSnapshot('one');
    const [pack] = await objectsOf(rig, 'packs');
    const good = await rig.bucket.get(pack);
    const bad = Buffer.from(good);
    bad[bad.length >> 1] ^= 1;
    await rig.bucket.put(pack, bad);
    assert.equal((await rig.writer.verifySnapshot('one', { tier: 's3' })).ok, false);
    await rig.bucket.put(pack, good);
    assert.equal((await rig.writer.verifySnapshot('one', { tier: 's3' })).ok, true);
    change(rig, 'two');
    await rig.writer.createSnapshot('two');
    const { storedSize, size } = await rig.writer.getSnapshot('two');
    assert.ok(storedSize < size / 10, `${storedSize} of ${size} bytes were stored`);
    await assertTiersVerify(rig);
  });
});
