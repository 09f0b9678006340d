'use strict';

// A network that breaks: at every twentieth of an upload and of a download, throttled, with bodies that
// arrive short or altered, with answers that get lost. A call may fail; nothing that it leaves may lie.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const { after, before, describe, test } = require('node:test');
const { contentOf, createDatabase, integrityOf } = require('../support/database.js');
const { sha256 } = require('../support/files.js');
const { makeFolder, removeFolder } = require('../support/folders.js');
const { assertNoUploadLeft, assertTiersVerify, makeS3Rig, settled, wipe } = require('../support/s3.js');
const { errorAnswer } = require('../support/s3-proxy.js');
const { startWeed } = require('../support/s3-servers.js');

const MEGABYTES = 8;
const SHARES = Array.from({ length: 20 }, (_, index) => index / 20);
const SLOW_DOWN = errorAnswer(503, 'SlowDown', { 'retry-after': '0' });
const PACK = /\/packs\/[^/]*$/;
const up = (what) => new RegExp(`^(PUT|POST) .*${what.source}`);
const down = (what) => new RegExp(`^GET .*${what.source}`);
const MANIFEST = /\/snapshots\/[^/?]*\.1(\?.*)?$/;
const COMPLETION = /^POST .*[?&]uploadId=/;

/** What else may happen to an upload. */
const UPLOAD_FAULTS = {
  'throttled at its first request': (proxy) => proxy.answer(SLOW_DOWN),
  'refused by a server in trouble': (proxy) =>
    proxy.answer(errorAnswer(500, 'InternalError'), { match: up(PACK), times: 2 }),
  'with an altered byte in a pack': (proxy) => proxy.corrupt('up', 20_000, { match: up(PACK) }),
  'with an altered byte in the manifest': (proxy) => proxy.corrupt('up', 100, { match: up(MANIFEST) }),
  'with an answer about a pack that is lost': (proxy) => proxy.loseAnswer({ match: up(PACK) }),
  'with the answer about the manifest lost': (proxy) => proxy.loseAnswer({ match: up(MANIFEST) }),
  'with an answer that ends early': (proxy) => proxy.truncate(10, { match: /^GET/ }),
};

/** And to a download. */
const DOWNLOAD_FAULTS = {
  'throttled again and again': (proxy) => proxy.answer(SLOW_DOWN, { times: Infinity, every: 5 }),
  'with a pack that arrives short': (proxy) => proxy.truncate(50_000, { match: down(PACK) }),
  'with packs that arrive short three times': (proxy) =>
    proxy.truncate(50_000, { match: down(PACK), times: 3 }),
  'with an altered byte in a pack': (proxy) => proxy.corrupt('down', 20_000, { match: down(PACK) }),
  'with an altered byte in the manifest': (proxy) => proxy.corrupt('down', 100, { match: down(MANIFEST) }),
  'with a list that arrives short': (proxy) => proxy.truncate(100, { match: /list-type=2/ }),
};

