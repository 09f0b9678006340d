'use strict';

// `npm test`: every check in order, on a fresh clone too; the first failure ends the run.

const { execFileSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { performance } = require('node:perf_hooks');
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

const STEPS = [
  ['Dependencies and addon', setup],
  [
    'Format and lint',
    () => [run(bin('prettier'), ['--check', '--log-level', 'warn', '.']), run(bin('eslint'), ['.'])],
  ],
  ['Types', () => run(bin('tsc'), ['--noEmit', '-p', '__test__/types'])],
  ['Rust tests', () => run('cargo', ['test', '--quiet', '--release', '--target', hostTriple()])],
  ['JavaScript tests', () => run(bin('jest'), [])],
  // One file after the other: several measure how long a lock is held.
  [
    'Process and Prisma tests',
    () => run(process.execPath, ['--test', '--test-concurrency=1', ...nodeTests()]),
  ],
];

const started = performance.now();
STEPS.forEach(([title, step], index) => {
  console.log(`\n== ${index + 1}/${STEPS.length} ${title}`);
  step();
});
console.log(`\nAll ${STEPS.length} steps passed in ${Math.round((performance.now() - started) / 1000)} s.`);
