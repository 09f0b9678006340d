'use strict';

// Snapshots of the module before this one: plain SQLite files in the bucket.

const assert = require('node:assert/strict');
const { DeleteObjectCommand } = require('@aws-sdk/client-s3');
const fs = require('node:fs');
const { after, before, describe, test } = require('node:test');
const {
  catalogRow,
  contentOf,
  createDatabase,
  insertRealities,
  withDatabase,
} = require('../support/database.js');
const { sha256 } = require('../support/files.js');
const { refused } = require('../support/rig.js');
const { assertTiersVerify, makeS3Rig } = require('../support/s3.js');
const { startWeed } = require('../support/s3-servers.js');

const NAME = 'snapshot_2025-01-02T03-04-05-678Z';
const KEY = `snapshots/${NAME}.db`;

/** Where the checksum of an old object is told. */
const TOLD_BY = {
  "the object's metadata": (rig, image) => rig.bucket.put(KEY, image.bytes, { sha256: image.checksum }),
  'the row': async (rig, image) => {
    await rig.bucket.put(KEY, image.bytes);
    withDatabase(rig.database, (db) =>
      db
        .prepare(
          `INSERT INTO Snapshot (id, name, s3Key, checksum, size, status, createdAt, updatedAt)
           VALUES ('d9428888-122b-41e1-b85c-61fdcf0a1c2a', ?, ?, ?, ?, 'COMPLETED', ?, ?)`,
        )
        .run(
          NAME,
          KEY,
          image.checksum,
          image.bytes.length,
          ...Array(2).fill('2025-01-02T03:04:05.678+00:00'),
        ),
    );
  },
};

describe('an old plain snapshot in the bucket', () => {
  let server;
  before(async () => (server = await startWeed()));
  after(() => server.stop());

  /** A database, and in the bucket the plain file of an earlier state. */
  async function prepare(t, toldBy) {
    const rig = await makeS3Rig(t, server);
    createDatabase(rig.database, { megabytes: 1 });
    const file = rig.path('plain.db');
    fs.copyFileSync(rig.database, file);
    const image = { bytes: fs.readFileSync(file), checksum: sha256(file), content: contentOf(file) };
    withDatabase(rig.database, (db) => insertRealities(db, 20));
    await TOLD_BY[toldBy](rig, image);
    return { rig, image };
  }

  for (const toldBy of Object.keys(TOLD_BY)) {
    test(`whose checksum is told by ${toldBy} is listed, verified, exported and restored`, async (t) => {
      const { rig, image } = await prepare(t, toldBy);
      await rig.writer.createSnapshot('new');

      const listed = await assertTiersVerify(rig, 'database');
      const plain = listed.find(({ name }) => name === NAME);
      assert.ok(plain, 'it is listed');
      assert.deepEqual([plain.kind, plain.tiers, plain.s3Key], ['plain', ['s3'], KEY]);
      assert.equal(plain.size, image.bytes.length);
      const file = rig.path('export.db');
      await rig.writer.exportSnapshot(NAME, file);
      assert.equal(sha256(file), image.checksum);
      const { snapshot } = await rig.writer.restoreFromSnapshot(NAME);
      assert.equal(snapshot.restoreStatus, 'SUCCESS');
      assert.equal(contentOf(rig.database), image.content);
      assert.equal(catalogRow(rig.database, NAME).restoreStatus, 'SUCCESS');
    });

    test(`whose checksum is told by ${toldBy} and whose bytes were altered is refused`, async (t) => {
      const { rig, image } = await prepare(t, toldBy);
      const altered = Buffer.from(image.bytes);
      altered[altered.length - 100] ^= 1;
      const { Metadata } = await rig.bucket.head(KEY);
      await rig.bucket.put(KEY, altered, Metadata);
      const live = contentOf(rig.database);

      assert.equal((await rig.writer.verifySnapshot(NAME)).ok, false);
      await refused(rig.writer.restoreFromSnapshot(NAME), 'SNAPSHOT_DAMAGED');
      await refused(rig.writer.exportSnapshot(NAME, rig.path('export.db')), 'SNAPSHOT_DAMAGED');
      assert.equal(fs.existsSync(rig.path('export.db')), false);
      assert.equal(contentOf(rig.database), live);
    });
  }

  for (const [what, remove] of Object.entries({
    deleteSnapshot: (rig) => rig.writer.deleteSnapshot(NAME),
    "the SDK's command": (rig) =>
      rig.writer.s3Client.send(new DeleteObjectCommand({ Bucket: rig.writer.s3Bucket, Key: KEY })),
  })) {
    test(`is deleted by ${what}, and nothing else is`, async (t) => {
      const { rig } = await prepare(t, 'the row');
      await rig.writer.createSnapshot('new');
      await rig.bucket.put('snapshots/other.txt', 'foreign');

      await remove(rig);

      assert.equal(await rig.bucket.head(KEY), undefined);
      assert.deepEqual(
        (await assertTiersVerify(rig)).map(({ name }) => name),
        ['new'],
      );
      assert.ok(await rig.bucket.head('snapshots/other.txt'));
    });
  }

  test('is what an empty host starts from when there is nothing newer', async (t) => {
    const { rig, image } = await prepare(t, "the object's metadata");
    fs.rmSync(rig.database);
    const result = await rig.writer.bootstrapDatabase();
    assert.equal(result.bootstrapped, true, result.stack);
    assert.equal(result.snapshot.name, NAME);
    assert.equal(contentOf(rig.database), image.content);
  });
});
