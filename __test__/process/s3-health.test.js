'use strict';

// Status and metrics with a bucket: what waits, what cannot be asked, and how long anybody waits for that.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { after, before, describe, test } = require('node:test');
const { createDatabase } = require('../support/database.js');
const { filesBelow } = require('../support/files.js');
const { samples, verdicts } = require('../support/health.js');
const { startConnection } = require('../support/processes.js');
const { refused } = require('../support/rig.js');
const { assertSecretKept, makeS3Rig, objectsOf } = require('../support/s3.js');
const { startWeed } = require('../support/s3-servers.js');

const DAY_MS = 24 * 60 * 60 * 1000;

describe('health with a bucket', () => {
  let server;
  before(async () => (server = await startWeed()));
  after(() => server.stop());

  async function makeApplication(t) {
    const rig = await makeS3Rig(t, server);
    createDatabase(rig.database);
    await rig.writer.createSnapshot('first');
    return rig;
  }

  /** The two checks about the bucket. */
  async function judged(rig) {
    const { upload, bucket } = await verdicts(rig.writer);
    return { upload, bucket };
  }

  /** What the metrics say of the newest snapshot. */
  async function remembered(host) {
    const read = await samples(host.writer);
    return { newest: read.snapshot_last_created_timestamp, missed: read.snapshot_missed_runs };
  }

  test('an upload that fails is told until it is made up for', async (t) => {
    const rig = await makeApplication(t);
    assert.deepEqual(await judged(rig), { upload: 'ok', bucket: 'ok' });

    rig.proxy.down();
    await refused(rig.writer.createSnapshot('second'), 'UPLOAD_FAILED');
    assert.deepEqual(await judged(rig), { upload: 'warning', bucket: 'warning' });
    const status = await rig.writer.status();
    assert.equal(status.pendingUploads, 1);
    assert.equal(status.latest.name, 'second');
    const broken = await samples(rig.writer);
    assert.equal(broken.snapshot_pending_uploads, 1);
    assert.equal(broken.snapshot_upload_failures_total, 1);
    assert.equal(broken.snapshot_failed_total, 1);
    assert.equal(broken.snapshot_created_total, 1);
    assert.equal(broken.snapshot_last_created_timestamp, status.latest.createdAt.getTime() / 1000);
    assert.equal(broken.snapshot_oldest_pending_timestamp, status.latest.createdAt.getTime() / 1000);

    rig.proxy.mend();
    assert.deepEqual(await judged(rig), { upload: 'warning', bucket: 'ok' });
    await rig.writer.sync();
    assert.deepEqual(await judged(rig), { upload: 'ok', bucket: 'ok' });
    const mended = await samples(rig.writer);
    assert.equal(mended.snapshot_pending_uploads, 0);
    assert.equal(mended.snapshot_uploads_total, 2);
    assert.equal(mended['snapshot_kept{tier="s3"}'], 2);
    assert.ok(mended.snapshot_uploaded_bytes_total > 0);
    assert.ok(mended.snapshot_last_uploaded_timestamp > broken.snapshot_last_uploaded_timestamp);
    assertSecretKept(rig);
  });

  test('what waits for more than a day is critical', async (t) => {
    const rig = await makeApplication(t);
    rig.proxy.down();
    await refused(rig.writer.createSnapshot('second'), 'UPLOAD_FAILED');
    const now = Date.now;
    t.after(() => (Date.now = now));
    Date.now = () => now() + DAY_MS + 60_000;
    assert.deepEqual(await judged(rig), { upload: 'critical', bucket: 'critical' });
  });

  test('snapshots from before the bucket are missing in it until sync', async (t) => {
    const rig = await makeS3Rig(t, server);
    createDatabase(rig.database);
    await rig.writer.createSnapshot('first', { s3: false });
    assert.deepEqual(await judged(rig), { upload: 'warning', bucket: 'ok' });
    const now = Date.now;
    Date.now = () => now() + DAY_MS + 60_000;
    assert.deepEqual(await judged(rig), { upload: 'critical', bucket: 'ok' });
    Date.now = now;
    await rig.writer.sync();
    assert.deepEqual(await judged(rig), { upload: 'ok', bucket: 'ok' });
  });

  test('a scheduler without the bucket leaves it behind, first a little and then too far', async (t) => {
    const rig = await makeApplication(t);
    const seen = (await samples(rig.writer)).snapshot_newest_in_bucket_timestamp;
    const { createdAt } = await rig.writer.getSnapshot('first');
    assert.equal(seen, createdAt.getTime() / 1000);
    assert.equal((await samples(rig.writer)).snapshot_bucket_overdue_timestamp, undefined);

    await rig.writer.createSnapshot('second', { s3: false });
    assert.deepEqual(await judged(rig), { upload: 'warning', bucket: 'ok' });
    const behind = await samples(rig.writer);
    assert.equal(behind.snapshot_newest_in_bucket_timestamp, seen);
    const overdue = behind.snapshot_bucket_overdue_timestamp;
    assert.ok(overdue > seen && overdue < seen + 2 * 86_400);

    const now = Date.now;
    t.after(() => (Date.now = now));
    Date.now = () => now() + 2 * DAY_MS;
    assert.deepEqual(await judged(rig), { upload: 'critical', bucket: 'ok' });
    // Whatever else is wrong with the bucket.
    rig.proxy.down();
    assert.deepEqual(await judged(rig), { upload: 'critical', bucket: 'warning' });
    rig.proxy.mend();
    await rig.writer.sync();
    assert.deepEqual(await judged(rig), { upload: 'ok', bucket: 'ok' });
  });

  test('snapshots of another database that wait are its own affair', async (t) => {
    const rig = await makeApplication(t);
    const other = rig.path('other.db');
    createDatabase(other);
    rig.proxy.down();
    const writer = rig.newWriter({ databaseUrl: `file:${other}`, databaseId: 'other' });
    await refused(writer.createSnapshot('of the other one'), 'UPLOAD_FAILED');
    rig.proxy.mend();
    assert.equal((await writer.status()).pendingUploads, 1);
    const { pendingUploads, latest } = await rig.writer.status();
    assert.deepEqual([pendingUploads, latest.name], [0, 'first']);
  });

  test('a database that is kept locked is no reason to suspect the bucket', async (t) => {
    const rig = await makeApplication(t);
    const holder = await startConnection(rig, 'better-sqlite3', rig.database, {});
    await holder.exec('PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE');
    // Twice that is longer than the bucket is waited for.
    const status = await rig.newWriter({ lockTimeoutMs: 5_500 }).status();
    const bucket = status.checks.find(({ name }) => name === 'bucket');
    assert.deepEqual([bucket.verdict, status.latest.name], ['ok', 'first'], bucket.reason);
  });

  test('what verification found in the bucket is remembered', async (t) => {
    const rig = await makeApplication(t);
    const [pack] = await objectsOf(rig, 'packs');
    const bytes = await rig.bucket.get(pack);
    bytes[Math.floor(bytes.length / 2)] ^= 1;
    await rig.bucket.put(pack, bytes);
    assert.equal((await rig.writer.verifySnapshot('first', { tier: 'local' })).ok, true);
    assert.equal((await verdicts(rig.writer)).newest, 'ok');
    assert.equal((await rig.writer.verifySnapshot('first', { tier: 's3' })).ok, false);
    assert.equal((await verdicts(rig.writer)).newest, 'critical');
    assert.equal((await rig.writer.verifySnapshot('first', { tier: 'local' })).ok, true);
    assert.equal((await verdicts(rig.writer)).newest, 'critical');
  });

  test('the bucket as last seen is as large as it is', async (t) => {
    const rig = await makeApplication(t);
    await rig.writer.createSnapshot('second');
    const read = await samples(rig.writer);
    const isOurs = (file) => /^(packs|snapshots)[\\/]/.test(path.relative(rig.snapshotDir, file));
    const ours = filesBelow(rig.snapshotDir).filter(isOurs);
    const bytes = ours.reduce((sum, file) => sum + fs.statSync(file).size, 0);
    assert.equal(read['snapshot_stored_bytes{tier="s3"}'], bytes);
    assert.equal(read['snapshot_stored_bytes{tier="local"}'], bytes);
    assert.ok(ours.length >= 4, 'two manifests and their packs');
  });

  test('metrics never ask the bucket', async (t) => {
    const rig = await makeApplication(t);
    rig.proxy.forget();
    await samples(rig.writer);
    assert.deepEqual(rig.proxy.requests(), []);
  });

  test('what only the bucket has is in the metrics too, as this host last saw it', async (t) => {
    const rig = await makeApplication(t);
    const host = rig.host('new');
    createDatabase(host.database, { realities: 0 });
    await host.writer.createSnapshot('empty');
    assert.equal((await samples(host.writer)).snapshot_collapse, 1, 'before anybody asked for the status');
    assert.equal((await verdicts(host.writer)).collapse, 'critical');

    rig.proxy.down();
    assert.equal((await verdicts(host.writer)).collapse, 'critical', 'a bucket that is away hides nothing');
    assert.equal((await samples(host.writer)).snapshot_collapse, 1);
    rig.proxy.mend();

    // What was deleted is forgotten by the next look, also when it was the last one there.
    await host.writer.acknowledge();
    await host.writer.deleteSnapshot('first');
    await host.writer.deleteSnapshot('empty');
    const { missed } = await remembered(host);
    assert.equal(missed, undefined, 'there is no snapshot');
    assert.deepEqual(filesBelow(path.join(host.snapshotDir, 'local/heads')), []);
  });

  test('a host whose runs are all made by another one misses none', async (t) => {
    const rig = await makeS3Rig(t, server);
    const host = rig.host('second');
    for (const { database } of [rig, host]) createDatabase(database);
    const claim = async ({ writer }, due) => (await writer._claimTick('0 */6 * * *', due)).claimed;
    const [first, second] = ['2026-03-01T06:00:00Z', '2026-03-01T12:00:00Z'].map((at) => new Date(at));
    assert.equal(await claim(rig, first), true);
    assert.equal(await claim(host, first), false);
    const { snapshot } = await rig.writer.createSnapshot('by the first host');
    assert.equal(await claim(rig, second), true);
    assert.equal(await claim(host, second), false);
    const seen = await remembered(host);
    assert.equal(seen.newest, snapshot.createdAt.getTime() / 1000);
    assert.equal(seen.missed, 0);
  });

  test('drills of what is here say nothing about the bucket', async (t) => {
    const rig = await makeApplication(t);
    const drillOf = async () => (await rig.writer.status()).checks.find(({ name }) => name === 'drill');
    for (const tier of ['local', undefined]) {
      assert.equal((await rig.writer.drill({ tier })).outcome, 'passed');
      const { verdict, reason } = await drillOf();
      assert.equal(verdict, 'warning');
      assert.match(reason, /No restore from the bucket has been rehearsed.*drill --tier s3/);
    }
    const { outcome, newest } = await rig.writer.drill({ name: 'first', tier: 's3' });
    assert.deepEqual([outcome, newest], ['passed', true]);
    assert.equal((await drillOf()).verdict, 'ok');
    const wrong = [{ name: 'no rows', sql: 'SELECT 1', equals: 2 }];
    await rig.writer.drill({ tier: 'local', assertions: wrong });
    assert.equal((await drillOf()).verdict, 'critical');
  });

  test('a bucket that takes requests and says nothing is no reason to say nothing', async (t) => {
    const rig = await makeApplication(t);
    rig.proxy.blackhole({ times: Infinity });
    const { checks, latest, snapshots } = await rig.writer.status();
    const bucket = checks.find(({ name }) => name === 'bucket');
    assert.equal(bucket.verdict, 'warning');
    assert.match(bucket.reason, /S3_UNREACHABLE.*did not answer within 10 s/);
    assert.deepEqual([latest.name, snapshots], ['first', 1]);
  });
});
