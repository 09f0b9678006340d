'use strict';

// What can be wrong with a bucket: each trouble has its code, ends by itself, tells no secret, and
// leaves the local side as useful as before.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const { after, before, describe, test } = require('node:test');
const { contentOf, createDatabase, rewriteFiller, withDatabase } = require('../support/database.js');
const { assertAllVerify, refused } = require('../support/rig.js');
const { assertSecretKept, assertTiersVerify, makeS3Rig, objectsOf, wipe } = require('../support/s3.js');
const { CREDENTIALS } = require('../support/s3-client.js');
const { errorAnswer } = require('../support/s3-proxy.js');
const { startWeed } = require('../support/s3-servers.js');

const SECRET = 'a-secret-that-the-server-does-not-know';
/** Every trouble ends within this time; far more than any of them takes. */
const LIMIT = { timeout: 180_000 };
const always = (answer) => (rig) => rig.proxy.answer(answer, { times: Infinity });

const TROUBLES = {
  'a wrong secret': {
    code: 'S3_CREDENTIALS',
    begin: () => (process.env.AWS_SECRET_ACCESS_KEY = SECRET),
  },
  'an unknown key': {
    code: 'S3_CREDENTIALS',
    begin: () => Object.assign(process.env, { AWS_ACCESS_KEY_ID: 'nobody', AWS_SECRET_ACCESS_KEY: SECRET }),
  },
  'no credentials': {
    code: 'S3_CREDENTIALS',
    begin: () => {
      delete process.env.AWS_ACCESS_KEY_ID;
      delete process.env.AWS_SECRET_ACCESS_KEY;
    },
  },
  'an expired token': {
    code: 'S3_CREDENTIALS',
    begin: always(errorAnswer(400, 'ExpiredToken')),
  },
  'a bucket that does not exist': {
    code: 'S3_BUCKET_NOT_FOUND',
    begin: () => (process.env.S3_BUCKET = 'there-is-no-such-bucket'),
  },
  'a bucket in another region': {
    code: 'S3_REGION_WRONG',
    tells: /eu-west-1/,
    begin: always(errorAnswer(301, 'PermanentRedirect', { 'x-amz-bucket-region': 'eu-west-1' })),
  },
  'a region that the signature must not name': {
    code: 'S3_REGION_WRONG',
    tells: /eu-west-1/,
    begin: always(errorAnswer(400, 'AuthorizationHeaderMalformed', { 'x-amz-bucket-region': 'eu-west-1' })),
  },
  'no permission at all': {
    code: 'S3_ACCESS_DENIED',
    begin: always(errorAnswer(403, 'AccessDenied')),
  },
  'a clock that is wrong': {
    code: 'S3_CLOCK_SKEW',
    begin: always(errorAnswer(403, 'RequestTimeTooSkewed')),
  },
  'an endpoint where nobody listens': {
    code: 'S3_UNREACHABLE',
    begin: (rig) => rig.proxy.down(),
  },
  'an endpoint that never answers': {
    code: 'S3_UNREACHABLE',
    // Each call waits for half a minute.
    isSlow: true,
    begin: (rig) => rig.proxy.blackhole({ times: Infinity }),
  },
  'TLS spoken to a plain port': {
    code: 'S3_UNREACHABLE',
    begin: (rig) => (process.env.AWS_ENDPOINT_URL = rig.proxy.endpoint.replace('http:', 'https:')),
  },
  'a server that always fails': {
    code: 'S3_FAILED',
    begin: always(errorAnswer(500, 'InternalError')),
  },
  'somebody who answers with a web page': {
    code: 'S3_FAILED',
    begin: always({ status: 200, headers: { 'content-type': 'text/html' }, body: '<html>Log in</html>' }),
  },
};

/** One permission is missing: which requests fail, and a call that needs it. */
const PERMISSIONS = {
  's3:PutObject': {
    match: /^PUT /,
    call: (rig) => rig.writer.createSnapshot('new'),
    wrapped: 'UPLOAD_FAILED',
  },
  's3:ListBucket': { match: /list-type=2/, call: (rig) => rig.writer.sync({ direction: 'both' }) },
  's3:GetObject': {
    match: /^(GET|HEAD) .*\/packs\//,
    call: (rig) => rig.writer.exportSnapshot('kept', rig.path('export.db'), { tier: 's3' }),
  },
  's3:DeleteObject': {
    match: /^(DELETE |POST [^?]*\?delete)/,
    call: (rig) => rig.writer.deleteSnapshot('kept'),
  },
};

