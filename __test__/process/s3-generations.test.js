'use strict';

// Hosts that repack the same snapshots, each for itself: one generation may be of either of them, and
// an older one may go while somebody is about to read it.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { after, before, describe, test } = require('node:test');
const { catalogRow, contentOf, rewriteFiller } = require('../support/database.js');
const { sha256 } = require('../support/files.js');
const { withFailpoint } = require('../support/failpoints.js');
const { refused } = require('../support/rig.js');
const { PREFIX, assertTiersVerify, objectsOf, settled } = require('../support/s3.js');
const { startWeed } = require('../support/s3-servers.js');
const { makeWornRig } = require('../support/worn.js');

const AT_ONCE = { trashGraceMs: 0, deleteGraceMs: 0 };
const LEFT = ['newest', 'worn'];

describe('hosts that repack the same snapshots', () => {
  let server;
  before(async () => (server = await startWeed()));
  after(() => server.stop());

  /**
   * Two hosts whose second generations need other packs each; the bucket has those of the first one.
   * `of` tells the packs that only one of them has.
   */
  async function bothRepacked(t) {
    const rig = await makeWornRig(t, server, AT_ONCE);
    const other = rig.host('other');
    await other.writer.sync({ direction: 'down' });
    for (const host of [rig, other]) {
      assert.notEqual((await host.writer.prune({ keepLast: 2 })).repacked, null);
      for (const name of LEFT) assert.match((await host.writer.getSnapshot(name)).s3Key, /\.2$/);
    }
    const [here, there] = [rig, other].map(packsOf);
    const of = new Map([
      [rig, here.filter((pack) => !there.includes(pack))],
      [other, there.filter((pack) => !here.includes(pack))],
    ]);
    for (const packs of of.values()) assert.notEqual(packs.length, 0, 'each has packs of its own');
    const far = await objectsOf(rig, 'packs');
    assert.deepEqual(far.map((key) => path.basename(key)).sort(), here, 'the bucket follows the first one');
    return { rig, other, of };
  }

  test('each goes on with its own packs, and mirroring has nothing to do', async (t) => {
    const { rig, other } = await bothRepacked(t);
    for (const host of [other, rig, other]) {
      const { uploaded, downloaded, skipped } = await host.writer.sync();
      assert.deepEqual([uploaded, downloaded, skipped], [[], [], []]);
      await assertTiersVerify(host);
    }
  });

  for (const [what, prepare] of Object.entries({
    'while the bucket lacks those of the other one': () => {},
    'while the bucket has those of the other one as well': putPacksInBucket,
  })) {
    test(`the one whose snapshots are whole mends the bucket, ${what}`, async (t) => {
      const { rig, other, of } = await bothRepacked(t);
      await prepare(other);
      for (const pack of of.get(rig)) await rig.bucket.delete(`${PREFIX}packs/${pack}`);
      fs.rmSync(rig.snapshotDir, { recursive: true });

      const { uploaded } = await other.writer.sync({ direction: 'up' });

      assert.deepEqual(uploaded.sort(), LEFT);
      const listed = await assertTiersVerify(other);
      for (const { name, tiers, s3Key } of listed) {
        assert.deepEqual(tiers, ['local', 's3'], name);
        assert.match(s3Key, /\.3$/, 'one above that of the lost host');
      }
      assert.deepEqual((await other.writer.sync({ direction: 'up' })).uploaded, []);
      assert.deepEqual((await rig.writer.sync({ direction: 'down' })).downloaded.sort(), LEFT);
      await assertTiersVerify(rig);
    });
  }

  test('a manifest in the bucket that cannot be read is replaced as well', async (t) => {
    const { rig, other } = await bothRepacked(t);
    const { s3Key } = await other.writer.getSnapshot('worn');
    await rig.bucket.put(s3Key, (await rig.bucket.get(s3Key)).subarray(0, 1000));
    assert.deepEqual((await other.writer.sync({ direction: 'up' })).uploaded, ['worn']);
    assert.deepEqual(
      (await assertTiersVerify(other)).map(({ name }) => name),
      LEFT,
    );
  });

  for (const [what, damage] of Object.entries({
    lost: (file) => fs.rmSync(file),
    'damaged in the middle of': flipBit,
  })) {
    test(`a pack that one has ${what} is read in the generation of the bucket`, async (t) => {
      const { rig, other, of } = await bothRepacked(t);
      for (const pack of of.get(other)) damage(path.join(other.snapshotDir, 'packs', pack));
      await assertLocally(other, false);
      await assertReadable(other, 'worn');
      await assertTiersVerify(rig);
    });
  }

  test('what one has lost it takes from the bucket, in the generation that is there', async (t) => {
    const { rig, other, of } = await bothRepacked(t);
    for (const pack of of.get(other)) fs.rmSync(path.join(other.snapshotDir, 'packs', pack));
    const { downloaded } = await other.writer.sync({ direction: 'down' });
    assert.deepEqual(downloaded.sort(), LEFT);
    await assertLocally(other, true);
    assert.deepEqual((await other.writer.sync({ direction: 'down' })).downloaded, []);
    await assertTiersVerify(rig);
    await assertTiersVerify(other);
  });

  test('an upload is not taken for done when another host was faster with that number', async (t) => {
    const rig = await makeWornRig(t, server, AT_ONCE);
    const other = rig.host('other');
    await other.writer.sync({ direction: 'down' });
    const gate = rig.proxy.hold(/^PUT .*\/snapshots\/snapshots\/[^/]*\.2/);
    const slow = settled(other.writer.prune({ keepLast: 2 }));
    await gate.reached;
    await rig.writer.prune({ keepLast: 2 });
    gate.release();
    assert.equal((await slow).error, undefined);
    const warnings = other.log.warnings().map(({ message }) => message);
    assert.ok(warnings.includes('a repacked snapshot could not be uploaded'), warnings);
    for (const host of [rig, other]) {
      for (const { tiers } of await assertTiersVerify(host)) assert.deepEqual(tiers, ['local', 's3']);
    }
    assert.deepEqual((await other.writer.sync()).skipped, []);
    await assertTiersVerify(other);
  });

  for (const [what, read] of Object.entries({
    'bootstraps from it': async (host, content) => {
      const result = await host.writer.bootstrapDatabase();
      assert.deepEqual([result.snapshot?.name, result.passedOver], ['newest', undefined]);
      assert.equal(contentOf(host.database), content);
    },
    'exports it': async (host) => {
      const { checksum } = await host.writer.exportSnapshot('newest', host.path('export.db'), { tier: 's3' });
      assert.equal(checksum, (await host.writer.getSnapshot('newest')).checksum);
    },
    'mirrors it': async (host) => {
      const { downloaded, skipped } = await host.writer.sync({ direction: 'down' });
      assert.ok(downloaded.includes('newest'), downloaded);
      assert.ok(!skipped.some(({ name }) => name === 'newest'), 'it is there all the time');
    },
  })) {
    test(`a generation goes between a host's look at it and the moment when it ${what}`, async (t) => {
      const rig = await makeWornRig(t, server, AT_ONCE);
      const other = rig.host('other');
      const content = contentOf(rig.database);
      const { id } = await rig.writer.getSnapshot('newest');
      // The first request is for the list.
      const gate = rig.proxy.hold(new RegExp(`^GET .*/snapshots/${id}\\.1`), { every: 2 });
      const reading = settled(read(other, content));
      await gate.reached;
      assert.notEqual((await rig.writer.prune({ keepLast: 2 })).repacked, null);
      const keys = await objectsOf(rig, 'snapshots');
      assert.ok(keys.some((key) => key.endsWith(`${id}.2`)) && !keys.some((key) => key.endsWith(`${id}.1`)));
      gate.release();
      assert.equal((await reading).error, undefined);
    });
  }

  test('a bucket that cannot be asked is not asked again for what was repacked', async (t) => {
    const rig = await makeWornRig(t, server, AT_ONCE);
    await withFailpoint('bucket-repack.before-upload=fail', () => rig.writer.prune({ keepLast: 2 }));
    rig.proxy.down();
    rewriteFiller(rig.database, 100);
    const tries = () =>
      rig.log.lines.filter(({ message }) => /the bucket cannot be asked/.test(message)).length;
    const before = tries();
    const hurried = rig.newWriter({ ...AT_ONCE, lockTimeoutMs: 3000 });
    await refused(hurried.createSnapshot('later'), 'UPLOAD_FAILED');
    assert.equal(tries() - before, 1);

    rig.proxy.up();
    await rig.writer.createSnapshot('after that');
    assert.match(catalogRow(rig.database, 'worn').s3Key, /\.2$/);
    await assertTiersVerify(rig);
  });
});

