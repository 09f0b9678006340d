'use strict';

// The diagnosis of a bucket that can be used, and of one that cannot.

const assert = require('node:assert/strict');
const { after, before, describe, test } = require('node:test');
const { createDatabase } = require('../support/database.js');
const { assertSecretKept, makeS3Rig } = require('../support/s3.js');
const { startWeed } = require('../support/s3-servers.js');

describe('the diagnosis of a bucket', () => {
  let server;
  before(async () => (server = await startWeed()));
  after(() => server.stop());

  async function diagnose(t, prepare) {
    const rig = await makeS3Rig(t, server);
    createDatabase(rig.database);
    await rig.writer.createSnapshot('a');
    const stored = await rig.bucket.list();
    prepare(rig);
    const { ok, findings } = await rig.writer.doctor();
    rig.proxy.up();
    assert.deepEqual(await rig.bucket.list(), stored, 'what was tried out is removed again');
    assertSecretKept(rig, [JSON.stringify(findings)]);
    return { ok, of: (check) => findings.find((one) => one.check === check) };
  }

  test('that can be used compares the clocks as well', async (t) => {
    const { ok, of } = await diagnose(t, () => {});
    assert.equal(ok, true);
    assert.deepEqual([of('bucket').verdict, of('clock').verdict], ['ok', 'ok'], of('bucket').finding);
    assert.match(of('clock').finding, /agrees with the bucket/);
    assert.equal(of('disk'), undefined, 'there is another place');
  });

  test('that cannot be reached says so, and everything else is told', async (t) => {
    const { ok, of } = await diagnose(t, (rig) => rig.proxy.down());
    assert.equal(ok, false);
    assert.equal(of('bucket').verdict, 'problem');
    assert.match(of('bucket').finding, /cannot be used: List: /);
    assert.match(of('bucket').advice, /check-storage/);
    assert.equal(of('clock').verdict, 'unknown');
    for (const check of ['database', 'catalog', 'repository']) assert.equal(of(check).verdict, 'ok');
  });

  test('that the credentials do not open says so', async (t) => {
    const { of } = await diagnose(t, () => {
      process.env.AWS_SECRET_ACCESS_KEY = 'wrong';
    });
    assert.equal(of('bucket').verdict, 'problem');
    assert.ok(!of('bucket').finding.includes('wrong'));
  });
});