describe('a bucket in trouble', () => {
  let server;
  before(async () => (server = await startWeed()));
  after(() => server.stop());

  /** The snapshot "kept" on both sides, and a database that was changed since. */
  async function prepare(t) {
    const rig = await makeS3Rig(t, server, { deleteGraceMs: 0 });
    createDatabase(rig.database, { megabytes: 1 });
    const content = contentOf(rig.database);
    await rig.writer.createSnapshot('kept');
    rewriteFiller(rig.database);
    return { rig, content };
  }

  for (const [what, { code, tells, begin, isSlow }] of Object.entries(TROUBLES)) {
    test(`${what} is ${code}`, LIMIT, async (t) => {
      const { rig, content } = await prepare(t);
      begin(rig);

      // Hosts do not wait for each other, so that this takes no longer than the slowest call.
      const [empty, other] = [rig.host('empty'), rig.host('other')];
      const [failed, refusal, started, listed] = await Promise.all([
        refused(rig.writer.createSnapshot('new'), 'UPLOAD_FAILED'),
        refused(other.writer.sync(), code),
        empty.writer.bootstrapDatabase(),
        rig.writer.listSnapshots(),
      ]);

      assert.match(failed.message, new RegExp(code));
      for (const { message } of [failed, refusal]) assert.match(message, tells ?? /./);
      assert.deepEqual([started.bootstrapped, started.code], [false, code]);
      assert.equal(fs.existsSync(empty.database), false);
      assert.ok(
        listed.some(({ name }) => name === 'kept'),
        'the local snapshots are listed',
      );
      for (const secret of [SECRET, CREDENTIALS.secretAccessKey]) {
        assertSecretKept(rig, [failed, refusal, started.error, started.stack], secret);
        for (const host of [empty, other]) assertSecretKept(host, [], secret);
      }
      await assertLocalSideWorks(rig, content, isSlow ? rig.newWriter({ s3: false }) : rig.writer);
    });
  }

  for (const [permission, { match, call, wrapped }] of Object.entries(PERMISSIONS)) {
    test(`a missing ${permission} is named`, LIMIT, async (t) => {
      const { rig, content } = await prepare(t);
      rig.proxy.answer(errorAnswer(403, 'AccessDenied'), { match, times: Infinity });
      const refusal = await refused(call(rig), wrapped ?? 'S3_ACCESS_DENIED');
      assert.match(refusal.message, new RegExp(permission));
      if (wrapped) assert.match(refusal.message, /S3_ACCESS_DENIED/);
      rig.proxy.mend();
      await assertTiersVerify(rig);
      if (permission !== 's3:DeleteObject') await assertLocalSideWorks(rig, content, rig.writer);
    });
  }

  for (const [what, damage] of Object.entries({
    'whose pack is missing': async ({ bucket }, { pack }) => bucket.delete(pack),
    'whose pack was swapped for another': async ({ bucket }, { pack, otherPack }) =>
      bucket.put(pack, await bucket.get(otherPack)),
    'whose manifest was swapped for another': async ({ bucket }, { manifest, otherManifest }) =>
      bucket.put(manifest, await bucket.get(otherManifest)),
    'whose manifest is empty': async ({ bucket }, { manifest }) => bucket.put(manifest, Buffer.alloc(0)),
  })) {
    test(`a snapshot ${what} is found damaged in the bucket, and is whole locally`, async (t) => {
      const { rig, content } = await prepare(t);
      const [pack] = await objectsOf(rig, 'packs');
      const [manifest] = await objectsOf(rig, 'snapshots');
      // With another page size it shares no page with the first one.
      withDatabase(rig.database, (db) => db.exec('PRAGMA page_size = 8192; VACUUM'));
      await rig.writer.createSnapshot('other');
      const otherPack = (await objectsOf(rig, 'packs')).find((key) => key !== pack);
      const otherManifest = (await objectsOf(rig, 'snapshots')).find((key) => key !== manifest);
      await damage(rig, { pack, otherPack, manifest, otherManifest });

      const inBucket = await rig.writer
        .verifySnapshot('kept', { tier: 's3' })
        .catch((error) => ({ ok: false, problems: [error.message] }));
      assert.equal(inBucket.ok, false);
      t.diagnostic(inBucket.problems.join('; '));
      const file = rig.path('export.db');
      await assert.rejects(rig.writer.exportSnapshot('kept', file, { tier: 's3' }));
      assert.equal(fs.existsSync(file), false);
      assert.deepEqual((await rig.writer.verifySnapshot('other', { tier: 's3' })).problems, []);
      await rig.writer.restoreFromSnapshot('kept');
      assert.equal(contentOf(rig.database), content, 'what is damaged in the bucket is whole locally');

      const live = contentOf(rig.database);
      fs.rmSync(rig.snapshotDir, { recursive: true });
      rewriteFiller(rig.database);
      const changed = contentOf(rig.database);
      await assert.rejects(rig.writer.restoreFromSnapshot('kept'));
      assert.equal(contentOf(rig.database), changed);
      assert.notEqual(changed, live);
      wipe(rig);
      assert.equal((await rig.writer.bootstrapDatabase()).snapshot?.name, 'other');
    });
  }

  test('switched off by a variable, the bucket is not asked for anything', async (t) => {
    const { rig } = await prepare(t);
    rig.proxy.forget();
    for (const name of ['S3_DISABLE', 'SNAPSHOT_S3_DISABLE']) {
      process.env[name] = 'true';
      await rig.writer.createSnapshot(name);
      await refused(rig.writer.sync(), 'S3_DISABLED');
      delete process.env[name];
    }
    assert.deepEqual(rig.proxy.requests(), []);
  });
});

/** What is stored here is whole and restorable, with the trouble going on. */
async function assertLocalSideWorks(rig, content, writer) {
  await assertAllVerify(rig.newWriter({ s3: false }));
  assert.deepEqual((await rig.writer.verifySnapshot('kept')).problems, []);
  await writer.restoreFromSnapshot('kept');
  assert.equal(contentOf(rig.database), content);
}
