'use strict';

// What the command line prints about restore drills, made of values that a worker could have sent.

const { spawnSync } = require('node:child_process');
const path = require('node:path');
const { drill, drills } = require('../../lib/cli/drill.js');
const { clearEnvironment } = require('../support/environment.js');
const { joined, onTerminal, run, width } = require('../support/screens.js');

const CLI = path.join(__dirname, '..', '..', 'bin', 'snapshot-writer.cjs');

const REPORT = {
  id: '8f6b7c1e-5f0e-4d0b-9d3c-2f6a0c9a7b11',
  outcome: 'passed',
  reason: null,
  snapshot: {
    name: 'scheduled_2026-01-02T03-04-05-678Z',
    id: 'x',
    createdAt: new Date('2026-01-02T03:04:05Z'),
  },
  tier: null,
  rtoMs: 1234,
  rpoMs: 6 * 3600 * 1000,
  checks: [
    { name: 'image', outcome: 'passed', detail: '15000 pages assembled, every hash is right' },
    { name: 'integrity_check', outcome: 'passed', detail: 'SQLite finds nothing wrong' },
    { name: 'row_counts', outcome: 'inconclusive', detail: '12 rows in 3 tables; '.repeat(9) },
    { name: 'assertion: every reality has a parent that exists', outcome: 'passed', detail: '0' },
  ],
  at: new Date('2026-01-02T09:04:05Z'),
};
const FAILED = {
  ...REPORT,
  outcome: 'failed',
  reason: 'integrity_check: row 1 missing from index Metric_value_idx',
  checks: [
    REPORT.checks[0],
    { name: 'integrity_check', outcome: 'failed', detail: 'row 1 missing from index Metric_value_idx' },
  ],
};
const OPEN = {
  ...REPORT,
  outcome: 'inconclusive',
  reason: 'image: nobody answers (S3_UNREACHABLE)',
  tier: 's3',
  snapshot: null,
  rtoMs: null,
  rpoMs: null,
  checks: [{ name: 'image', outcome: 'inconclusive', detail: 'nobody answers (S3_UNREACHABLE)' }],
};

const show = (report, options) => run(drill, { drill: async () => report }, options);

test.each([
  [REPORT, 0, /^PASSED {2}This snapshot brings the database back\.$/m],
  [FAILED, 3, /^FAILED {2}1 of 2 checks failed\.$/m],
  [OPEN, 1, /^INCONCLUSIVE {2}.*nothing is known\.$/m],
])('a drill ends with the exit code of its outcome', async (report, code, headline) => {
  const { text, exitCode } = await show(report);
  expect(exitCode).toBe(code);
  expect(text).toMatch(headline);
});

test('says what was measured and what failed', async () => {
  const { text } = await show(FAILED);
  expect(text).toMatch(/^recovery +1\.2 s until the database is back$/m);
  expect(text).toMatch(/^data loss +what was written in the last 6 h$/m);
  expect(text).toMatch(/integrity_check +FAILED +row 1 missing from index Metric_value_idx$/m);
  const open = (await show(OPEN)).text;
  expect(open).toMatch(/^snapshot +none$/m);
  expect(open).toMatch(/^read from +the bucket alone$/m);
  expect(open).toMatch(/^recovery +not measured$/m);
  expect(open).toMatch(/image +unknown +nobody answers/m);
});

test('hands name and options on', async () => {
  const writer = { drill: jest.fn(async () => REPORT) };
  await run(drill, writer, { tier: 's3', assertions: 'a.json', maxDrift: 0.2 }, 'nightly');
  expect(writer.drill).toHaveBeenCalledWith({
    name: 'nightly',
    tier: 's3',
    assertionsFile: 'a.json',
    maxDrift: 0.2,
  });
});

test.each([80, 120])('fits %d columns, in colour where somebody sees it', async (columns) => {
  for (const report of [REPORT, FAILED, OPEN]) {
    const { text } = await onTerminal(columns, () => show(report));
    expect(width(text)).toBeLessThanOrEqual(columns);
  }
  const { text } = await onTerminal(columns, () => show(FAILED), { colours: true });
  expect(width(text)).toBeLessThanOrEqual(columns);
  // eslint-disable-next-line no-control-regex
  expect(text).toMatch(/\x1b\[31mFAILED/);
});

test('has no colour through a pipe, and every check on its line', async () => {
  const { text } = await show(REPORT);
  // eslint-disable-next-line no-control-regex
  expect(text).not.toMatch(/\x1b/);
  expect(text.split('\n').slice(-REPORT.checks.length)).toHaveLength(REPORT.checks.length);
  expect(text).toContain('assertion: every reality has a parent that exists  ok');
});

describe('the history', () => {
  const list = (...history) => run(drills, { drills: async () => history });

  test('shows outcome, figures and reason of each drill', async () => {
    const { text } = await list(REPORT, FAILED, OPEN);
    const [, passed, failed, open] = text.split('\n');
    expect(passed).toMatch(/passed +both +1\.2 s +6 h +scheduled_2026-01-02T03-04-05-678Z$/);
    expect(failed).toMatch(/failed .*scheduled.*: integrity_check: row 1 missing/);
    expect(open).toMatch(/inconclusive +s3 +- +- +image: nobody answers/);
  });

  test.each([80, 120])('fits %d columns', async (columns) => {
    const { text } = await onTerminal(columns, () => list(REPORT, FAILED, OPEN));
    expect(width(text)).toBeLessThanOrEqual(columns);
  });

  test('in 80 columns tells two snapshots of one day apart, and cuts no reason off', async () => {
    const names = ['scheduled_2026-01-02T03-04-05-678Z', 'scheduled_2026-01-02T09-04-05-678Z'];
    const reason = `image: /srv/${'a-rather-long-folder/'.repeat(5)}packs/8f6b7c1e is missing`;
    const history = names.map((name) => ({ ...FAILED, reason, snapshot: { ...REPORT.snapshot, name } }));
    const { text } = await onTerminal(80, () => list(...history));
    expect(width(text)).toBeLessThanOrEqual(80);
    for (const name of names) expect(text).toMatch(new RegExp(` ${name}$`, 'm'));
    expect(text).toMatch(/^ +tier both, recovery 1\.2 s, loss 6 h$/m);
    expect(joined(text)).toContain(reason.split(' ')[1]);
    const [open] = (await onTerminal(80, () => list(OPEN))).text.split('\n').slice(1);
    expect(open).toMatch(/inconclusive +tier s3$/);
  });

  test('says so when there is none', async () => {
    expect((await list()).text).toMatch(/No restore drill yet/);
  });
});

describe('the program', () => {
  beforeEach(clearEnvironment);
  test.each([
    ['drill', '--max-drift', '2'],
    ['drill', '--max-drift', 'half'],
    ['drill', '--tier', 'moon'],
    ['drill', 'a', 'b'],
  ])('refuses %s %s %s', (...args) => {
    const { status, stderr } = spawnSync(process.execPath, [CLI, ...args], { encoding: 'utf8' });
    expect(status).toBe(2);
    expect(stderr).toMatch(/^error: /);
  });
});
