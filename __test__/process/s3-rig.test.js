'use strict';

// The rig itself: each fault of the proxy really happens, and without one the proxy is not noticed.

const assert = require('node:assert/strict');
const { randomBytes } = require('node:crypto');
const { after, before, describe, test } = require('node:test');
const { makeS3Client } = require('../support/s3-client.js');
const { errorAnswer, startProxy } = require('../support/s3-proxy.js');
const { startMoto, startWeed } = require('../support/s3-servers.js');

const BODY = randomBytes(1_000_000);

for (const [name, start] of Object.entries({ SeaweedFS: startWeed, moto: startMoto })) {
  describe(`a broken network before ${name}`, () => {
    let server, direct, proxy, client;
    before(async () => {
      server = await start();
      await server.makeBucket('rig');
      direct = server.bucket('rig');
    });
    after(() => server.stop());

    async function begin(t) {
      proxy = await startProxy(server.endpoint);
      t.after(proxy.stop);
      client = makeS3Client(proxy.endpoint).bucket('rig');
      await direct.put('object', BODY);
    }

    const read = () => client.get('object');
    const write = (body = BODY) => client.put('object', body);
    const stored = () => direct.get('object');

    test('without a fault everything passes and is counted', async (t) => {
      await begin(t);
      const body = randomBytes(500_000);
      await client.put('object', body);
      assert.deepEqual(await client.get('object'), body);
      assert.equal((await client.head('object')).ContentLength, body.length);
      const [put, get, head] = proxy.requests();
      assert.match(put.line, /^PUT \/rig\/object/);
      assert.deepEqual([put.up, put.status, get.down, get.status], [body.length, 200, body.length, 200]);
      assert.deepEqual([head.line.slice(0, 4), head.down], ['HEAD', 0]);
      assert.equal(proxy.bytes('up', /PUT/), body.length);
      proxy.forget();
      assert.deepEqual(proxy.requests(), []);
    });

    test('a connection that is cut while it carries a body', async (t) => {
      await begin(t);
      const up = proxy.cut('up', 300_000);
      await assert.rejects(write(randomBytes(1_000_000)));
      assert.deepEqual(await stored(), BODY, 'half an object was stored');
      await write();
      const down = proxy.cut('down', 300_000);
      await assert.rejects(read());
      assert.deepEqual(await read(), BODY);
      assert.deepEqual([up.hits, down.hits], [1, 1]);
    });

    test('a cut that ends all connections', async (t) => {
      await begin(t);
      proxy.cut('down', 300_000, { then: proxy.down });
      await assert.rejects(read());
      await assert.rejects(read());
      proxy.up();
      assert.deepEqual(await read(), BODY);
    });

    test('an answer that ends early', async (t) => {
      await begin(t);
      const fault = proxy.truncate(1000);
      await assert.rejects(read());
      assert.equal(fault.hits, 1);
      assert.deepEqual(await read(), BODY);
    });

    test('one bit that changes on the way', async (t) => {
      await begin(t);
      proxy.corrupt('down', 500_000, { match: /\/object/ });
      assert.deepEqual(differences(await read(), BODY), [500_000]);
      assert.deepEqual(await read(), BODY);

      const fault = proxy.corrupt('up', 500_000);
      // Whether a server notices is its own affair; these do not.
      await write();
      assert.equal(fault.hits, 1);
      assert.deepEqual(differences(await stored(), BODY), [500_000]);
    });

    test('answers in the place of the server, for the first or for every nth request', async (t) => {
      await begin(t);
      proxy.answer(errorAnswer(503, 'SlowDown'), { times: 2 });
      await assert.rejects(read(), { name: 'SlowDown' });
      await assert.rejects(write(), { name: 'SlowDown' });
      await read();

      const moved = errorAnswer(301, 'PermanentRedirect', { 'x-amz-bucket-region': 'eu-west-1' });
      proxy.answer(moved, { match: /^GET/, times: Infinity, every: 2 });
      await read();
      await assert.rejects(read(), { name: 'PermanentRedirect' });
      await read();
      await assert.rejects(read());
      await write();
    });

    test('an answer that is lost after the server has acted', async (t) => {
      await begin(t);
      const body = randomBytes(1000);
      const fault = proxy.loseAnswer({ match: /^PUT/ });
      await assert.rejects(write(body));
      assert.equal(fault.hits, 1);
      assert.deepEqual(await stored(), body);
    });

    test('requests that wait: held, delayed, swallowed', async (t) => {
      await begin(t);
      const gate = proxy.hold(/^PUT/);
      const body = randomBytes(1000);
      const writing = write(body);
      await gate.reached;
      assert.deepEqual(await read(), BODY);
      gate.release();
      await writing;
      assert.deepEqual(await read(), body);

      proxy.delay(200);
      const started = performance.now();
      await read();
      // A lower bound, which no slow machine can break; timers may be a little early.
      assert.ok(performance.now() - started >= 190, 'the delay did not take place');
      proxy.mend();

      const hole = proxy.blackhole({ match: /^GET/ });
      let answered = false;
      read().then(
        () => (answered = true),
        () => {},
      );
      await read();
      assert.deepEqual([hole.hits, answered], [1, false]);
    });
  });
}

/** Where two bodies differ. */
function differences(one, other) {
  assert.equal(one.length, other.length);
  return [...one.keys()].filter((at) => one[at] !== other[at]);
}
