'use strict';

// The order of snapshots in a bucket that several hosts use, whatever their clocks say and whether or not they see
// each other.

const assert = require('node:assert/strict');
const { after, before, describe, test } = require('node:test');
const { cannotShift, shifted, MINUTE } = require('../support/clock.js');
const { createDatabase, withDatabase } = require('../support/database.js');
const { makeS3Rig } = require('../support/s3.js');
const { startWeed } = require('../support/s3-servers.js');

/** As far back as a bucket that checks signatures lets a clock be. */
const BACK = -10 * MINUTE;
const AT_ONCE = { trashGraceMs: 0, deleteGraceMs: 0 };
const namesOf = (snapshots) => snapshots.map(({ name }) => name);
const numbersOf = async (host) =>
  Object.fromEntries((await host.writer.listSnapshots()).map(({ name, sequence }) => [name, sequence]));

/** Writes a name into a host's database and makes a snapshot of it. */
async function make(host, name, options) {
  withDatabase(host.database, (db) => db.prepare('UPDATE Reality SET description = ?').run(name));
  await host.newWriter(options).createSnapshot(name);
}

describe('snapshots in a bucket', () => {
  let server;
  before(async () => (server = await startWeed()));
  after(() => server.stop());

  test('the one that was made last is the newest in both tiers', { skip: cannotShift }, async (t) => {
    const rig = await makeS3Rig(t, server, AT_ONCE);
    createDatabase(rig.database);
    const back = shifted(rig)(BACK);
    await make(rig, 'one');
    await make(rig, 'two', back);
    for (const tier of ['local', 's3']) {
      const { kept, removed } = await rig.writer.prune({ keepLast: 1, tier, dryRun: true });
      assert.deepEqual([namesOf(kept), namesOf(removed)], [['two'], ['one']], tier);
    }
    const other = rig.host('other');
    assert.equal((await other.writer.bootstrapDatabase()).snapshot.name, 'two');
    await make(other, 'three', back);
    assert.deepEqual(namesOf(await rig.writer.listSnapshots()).slice(0, 3), ['three', 'two', 'one']);
    const numbers = await numbersOf(other);
    assert.ok(numbers.three > numbers.two && numbers.two > numbers.one, JSON.stringify(numbers));
  });

  test(
    'one that is here alone is missed in the bucket although it is dated earlier',
    { skip: cannotShift },
    async (t) => {
      const rig = await makeS3Rig(t, server, AT_ONCE);
      createDatabase(rig.database);
      await make(rig, 'one');
      await make(rig, 'two', { s3: false, ...shifted(rig)(BACK) });
      const upload = async () => (await rig.writer.status()).checks.find(({ name }) => name === 'upload');
      assert.equal((await upload()).verdict, 'warning');
      await rig.writer.sync();
      assert.equal((await upload()).verdict, 'ok');
    },
  );

  test('what is remembered of a bucket that cannot be reached counts for the next number', async (t) => {
    const rig = await makeS3Rig(t, server, AT_ONCE);
    createDatabase(rig.database);
    for (const name of ['one', 'two', 'three']) await make(rig, name);
    const other = rig.host('other');
    createDatabase(other.database);
    await other.writer.listSnapshots();
    await make(other, 'first here');
    await rig.writer.listSnapshots();
    await make(other, 'without the bucket', { s3: false });
    const numbers = await numbersOf(other);
    assert.ok(numbers['first here'] > numbers.three, JSON.stringify(numbers));
    assert.ok(numbers['without the bucket'] > numbers['first here'], JSON.stringify(numbers));
  });

  test('hosts that do not see each other give the same numbers, and everybody has one order', async (t) => {
    const rig = await makeS3Rig(t, server, AT_ONCE);
    createDatabase(rig.database);
    await make(rig, 'one');
    const other = rig.host('other');
    createDatabase(other.database);
    await make(other, 'two');
    await rig.writer.sync({ direction: 'both' });
    // Each goes on without the bucket.
    await make(rig, 'here', { s3: false });
    await make(other, 'there', { s3: false });
    for (const host of [rig, other, rig]) await host.writer.sync({ direction: 'both' });
    const numbers = await numbersOf(rig);
    assert.equal(numbers.here, numbers.there);
    const listed = namesOf(await rig.writer.listSnapshots());
    assert.deepEqual([...listed].sort(), ['here', 'one', 'there', 'two'], 'nothing is lost');
    assert.deepEqual(namesOf(await other.writer.listSnapshots()), listed);

    const third = rig.host('third');
    const { snapshot, apart } = await third.writer.bootstrapDatabase();
    assert.equal(snapshot.name, listed[0]);
    assert.deepEqual(apart, listed.slice(0, 2));
    assert.ok(third.log.warnings().some(({ message }) => message.includes('did not see each other')));
  });
});
