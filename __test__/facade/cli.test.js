'use strict';

const { spawn, spawnSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const commands = require('../../lib/cli/commands.js');
const format = require('../../lib/cli/format.js');
const { clearEnvironment } = require('../support/environment.js');
const { makeFolder, removeFolder } = require('../support/folders.js');
const { joined, onTerminal, width } = require('../support/screens.js');

const CLI = path.join(__dirname, '..', '..', 'bin', 'snapshot-writer.cjs');
const LIB = path.join(__dirname, '..', '..', 'lib');

beforeEach(clearEnvironment);

/** Runs the command line without a terminal. */
function run(...args) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [CLI, ...args], {
    encoding: 'utf8',
    env: process.env,
    input: '',
  });
  return { status, stdout, stderr };
}

test('the question before a restore names both databases', async () => {
  process.env.DATABASE_URL = 'file:/srv/app/staging.db';
  const snapshot = { databaseName: 'prod.db', createdAt: new Date(), size: 4096 };
  const calls = [];
  const writer = {
    getSnapshot: async () => snapshot,
    restoreFromSnapshot: async (...given) => calls.push(given),
  };
  let question;
  const confirm = async (compose) => (question = await compose());
  const options = { foreign: true };
  await commands.restore({ writer, print: () => {}, confirm, options }, 'nightly');
  expect(question).toMatch(/"nightly" of prod\.db[^]*into \/srv\/app\/staging\.db\?/);
  expect(calls).toEqual([['nightly', { tier: undefined, foreign: true }]]);
});

test('the help names every exit code', () => {
  const { status, stdout } = run('--help');
  expect(status).toBe(0);
  for (const code of [0, 1, 2, 3, 130]) expect(stdout).toMatch(new RegExp(`^  ${code} `, 'm'));
});

test.each([
  ['bogus'],
  ['show'],
  ['create', 'a', 'b'],
  ['verify', 'a', '--level', 'deep'],
  ['restore', 'a', '--tier', 'both'],
  ['sync', '--direction', 'sideways'],
  ['list', '--colour'],
])('wrong usage (%s) ends with 2 and says why on standard error', (...args) => {
  const { status, stdout, stderr } = run(...args);
  expect(status).toBe(2);
  expect(stdout).toBe('');
  expect(stderr).toMatch(/^error: /);
});

test.each([['restore', 'a'], ['undo'], ['delete', 'a']])(
  '%s asks; where nobody can be asked it refuses and names --yes',
  (...args) => {
    const { status, stderr } = run(...args);
    expect(status).toBe(2);
    expect(stderr).toContain('--yes');
  },
);

test('a failure ends with 1, for people on standard error', () => {
  const { status, stdout, stderr } = run('list');
  expect({ status, stdout }).toEqual({ status: 1, stdout: '' });
  expect(stderr).toContain('DATABASE_URL');
  expect(stderr).toMatch(/^code: DATABASE_URL_MISSING$/m);
});

test('an inner error is told when the message does not hold it', () => {
  const script = `
    const { runCommand } = require(${JSON.stringify(path.join(LIB, 'cli', 'session.js'))});
    const inner = new Error('no space left', { cause: new Error('errno 28') });
    const error = Object.assign(new Error('cannot write: no space left', { cause: inner }), { code: 'FULL' });
    runCommand(JSON.parse(process.argv[1]), () => Promise.reject(error)).then(console.log);`;
  const text = spawnSync(process.execPath, ['-e', script, '{}'], { encoding: 'utf8' });
  expect(text.stderr).toBe('cannot write: no space left\ncause: errno 28\ncode: FULL\n');
  expect(text.stdout).toBe('1\n');
  const json = spawnSync(process.execPath, ['-e', script, '{"json":true}'], { encoding: 'utf8' });
  expect(JSON.parse(json.stdout.replace(/1\n$/, '')).error.causes).toEqual(['errno 28']);
});

test('what is logged twice is said once', () => {
  const script = `
    const { runCommand } = require(${JSON.stringify(path.join(LIB, 'cli', 'session.js'))});
    runCommand({}, async ({ log }) => ['a', 'b', 'a'].forEach((message) => log.warn(message)));`;
  const { stderr } = spawnSync(process.execPath, ['-e', script], { encoding: 'utf8' });
  expect(stderr).toBe('warning: a\nwarning: b\n');
});

describe('bootstrap', () => {
  const said = async (result, empty = false) => {
    const printed = [];
    const print = (value, describe) => printed.push(describe(value));
    const writer = { bootstrapDatabase: async () => result, isDatabaseEmpty: async () => empty };
    await commands.bootstrap({ writer, print, options: {} });
    return printed.join();
  };
  const snapshot = { name: 'nightly', timestamp: new Date(2026, 0, 2, 3, 4) };

  test('tells what it has done, or why it has done nothing', async () => {
    expect(await said({ bootstrapped: true, snapshot, passedOver: ['later: damaged'] })).toBe(
      'passed over: later: damaged\nFilled the empty database from "nightly" of 2026-01-02 03:04.',
    );
    expect(await said({ bootstrapped: false })).toBe('The database is not empty; nothing was changed.');
    expect(await said({ bootstrapped: false }, true)).toMatch(/^The database is empty, and there is no/);
  });

  test('fails when it was to and could not', async () => {
    const result = { bootstrapped: false, error: 'no way', code: 'SNAPSHOT_DAMAGED' };
    await expect(said(result)).rejects.toMatchObject({ message: 'no way', code: 'SNAPSHOT_DAMAGED' });
  });
});

