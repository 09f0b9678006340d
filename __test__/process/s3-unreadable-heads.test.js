'use strict';

// A bucket that can be listed and does not give its manifests away costs no snapshot: the right to read is
// missing, an object is archived, or the network goes between the two requests.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const { after, before, describe, test } = require('node:test');
const { countRows, createDatabase } = require('../support/database.js');
const { refused } = require('../support/rig.js');
const { assertTiersVerify, makeS3Rig, wipe } = require('../support/s3.js');
const { errorAnswer } = require('../support/s3-proxy.js');
const { startWeed } = require('../support/s3-servers.js');

const MANIFEST = /^(GET|HEAD) \/[^?]*\/snapshots\/snapshots\/[^?]/;
const FAILURES = {
  'may not be read': [errorAnswer(403, 'AccessDenied'), 'S3_ACCESS_DENIED'],
  'are archived': [errorAnswer(403, 'InvalidObjectState'), 'S3_ACCESS_DENIED'],
  'fail on the server': [errorAnswer(503, 'SlowDown', { 'retry-after': '0' }), undefined],
};

describe('manifests that cannot be read', () => {
  let server;
  before(async () => (server = await startWeed()));
  after(() => server.stop());

  /** A host that does not know yet what another one has stored. */
  async function prepare(t) {
    const one = await makeS3Rig(t, server);
    const other = one.host('other');
    for (const host of [one, other]) createDatabase(host.database);
    const { snapshot } = await one.writer.createSnapshot('of the first host');
    return Object.assign(other, { first: snapshot });
  }

  for (const [what, [answer, code]] of Object.entries(FAILURES)) {
    test(`manifests that ${what}`, async (t) => {
      const host = await prepare(t);
      const fault = host.proxy.answer(answer, { match: MANIFEST, times: Infinity });
      const { claimed } = await host.writer._claimTick('0 */6 * * *', new Date('2026-03-01T06:00:00Z'));
      assert.equal(claimed, true);
      // It may or may not arrive in the bucket; here it is.
      await host.writer.createSnapshot('by hand').catch((error) => assert.equal(error.code, 'UPLOAD_FAILED'));
      assert.ok(fault.hits > 0);
      const { latest, checks } = await host.writer.status();
      assert.equal(latest.name, 'by hand');
      const bucket = checks.find(({ name }) => name === 'bucket');
      assert.equal(bucket.verdict, 'warning');
      if (code) assert.match(bucket.reason, new RegExp(code));
      // Whoever asks for the bucket alone is told why it has nothing to say.
      const asked = host.writer.verifySnapshot('of the first host', { tier: 's3' });
      assert.match((await asked.catch((error) => error)).code, /^S3_/);

      host.proxy.mend();
      await host.writer.sync();
      const listed = await assertTiersVerify(host);
      const both = listed.find(({ name }) => name === 'by hand');
      assert.deepEqual(both.tiers, ['local', 's3']);
    });
  }

  test('one that is archived does not keep new ones out of the bucket', async (t) => {
    const host = await prepare(t);
    // Just this one: after the upload of a new one, that is read back.
    const match = new RegExp(`^(GET|HEAD) /.*/snapshots/${host.first.id}`);
    host.proxy.answer(errorAnswer(403, 'InvalidObjectState'), { match, times: Infinity });
    const { snapshot } = await host.writer.createSnapshot('by hand');
    assert.equal(snapshot.status, 'COMPLETED');
    assert.ok(host.log.warnings().some(({ fields }) => fields?.code === 'S3_ACCESS_DENIED'));
  });

  test('bootstrapping passes over one that is archived, and waits for a server that fails', async (t) => {
    const host = await prepare(t);
    const { snapshot } = await host.writer.createSnapshot('later');
    const rows = countRows(host.database, 'Reality');
    wipe(host);
    const match = new RegExp(`^(GET|HEAD) /.*/snapshots/${snapshot.id}`);
    host.proxy.answer(errorAnswer(503, 'SlowDown', { 'retry-after': '0' }), { match, times: Infinity });
    const failed = await host.writer.bootstrapDatabase();
    assert.deepEqual([failed.bootstrapped, failed.code], [false, 'S3_FAILED']);
    assert.equal(fs.existsSync(host.database), false);
    host.proxy.mend();
    host.proxy.answer(errorAnswer(403, 'InvalidObjectState'), { match, times: Infinity });
    const { snapshot: older, passedOver } = await host.writer.bootstrapDatabase();
    assert.equal(older.name, 'of the first host');
    assert.equal(passedOver.length, 1);
    assert.equal(countRows(host.database, 'Reality'), rows);
  });

  test('the network goes after the listing', async (t) => {
    const host = await prepare(t);
    const held = host.proxy.hold(MANIFEST);
    const made = refused(host.writer.createSnapshot('by hand'), 'UPLOAD_FAILED');
    await held.reached;
    host.proxy.down();
    held.release();
    await made;
    const { latest, pendingUploads } = await host.writer.status();
    assert.deepEqual([latest.name, pendingUploads], ['by hand', 1]);
  });
});
