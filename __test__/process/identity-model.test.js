'use strict';

// Random sequences of what users do with several databases, two hosts and one bucket among them, against a
// model of what belongs to whom: no operation on one database removes, replaces, hides or vouches for another's
// snapshots. SNAPSHOT_WRITER_TEST_SEQUENCES says how many sequences (npm run model: 500), SNAPSHOT_WRITER_TEST_SEED
// which; a failure ends with the seed and the shortest sequence that shows it.

const assert = require('node:assert/strict');
const { randomUUID } = require('node:crypto');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { after, before, describe, test } = require('node:test');
const fc = require('fast-check');
const { begin, commands, runs } = require('../model/commands.js');
const { Model, assertAgrees } = require('../model/model.js');
const { World } = require('../model/world.js');
const { shifted } = require('../support/clock.js');
const { CREDENTIALS, REGION } = require('../support/s3-client.js');
const { startWeed } = require('../support/s3-servers.js');

const SEQUENCES = Number(process.env.SNAPSHOT_WRITER_TEST_SEQUENCES ?? 24);
const SEED = Number(process.env.SNAPSHOT_WRITER_TEST_SEED ?? 1);
const LENGTH = 14;

describe('what belongs to whom', () => {
  const tools = fs.mkdtempSync(path.join(os.tmpdir(), 'snapshot-writer-model-tools-'));
  const clock = shifted({ path: (name) => path.join(tools, name) });
  const variables = {
    AWS_ACCESS_KEY_ID: CREDENTIALS.accessKeyId,
    AWS_SECRET_ACCESS_KEY: CREDENTIALS.secretAccessKey,
    AWS_REGION: REGION,
    AWS_EC2_METADATA_DISABLED: 'true',
  };
  let server;
  before(async () => {
    Object.assign(process.env, variables);
    server = await startWeed();
  });
  after(async () => {
    for (const name of Object.keys(variables)) delete process.env[name];
    await server.stop();
    fs.rmSync(tools, { recursive: true });
  });

  /** Runs that many random sequences, each in a world of its own. */
  async function holds(sequences, { bucket, sharesBucket, seed }) {
    const property = fc.asyncProperty(
      fc.commands(commands, { size: 'max', maxCommands: LENGTH }),
      async (chosen) => {
        const model = new Model({ sharesBucket });
        const world = new World({ clock, bucket: await bucket() });
        try {
          await begin(model, world);
          await fc.asyncModelRun(() => ({ model, real: world }), chosen);
          await assertAgrees(model, world, { lists: true });
        } finally {
          world.remove();
        }
      },
    );
    await fc.assert(property, { numRuns: sequences, seed });
  }

  test('databases of two hosts with a repository each', async () => {
    await holds(Math.ceil(SEQUENCES * 0.75), { bucket: () => false, sharesBucket: false, seed: SEED });
  });

  test('databases of two hosts with one bucket', async () => {
    const bucket = async () => {
      const name = `model-${randomUUID()}`;
      await server.makeBucket(name);
      return { bucket: name, endpoint: server.endpoint };
    };
    await holds(Math.ceil(SEQUENCES * 0.25), { bucket, sharesBucket: true, seed: SEED });
  });

  test('every kind of command was tried', (t) => {
    t.diagnostic([...runs].map(([name, times]) => `${name}: ${times}`).join(', '));
    for (const [name, times] of runs) assert.ok(times > 0, `${name} was never run`);
  });
});
