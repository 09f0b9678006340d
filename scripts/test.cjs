'use strict';

// `npm test`: every check in order, on a fresh clone too; the first failure ends the run.

const { execFileSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { performance } = require('node:perf_hooks');
const { servers } = require('./servers.cjs');
const { setup, run, ROOT } = require('./setup.cjs');

const bin = (name) => require.resolve(`${ROOT}/node_modules/.bin/${name}`);

/** The triple that `napi build` compiles for: naming it lets both share the compiled dependencies. */
function hostTriple() {
  return /^host: (.+)$/m.exec(execFileSync('rustc', ['-vV'], { encoding: 'utf8' }))[1];
}

/** Named one by one, because releases of Node.js disagree about what `--test <folder>` means. */
function nodeTests() {
  return ['node', 'process', 'prisma'].flatMap((folder) => {
    const place = path.join('__test__', folder);
    const files = fs.readdirSync(path.join(ROOT, place)).filter((file) => /\.test\.m?js$/.test(file));
    return files.map((file) => path.join(place, file));
  });
}

/** Tests of these mostly wait for a server that is slow or away. */
const isOfBucket = (file) => path.basename(file).startsWith('s3-');

/** Several files at a time, or one after the other. */
function runNodeTests(files, atATime) {
  run(process.execPath, ['--test', `--test-concurrency=${atATime}`, ...files]);
}

/** The storage on S3 is tested against a real server; the process tests start their own. */
async function rustTests() {
  // Only now: it needs what the first step installs.
  const { startWeed } = require('../__test__/support/s3-servers.js');
  const { CREDENTIALS } = require('../__test__/support/s3-client.js');
  const server = await startWeed();
  run('cargo', ['test', '--quiet', '--release', '--target', hostTriple()], {
    SNAPSHOT_WRITER_TEST_S3: server.endpoint,
    AWS_ACCESS_KEY_ID: CREDENTIALS.accessKeyId,
    AWS_SECRET_ACCESS_KEY: CREDENTIALS.secretAccessKey,
  });
  await server.stop();
}

const STEPS = [
  ['Dependencies and addon', setup],
  ['S3 servers', servers],
  [
    'Format and lint',
    () => [run(bin('prettier'), ['--check', '--log-level', 'warn', '.']), run(bin('eslint'), ['.'])],
  ],
  ['Types', () => run(bin('tsc'), ['--noEmit', '-p', '__test__/types'])],
  ['Rust tests', rustTests],
  ['JavaScript tests', () => run(bin('jest'), [])],
  // As many as there are cores: several measure how long a lock is held.
  [
    'Process and Prisma tests',
    () =>
      runNodeTests(
        nodeTests().filter((file) => !isOfBucket(file)),
        2,
      ),
  ],
  ['Tests with a bucket', () => runNodeTests(nodeTests().filter(isOfBucket), 3)],
];

async function main() {
  const started = performance.now();
  for (const [index, [title, step]] of STEPS.entries()) {
    console.log(`\n== ${index + 1}/${STEPS.length} ${title}`);
    await step();
  }
  console.log(`\nAll ${STEPS.length} steps passed in ${Math.round((performance.now() - started) / 1000)} s.`);
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
