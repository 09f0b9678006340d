'use strict';

// A second opinion on the protocol: the ordinary life of a bucket on a server of another make.

const assert = require('node:assert/strict');
const { test } = require('node:test');
const { contentOf, createDatabase, rewriteFiller } = require('../support/database.js');
const { assertNoUploadLeft, assertTiersVerify, makeS3Rig, objectsOf, wipe } = require('../support/s3.js');
const { startMoto } = require('../support/s3-servers.js');

test('on moto: snapshots, in parts too, bootstrapping, two hosts, deletion', async (t) => {
  const server = await startMoto();
  t.after(server.stop);
  const rig = await makeS3Rig(t, server, { deleteGraceMs: 0 });
  const checked = await rig.writer.checkStorage();
  assert.deepEqual([checked.ok, checked.conditionalWrites, checked.missingPermissions], [true, true, []]);

  createDatabase(rig.database, { megabytes: 40 });
  await rig.writer.createSnapshot('first');
  rewriteFiller(rig.database, 50);
  await rig.writer.createSnapshot('second');
  const content = contentOf(rig.database);
  await assertNoUploadLeft(rig);

  wipe(rig);
  const result = await rig.writer.bootstrapDatabase();
  assert.equal(result.snapshot?.name, 'second', result.stack);
  assert.equal(contentOf(rig.database), content);
  assert.equal((await assertTiersVerify(rig)).length, 2);

  const other = rig.host('other');
  const [deleted, created] = await Promise.all([
    other.writer.deleteSnapshot('first'),
    rig.writer.createSnapshot('third'),
  ]);
  assert.equal(deleted.name, 'first');
  assert.equal(created.snapshot.status, 'COMPLETED');
  await rig.writer.sync({ direction: 'both' });
  const listed = await assertTiersVerify(other);
  assert.deepEqual(listed.map(({ name }) => name).sort(), ['second', 'third']);

  for (const { name } of listed) await other.writer.deleteSnapshot(name);
  for (const kind of ['packs', 'snapshots', 'marks']) assert.deepEqual(await objectsOf(rig, kind), [], kind);
});
