'use strict';

const fs = require('node:fs');
const path = require('node:path');

const ROOT = path.join(__dirname, '..', '..');
const CODE = /'([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)*)'/;

const read = (file) => fs.readFileSync(path.join(ROOT, file), 'utf8');

/** The codes that have a row below the heading, in order. */
function documented(heading) {
  const section = read('docs/errors.md')
    .split('\n## ')
    .find((text) => text.startsWith(`${heading}\n`));
  return [...section.matchAll(/^\| `(\w+)`/gm)].map(([, code]) => code);
}

/** What a file passes as the code of an error that it makes, or sends in a frame. */
function codesIn(file) {
  const made = new RegExp(`(?:(?:SnapshotError|Declined)\\(\\s*|\\bcode: )${CODE.source}`, 'g');
  const chosen = new RegExp(`\\bcode: \\w+ \\? ${CODE.source} : ${CODE.source}`, 'g');
  const fallback = new RegExp(`\\.code : ${CODE.source}`, 'g');
  return [made, chosen, fallback].flatMap((pattern) =>
    [...read(file).matchAll(pattern)].flatMap(([, ...codes]) => codes),
  );
}

const scripts = (folder) =>
  fs
    .readdirSync(path.join(ROOT, folder))
    .filter((name) => /\.c?js$/.test(name))
    .map((name) => path.join(folder, name));

const sorted = (codes) => [...new Set(codes)].sort();
const without = (codes, others) => sorted(codes).filter((code) => !others.includes(code));

const engine = documented('Engine');
const facade = ['worker.cjs', ...scripts('lib'), ...scripts('lib/recovery')].flatMap(codesIn);
const commandLine = [...scripts('bin'), ...scripts('lib/cli'), ...scripts('lib/prisma')].flatMap(codesIn);

test('the search finds codes however they are written', () => {
  // Directly, on a line of its own, by the outcome of a condition, as a fallback.
  expect(facade).toEqual(
    expect.arrayContaining(['INVALID_ARGUMENT', 'DATABASE_URL_MISSING', 'WORKER_NOT_ALLOWED', 'INTERNAL']),
  );
});

test('every code of the JavaScript side has a row and every row a code', () => {
  const rows = documented('JavaScript side');
  expect(rows).toEqual([...new Set(rows)]);
  expect(rows.sort()).toEqual(without(facade, engine));
});

test('every code of the command line has a row and every row a code', () => {
  const rows = documented('Command line');
  expect(rows).toEqual([...new Set(rows)]);
  expect(rows.sort()).toEqual(without(commandLine, [...engine, ...facade]));
});

test('every code that the types name has a row', () => {
  const [, union] = /type SnapshotErrorCode =([^;]+);/.exec(read('lib/errors.d.ts'));
  const named = [...union.matchAll(new RegExp(CODE.source, 'g'))].map(([, code]) => code);
  expect(named.length).toBeGreaterThan(0);
  expect(without(named, [...engine, ...documented('JavaScript side')])).toEqual([]);
});
