'use strict';

// The clean-up that the application does itself, with commands of the AWS SDK and its own row deletion.

const assert = require('node:assert/strict');
const { DeleteObjectCommand, HeadObjectCommand, ListObjectsV2Command } = require('@aws-sdk/client-s3');
const { after, before, describe, test } = require('node:test');
const { createDatabase, rewriteFiller, withDatabase } = require('../support/database.js');
const { refused } = require('../support/rig.js');
const { assertTiersVerify, makeS3Rig, objectsOf } = require('../support/s3.js');
const { startWeed } = require('../support/s3-servers.js');
const snapshotWriter = require('../../snapshotWriter.cjs');

const KEPT = 10;
const MADE = 13;

describe("the application's clean-up", () => {
  let server;
  before(async () => (server = await startWeed()));
  after(() => server.stop());

  test('deletes old snapshots by their keys, and nothing that the kept ones need', async (t) => {
    const rig = await makeS3Rig(t, server, { deleteGraceMs: 0 });
    await makeSnapshots(rig, MADE);
    const rows = completedRows(rig);
    assert.equal(rows.length, MADE);

    for (const row of rows.slice(KEPT)) {
      await deleteByKey(rig.writer, row.s3Key);
      assert.ok(
        completedRows(rig).some(({ id }) => id === row.id),
        'the row is for the application to delete',
      );
      deleteRow(rig, row);
    }

    const listed = await assertTiersVerify(rig, 'database');
    const kept = rows.slice(0, KEPT).map(({ name }) => name);
    assert.deepEqual(new Set(listed.map(({ name }) => name)), new Set(kept));
    assert.equal((await objectsOf(rig, 'snapshots')).length, KEPT);
    await rig.writer.createSnapshot('after the clean-up');
    assert.equal(completedRows(rig).length, KEPT + 1, 'deleted rows stay deleted');
    await rig.writer.restoreFromSnapshot(kept.at(-1), { tier: 's3' });
  });

  test('works through the default instance as the application uses it', async (t) => {
    const rig = await makeS3Rig(t, server);
    Object.assign(process.env, { DATABASE_URL: `file:${rig.database}`, SNAPSHOT_DIR: rig.snapshotDir });
    snapshotWriter.log = rig.log;
    t.after(() => (snapshotWriter.log = null));
    await makeSnapshots({ ...rig, writer: snapshotWriter }, 2);
    const [newest, oldest] = completedRows(rig);
    const Bucket = snapshotWriter.s3Bucket;

    const head = await snapshotWriter.s3Client.send(new HeadObjectCommand({ Bucket, Key: oldest.s3Key }));
    const { LastModified } = await rig.bucket.head(oldest.s3Key);
    // Of the database, as it was when the object under such a key was the database.
    assert.equal(head.ContentLength, oldest.size);
    assert.deepEqual(head.Metadata, { sha256: oldest.checksum });
    assert.deepEqual(head.LastModified, LastModified);
    await deleteByKey(snapshotWriter, oldest.s3Key);
    deleteRow(rig, oldest);

    await assert.rejects(
      snapshotWriter.s3Client.send(new HeadObjectCommand({ Bucket, Key: oldest.s3Key })),
      (error) => error.name === 'NotFound' && error.$metadata.httpStatusCode === 404,
    );
    assert.deepEqual(
      (await assertTiersVerify(rig)).map(({ name }) => name),
      [newest.name],
    );
  });

  test('of a key that is gone already succeeds, as it does on S3', async (t) => {
    const rig = await makeS3Rig(t, server);
    await makeSnapshots(rig, 2);
    const [, oldest] = completedRows(rig);
    await deleteByKey(rig.writer, oldest.s3Key);
    await deleteByKey(rig.writer, oldest.s3Key);
    assert.equal((await assertTiersVerify(rig)).length, 1);
  });

  test('cannot delete a pack, nor anything else that is no snapshot', async (t) => {
    const rig = await makeS3Rig(t, server);
    await makeSnapshots(rig, 1);
    await rig.bucket.put('snapshots/foreign', 'foreign');
    await rig.bucket.put('elsewhere', 'foreign');
    const before = await rig.bucket.list();
    const [pack] = await objectsOf(rig, 'packs');

    for (const Key of [pack, 'snapshots/foreign', 'elsewhere']) {
      await deleteByKey(rig.writer, Key).catch((error) => t.diagnostic(`${Key}: ${error.code}`));
    }
    await refused(rig.writer.s3Client.send(new ListObjectsV2Command({ Bucket: 'any' })), 'INVALID_ARGUMENT');
    await refused(
      rig.writer.s3Client.send(new DeleteObjectCommand({ Bucket: 'another', Key: pack })),
      'INVALID_ARGUMENT',
    );
    assert.deepEqual(await rig.bucket.list(), before);
    await assertTiersVerify(rig);
  });
});

async function makeSnapshots(rig, count) {
  createDatabase(rig.database, { megabytes: 1 });
  for (let number = 1; number <= count; number += 1) {
    rewriteFiller(rig.database, 10);
    await rig.writer.createSnapshot(`scheduled ${number}`);
  }
}

/** What the application asks its table for: the newest first. */
function completedRows(rig) {
  return withDatabase(rig.database, (db) =>
    db.prepare("SELECT * FROM Snapshot WHERE status = 'COMPLETED' ORDER BY createdAt DESC").all(),
  );
}

function deleteRow(rig, { id }) {
  withDatabase(rig.database, (db) => db.prepare('DELETE FROM Snapshot WHERE id = ?').run(id));
}

function deleteByKey(writer, Key) {
  return writer.s3Client.send(new DeleteObjectCommand({ Bucket: writer.s3Bucket, Key }));
}