function packsOf(host) {
  return fs.readdirSync(path.join(host.snapshotDir, 'packs')).sort();
}

async function putPacksInBucket(host) {
  for (const pack of packsOf(host)) {
    const bytes = fs.readFileSync(path.join(host.snapshotDir, 'packs', pack));
    await host.bucket.put(`${PREFIX}packs/${pack}`, bytes);
  }
}

function flipBit(file) {
  const bytes = fs.readFileSync(file);
  bytes[Math.floor(bytes.length / 2)] ^= 1;
  fs.writeFileSync(file, bytes);
}

/** By an export, which reads runs of pages, and by a restore in place, which reads one after the other. */
async function assertReadable(host, name) {
  const { checksum } = await host.writer.getSnapshot(name);
  const file = host.path(`${name}.export`);
  await host.writer.exportSnapshot(name, file);
  assert.equal(sha256(file), checksum);
  fs.copyFileSync(file, host.database);
  const content = contentOf(host.database);
  rewriteFiller(host.database, 2);
  assert.notEqual(contentOf(host.database), content);
  await host.writer.restoreFromSnapshot(name);
  assert.equal(contentOf(host.database), content);
}

async function assertLocally(host, ok) {
  for (const name of LEFT) {
    const verdict = await host.writer.verifySnapshot(name, { tier: 'local', level: 'data' });
    assert.equal(verdict.ok, ok, `${name}: ${verdict.problems}`);
  }
}