describe('a broken network', () => {
  let server, folder, template, content;
  before(async () => {
    server = await startWeed();
    folder = makeFolder();
    template = `${folder}/template.db`;
    createDatabase(template, { megabytes: MEGABYTES });
    content = contentOf(template);
  });
  after(async () => {
    removeFolder(folder);
    await server.stop();
  });

  async function prepare(t) {
    const rig = await makeS3Rig(t, server);
    fs.copyFileSync(template, rig.database);
    return rig;
  }

  test('an upload that is cut at any twentieth ends well or is finished later', async (t) => {
    const total = await sentFor(await prepare(t));
    for (const share of SHARES) {
      await t.test(`cut after ${Math.round(share * 100)} % of ${total} bytes`, async (t) => {
        await assertUploadSurvives(await prepare(t), (proxy) => proxy.cut('up', total * share));
      });
    }
  });

  test('an upload whose network is gone from some twentieth on is rejected, and finished later', async (t) => {
    const total = await sentFor(await prepare(t));
    for (const share of [0, 0.5, 0.95]) {
      await t.test(`gone after ${Math.round(share * 100)} % of ${total} bytes`, async (t) => {
        const rig = await prepare(t);
        await assertUploadSurvives(rig, (proxy) => {
          const fault = proxy.cut('up', total * share, { then: proxy.down });
          return Object.assign(fault, { isFinal: true });
        });
      });
    }
  });

  for (const [what, fault] of Object.entries(UPLOAD_FAULTS)) {
    test(`an upload ${what} ends well or is finished later`, async (t) => {
      await assertUploadSurvives(await prepare(t), fault);
    });
  }

  for (const [what, breakIt] of Object.entries({
    'whose second part is cut off': (proxy) => proxy.cut('up', 1_000_000, { match: /partNumber=2/ }),
    'whose last part is cut off': (proxy) => proxy.cut('up', 1_000_000, { match: /partNumber=3/ }),
    'with an altered byte in a part': (proxy) => proxy.corrupt('up', 20_000, { match: /partNumber=2/ }),
    'with an answer about a part that is lost': (proxy) => proxy.loseAnswer({ match: /partNumber=1/ }),
    'with the answer about its completion lost': (proxy) => proxy.loseAnswer({ match: COMPLETION }),
    'that may not be completed': (proxy) =>
      proxy.answer(errorAnswer(400, 'InvalidPart'), { match: COMPLETION, times: Infinity }),
  })) {
    test(`an upload in parts ${what} ends well or is finished later, and leaves no parts`, async (t) => {
      const rig = await makeS3Rig(t, server);
      createDatabase(rig.database, { megabytes: 40 });
      await assertUploadSurvives(rig, breakIt);
    });
  }

  test('a download that is cut at any twentieth brings the database or nothing', async (t) => {
    const rig = await prepare(t);
    await rig.writer.createSnapshot('image');
    wipe(rig);
    rig.proxy.forget();
    await rig.writer.bootstrapDatabase();
    const total = rig.proxy.bytes('down');
    for (const share of SHARES) {
      await t.test(`cut after ${Math.round(share * 100)} % of ${total} bytes`, () =>
        assertDownloadSurvives(rig, (proxy) => proxy.cut('down', total * share)),
      );
    }
  });

  test('any other trouble of a download, too, brings the database or nothing', async (t) => {
    const rig = await prepare(t);
    await rig.writer.createSnapshot('image');
    for (const [what, fault] of Object.entries(DOWNLOAD_FAULTS)) {
      await t.test(`a download ${what}`, () => assertDownloadSurvives(rig, fault));
    }
  });

  test('an altered byte never gets into an export or past a verification', async (t) => {
    const rig = await prepare(t);
    const { snapshot } = await rig.writer.createSnapshot('image');
    const alter = () => rig.proxy.corrupt('down', 20_000, { match: down(PACK) });
    const file = rig.path('export.db');

    const fault = alter();
    const exported = await settled(rig.writer.exportSnapshot('image', file, { tier: 's3' }));
    assert.equal(fault.hits, 1, 'the fault took place');
    if (exported.error) assert.equal(fs.existsSync(file), false, 'half an export is left');
    else assert.equal(sha256(file), snapshot.checksum);

    wipe(rig);
    createDatabase(rig.database);
    const live = contentOf(rig.database);
    alter();
    const restored = await settled(rig.writer.restoreFromSnapshot('image'));
    assert.equal(contentOf(rig.database), restored.error ? live : content);
  });

  /**
   * Takes a snapshot while the network breaks. It succeeds by itself, or it is whole locally, not listed
   * in the bucket, and finished by the next mirroring.
   */
  async function assertUploadSurvives(rig, breakIt) {
    const fault = breakIt(rig.proxy);
    const { error } = await settled(rig.writer.createSnapshot('image'));
    assert.ok(fault.hits > 0, 'the fault took place');
    rig.proxy.mend();
    if (error) {
      assert.equal(error.code, 'UPLOAD_FAILED', error.stack);
      await assertOnly(rig, 'PENDING', ['local']);
      if (!fault.isFinal) await assertNoUploadLeft(rig);
      await rig.writer.sync();
    } else {
      assert.ok(!fault.isFinal, 'there was no network left to succeed');
    }
    await assertOnly(rig, 'COMPLETED', ['local', 's3']);
    await assertNoUploadLeft(rig);
  }

  async function assertOnly(rig, status, tiers) {
    const listed = await assertTiersVerify(rig);
    assert.deepEqual(
      listed.map((snapshot) => [snapshot.status, snapshot.tiers]),
      [[status, tiers]],
    );
  }

  /** Starts from the bucket alone while `fault` happens, and again if that failed. */
  async function assertDownloadSurvives(rig, breakIt) {
    wipe(rig);
    const fault = breakIt(rig.proxy);
    const first = await rig.writer.bootstrapDatabase();
    rig.proxy.mend();
    assert.ok(fault.hits > 0, 'the fault took place');
    await assertTiersVerify(rig);
    if (!first.bootstrapped) {
      assert.ok(first.error, 'who finds nothing where something is has to say why');
      assert.equal(fs.existsSync(rig.database), false, 'half a database is left');
      const again = await rig.writer.bootstrapDatabase();
      assert.equal(again.bootstrapped, true, again.stack);
    }
    assert.equal(contentOf(rig.database), content);
    assert.equal(integrityOf(rig.database), 'ok');
  }
});

/** How many bytes an upload without a fault sends. */
async function sentFor(rig) {
  await rig.writer.createSnapshot('without a fault');
  return rig.proxy.bytes('up');
}
