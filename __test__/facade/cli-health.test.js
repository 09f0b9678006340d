'use strict';

// The screens of `status` and `metrics`, and what monitors get of them.

const { spawnSync } = require('node:child_process');
const path = require('node:path');
const { judge } = require('../../lib/health/judge.js');
const health = require('../../lib/cli/health.js');
const { scheduleFrom } = require('../../lib/scheduler/settings.js');
const { clearEnvironment } = require('../support/environment.js');
const { NOW, HOUR, goodFacts, drill } = require('../support/facts.js');
const { makeFolder, removeFolder } = require('../support/folders.js');
const { joined, width } = require('../support/screens.js');

const CLI = path.join(__dirname, '..', '..', 'bin', 'snapshot-writer.cjs');
const ESCAPE = '\x1b';
const before = { ...process.env };

beforeEach(() => {
  clearEnvironment();
  for (const name of ['LC_ALL', 'LC_CTYPE', 'NO_COLOR']) delete process.env[name];
  process.env.LANG = 'en_US.UTF-8';
});
afterAll(() => Object.assign(process.env, before));

function statusOf(facts) {
  const judged = judge(goodFacts(facts), {
    now: NOW,
    schedule: scheduleFrom({ SNAPSHOT_CRON_TZ: 'UTC' }),
    usesBucket: false,
  });
  return {
    ...judged,
    databasePath: '/srv/app/prisma/dev.db',
    snapshotDir: '/srv/app/prisma/backups',
    bucket: null,
    snapshots: 12,
    storedBytes: 81_000_000,
    latest: { name: 'scheduled_2026-01-10T06-00-00-123Z', createdAt: new Date(NOW - 4 * HOUR) },
  };
}

const BAD = {
  unfinishedRestore: true,
  drills: [drill(HOUR, 'failed', { reason: 'integrity_check: row 3 missing from index Metric_key' })],
};

/** The screen and the exit code; `terminal`: its width, or undefined for a pipe. */
async function screen(facts, terminal, change = () => {}) {
  const { isTTY, columns, hasColors } = process.stdout;
  const colours = terminal !== undefined && process.env.NO_COLOR === undefined;
  Object.assign(process.stdout, {
    isTTY: terminal !== undefined,
    columns: terminal,
    hasColors: () => colours,
  });
  let text;
  const print = (value, describe) => (text = describe(value));
  try {
    const status = statusOf(facts);
    change(status);
    const exitCode = await health.status({ writer: { status: async () => status }, print });
    return { text, exitCode };
  } finally {
    Object.assign(process.stdout, { isTTY, columns, hasColors });
  }
}

// eslint-disable-next-line no-control-regex
const withoutColour = (text) => text.replace(/\x1b\[\d+m/g, '');

test.each([80, 120])('fits %d columns, aligned', async (columns) => {
  const { text } = await screen(BAD, columns);
  const lines = withoutColour(text).split('\n');
  expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(columns);
  const table = lines.slice(2, lines.indexOf('', 2));
  const [head] = table;
  for (const line of table) expect(line.slice(0, head.indexOf('FINDING'))).toMatch(/^([✓!✗ ] {2}\S* +| +)$/);
});

test.each([80, 120])('cuts no path off and wraps a long name in %d columns', async (columns) => {
  const file = `/srv/${'a-rather-long-folder/'.repeat(8)}snapshots/8f6b7c1e.1`;
  const long = 'before the migration of the tables '.repeat(6).trim();
  const { text } = await screen(BAD, columns, (status) => {
    status.checks[0].reason = `The manifest ${file} is damaged.`;
    status.latest.name = long;
  });
  expect(width(text)).toBeLessThanOrEqual(columns);
  expect(joined(text)).toContain(file);
  expect(text.replace(/\s+/g, ' ')).toContain(`latest ${long}, `);
});

test('through a pipe every check has one line, and no colour', async () => {
  const { text } = await screen(BAD);
  expect(text).not.toContain(ESCAPE);
  const { checks } = statusOf(BAD);
  const marks = { ok: '✓', warning: '!', critical: '✗' };
  const lines = checks.map(({ name, verdict, reason }) => `${marks[verdict]}  ${name.padEnd(9)}  ${reason}`);
  expect(text.split('\n').slice(3, 3 + checks.length)).toEqual(lines);
});

test('colour is for terminals that want it', async () => {
  expect((await screen(BAD, 80)).text).toContain(`${ESCAPE}[31m✗${ESCAPE}[39m`);
  expect((await screen(BAD, 80)).text).toContain(`${ESCAPE}[33m!${ESCAPE}[39m`);
  process.env.NO_COLOR = '1';
  expect((await screen(BAD, 80)).text).not.toContain(ESCAPE);
});

test.each([
  [{ LANG: 'C' }, 'x'],
  [{ LANG: '' }, 'x'],
  [{ LC_ALL: 'POSIX' }, 'x'],
  [{ LANG: 'C', LC_ALL: 'C.UTF-8' }, '✗'],
  [{ LANG: 'de_DE.utf8' }, '✗'],
])('with the locale %j the mark is %s', async (variables, mark) => {
  Object.assign(process.env, variables);
  const { text } = await screen(BAD);
  expect(text).toContain(`\n${mark}  drill`);
});

test.each([
  [{}, 0, 'Everything is in order.'],
  [{ unfinishedRestore: true }, 0, 'There are warnings.'],
  [BAD, 3, 'Something needs to be done.'],
])('of %j the exit code is %d: "%s"', async (facts, exitCode, headline) => {
  const shown = await screen(facts);
  expect(shown.exitCode).toBe(exitCode);
  expect(shown.text.split('\n')[0]).toBe(headline);
});

describe('the command itself', () => {
  let folder;
  beforeEach(() => (folder = makeFolder()));
  afterEach(() => removeFolder(folder));

  function run(...args) {
    const env = { ...process.env, DATABASE_URL: `file:${folder}/dev.db` };
    return spawnSync(process.execPath, [CLI, ...args], { encoding: 'utf8', env, input: '' });
  }

  test('status --json is the whole value; without a snapshot it ends with 3', () => {
    const { status, stdout } = run('status', '--json');
    expect(status).toBe(3);
    expect(JSON.parse(stdout)).toMatchObject({
      healthy: false,
      verdict: 'critical',
      snapshots: 0,
      latest: null,
    });
  });

  test('metrics are printed as they are', () => {
    const { status, stdout } = run('metrics');
    expect(status).toBe(0);
    expect(stdout).toMatch(
      /^# HELP snapshot_created_total .*\n# TYPE snapshot_created_total counter\nsnapshot_created_total 0\n/,
    );
    expect(stdout).toMatch(/\d\n$/);
  });

  test('the help says what ends with 3', () => {
    expect(run('--help').stdout).toMatch(/^ {2}3 [^]*status is critical; warnings end with 0/m);
  });

  test('what cannot be found out ends with 1', () => {
    const { status } = spawnSync(process.execPath, [CLI, 'status'], { env: process.env });
    expect(status).toBe(1);
  });
});