test.each([
  [['list', '--json'], 1, 'DATABASE_URL_MISSING'],
  [['--json', 'bogus'], 2, 'INVALID_ARGUMENT'],
  [['undo', '--json'], 2, 'CONFIRMATION_REQUIRED'],
  [['create', '', '--json', '--database-url', 'file:x.db'], 1, 'SNAPSHOT_NAME_INVALID'],
])('with --json a failure (%j) is JSON on standard output', (args, status, code) => {
  const result = run(...args);
  expect(result.status).toBe(status);
  expect(JSON.parse(result.stdout).error).toMatchObject({ code, message: expect.any(String) });
  expect(result.stderr).toBe('');
});

test('Ctrl-C ends the operation and the command with 130', async () => {
  const folder = makeFolder();
  const gate = path.join(folder, 'gate');
  fs.writeFileSync(gate, '');
  const env = {
    ...process.env,
    DATABASE_URL: `file:${folder}/dev.db`,
    SNAPSHOT_WRITER_FAILPOINT: `job.start=pause:${gate}`,
  };
  const child = spawn(process.execPath, [CLI, 'create'], { env, stdio: 'ignore' });
  // The worker says so when it has come to the gate.
  while (!fs.existsSync(`${gate}.reached`)) await new Promise((resolve) => setTimeout(resolve, 20));
  child.kill('SIGINT');
  const status = await new Promise((resolve) => child.on('exit', resolve));
  expect(status).toBe(130);
  expect(fs.readdirSync(folder).sort()).toEqual(['gate', 'gate.reached']);
  removeFolder(folder);
});

describe('formats', () => {
  test.each([
    [0, '0 B'],
    [999, '999 B'],
    [1000, '1.00 kB'],
    [58_344_448, '58.3 MB'],
    [999_999, '1.00 MB'],
    [2 ** 40, '1.10 TB'],
  ])('%d bytes are %s', (bytes, text) => expect(format.size(bytes)).toBe(text));

  test.each([
    [5, '5 s'],
    [61, '1 min'],
    [3 * 3600 + 5, '3 h'],
    [40 * 86400, '40 d'],
    [800 * 86400, '2 y'],
    [-9, '0 s'],
  ])('%d seconds are an age of %s', (seconds, text) => {
    expect(format.age(new Date(1e12 - seconds * 1000), 1e12)).toBe(text);
  });

  test('a table fits 80 columns, wraps long names and has no colour', () => {
    const name = 'scheduled_2026-01-02T03-04-05-678Z and a rather long remark';
    const text = format.table(
      ['CREATED', 'SIZE', 'STORED', 'TIER', 'NAME'],
      [['2026-01-02 03:04', '58.3 MB', '1.31 MB', 'pending', name]],
      { rightAligned: [1, 2], widths: [16, 7, 7, 7, 35] },
    );
    expect(Math.max(...text.split('\n').map((line) => line.length))).toBeLessThanOrEqual(80);
    // eslint-disable-next-line no-control-regex
    expect(text).not.toMatch(/\x1b/);
    expect(text.split('\n').length).toBeGreaterThan(2);
  });

  test.each([
    ['a path', '/srv/applications/a-rather-long-name/production/backups/snapshots/8f6b7c1e.1'],
    ['a name without a place to break', 'x'.repeat(90)],
    ['a name of characters that take two columns', '漢字'.repeat(40)],
  ])('a table cuts nothing off: %s', (_, long) => {
    const text = format.table(['', 'WHAT'], [['✓', `see ${long}, please`]], { widths: [1, 25] });
    expect(text).not.toContain('…');
    expect(joined(text)).toContain(`${long},`);
    expect(width(text)).toBeLessThanOrEqual(28);
    expect(text).toMatch(/^✓ {2}see/m);
  });

  test('a path breaks at a folder', () => {
    const text = format.table(['WHAT'], [['/srv/app/prisma/backups/snapshots']], { widths: [20] });
    expect(text).toBe('WHAT\n/srv/app/prisma/\nbackups/snapshots');
  });

  test('colour takes no room', () => {
    const red = '\x1b[31mFAILED\x1b[39m';
    expect(format.table(['RESULT'], [[red]], { widths: [6] })).toBe(`RESULT\n${red}`);
  });

  test('values wrap on a terminal, beside their names', async () => {
    const pairs = [
      ['latest', `${'name '.repeat(30)}end`],
      ['key', 'k'.repeat(150)],
    ];
    const text = await onTerminal(80, () => format.facts(pairs));
    expect(width(text)).toBeLessThanOrEqual(80);
    expect(joined(text)).toContain('k'.repeat(150));
    for (const line of text.split('\n')) expect(line).toMatch(/^(latest {2}name|key {5}k| {8}\S)/);
    expect(format.facts(pairs).split('\n')).toHaveLength(2);
  });
});
