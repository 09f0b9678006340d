'use strict';

// What the tests with a bucket need: hosts with a repository each, one bucket, a network that can
// be broken, and a client that looks at the bucket behind the engine's back.

const assert = require('node:assert/strict');
const { randomUUID } = require('node:crypto');
const fs = require('node:fs');
const path = require('node:path');
const { filesBelow } = require('./files.js');
const { makeLog, makeRig } = require('./rig.js');
const { CREDENTIALS, REGION } = require('./s3-client.js');
const { startProxy } = require('./s3-proxy.js');

/** Where the engine's objects are, unless `S3_PREFIX` says otherwise. */
const PREFIX = 'snapshots/';
const OURS = /^(AWS_|S3_|SNAPSHOT_S3_|SNAPSHOT_DIR$|SNAPSHOT_DATABASE_ID$|DATABASE_URL$)/;
/** The machine's own; without it TLS may know no certificates at all. */
const KEPT = ['AWS_CA_BUNDLE'];

/**
 * A rig (see rig.js) whose writer has a bucket of its own on `server`, reached through `proxy`.
 * Its environment is this process's until the test ends. Its hosts have one database, by a configured
 * name; `databaseId: undefined` makes them strangers.
 */
async function makeS3Rig(t, server, others = {}) {
  const options = { databaseId: 'app', ...others };
  const rig = makeRig(t, options);
  const bucket = server.bucket(`test-${randomUUID()}`);
  await server.makeBucket(bucket.name);
  const proxy = await startProxy(server.endpoint);
  rig.defer(proxy.stop);
  setEnvironment(rig, {
    AWS_ACCESS_KEY_ID: CREDENTIALS.accessKeyId,
    AWS_SECRET_ACCESS_KEY: CREDENTIALS.secretAccessKey,
    AWS_REGION: REGION,
    AWS_ENDPOINT_URL: proxy.endpoint,
    AWS_EC2_METADATA_DISABLED: 'true',
    // Nothing from the home folder of whoever runs the tests.
    AWS_CONFIG_FILE: rig.path('no-aws-config'),
    AWS_SHARED_CREDENTIALS_FILE: rig.path('no-aws-credentials'),
    S3_BUCKET: bucket.name,
  });
  return Object.assign(rig, {
    bucket,
    proxy,
    /** Another host with the same bucket: a database and a repository of its own. */
    host: (name) => makeHost(rig, name, options),
  });
}

function setEnvironment(rig, variables) {
  const before = { ...process.env };
  for (const name of Object.keys(process.env)) {
    if (OURS.test(name) && !KEPT.includes(name)) delete process.env[name];
  }
  Object.assign(process.env, variables);
  rig.defer(() => {
    for (const name of Object.keys(process.env)) if (!(name in before)) delete process.env[name];
    Object.assign(process.env, before);
  });
}

function makeHost(rig, name, options) {
  const folder = rig.path(name);
  fs.mkdirSync(folder);
  const place = {
    databaseUrl: `file:${path.join(folder, 'app.db')}`,
    snapshotDir: path.join(folder, 'snapshots'),
  };
  const log = makeLog();
  const newWriter = (others) => rig.newWriter({ ...place, log, ...others });
  return {
    ...rig,
    folder,
    log,
    database: path.join(folder, 'app.db'),
    snapshotDir: place.snapshotDir,
    options: { ...rig.options, ...place },
    newWriter,
    writer: newWriter(options),
    path: (...parts) => path.join(folder, ...parts),
  };
}

/** The keys of one kind of object, such as 'packs' or 'snapshots'. */
function objectsOf(rig, kind) {
  return rig.bucket.list(`${PREFIX}${kind}/`);
}

/** The disk of a host is lost: its database and its repository. */
function wipe(host) {
  for (const name of fs.readdirSync(host.folder)) {
    if (name === 'snapshots' || name.startsWith('app.db')) {
      fs.rmSync(path.join(host.folder, name), { recursive: true, force: true });
    }
  }
}

/** Fails the test when a listed snapshot is not whole in one of the tiers it is listed in. */
async function assertTiersVerify(host, level = 'data') {
  const snapshots = await host.writer.listSnapshots();
  for (const { name, tiers } of snapshots) {
    assert.notEqual(tiers.length, 0, `snapshot ${name} is listed and nowhere`);
    const verdicts = await Promise.all(
      tiers.map((tier) => host.writer.verifySnapshot(name, { level, tier })),
    );
    for (const [index, tier] of tiers.entries()) {
      const whole = { ok: true, level, problems: [] };
      assert.deepEqual(verdicts[index], whole, `snapshot ${name} in tier ${tier}`);
    }
  }
  return snapshots;
}

/** No part of an upload is left that was neither completed nor aborted. */
async function assertNoUploadLeft(rig) {
  assert.deepEqual(await rig.bucket.uploads(), [], 'multipart uploads that nobody will finish');
}

/** How a call ended: `{ value }` or `{ error }`. */
function settled(promise) {
  return promise.then(
    (value) => ({ value }),
    (error) => ({ error }),
  );
}

/** Neither log, nor errors, nor any file of the repository holds the secret. */
function assertSecretKept(host, errors = [], secret = CREDENTIALS.secretAccessKey) {
  const told = [...errors.flatMap(everythingIn), ...host.log.lines.map((line) => JSON.stringify(line))];
  for (const text of told) assert.ok(!text.includes(secret), `the secret is in: ${text}`);
  for (const file of filesBelow(host.snapshotDir)) {
    assert.ok(!fs.readFileSync(file).includes(secret), `the secret is in ${file}`);
  }
}

/** What can be read off an error: text, own properties, and the same of its causes. */
function everythingIn(error) {
  if (!(error instanceof Error)) return [String(error)];
  const own = Object.getOwnPropertyNames(error).map((name) => (name === 'cause' ? '' : String(error[name])));
  return [...own, ...(error.cause === undefined ? [] : everythingIn(error.cause))];
}

module.exports = {
  PREFIX,
  makeS3Rig,
  objectsOf,
  settled,
  wipe,
  assertTiersVerify,
  assertNoUploadLeft,
  assertSecretKept,
};
