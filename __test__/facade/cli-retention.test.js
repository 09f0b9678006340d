'use strict';

// What the command line prints about retention, made of values that a worker could have sent.

const { spawnSync } = require('node:child_process');
const path = require('node:path');
const retention = require('../../lib/cli/retention.js');
const { clearEnvironment } = require('../support/environment.js');
const { width } = require('../support/screens.js');

const CLI = path.join(__dirname, '..', '..', 'bin', 'snapshot-writer.cjs');

const line = (day, reasons, name = `snapshot_2026-11-${day}T18-00-00-000Z`) => ({
  name,
  createdAt: new Date(`2026-11-${day}T18:00:00Z`),
  place: 20 - day,
  tiers: ['local'],
  reasons,
});

const RESULT = {
  dryRun: false,
  kept: [
    line(20, ['newest verified', 'last 1 of 10', 'daily, 2026-11-20']),
    line(18, ['pinned'], 'before the deploy'),
  ],
  removed: [line(19, ['older than the last 1', 'daily: 1 newer ones are kept'])],
  swept: ['old one', 'older one'],
  freedBytes: 1_310_000,
  repacked: { snapshots: 2, packsBefore: 40, packsAfter: 1, bytesWritten: 5, bytesFreed: 9 },
  collapse: null,
  bucketFailure: null,
};

async function run(result, columns) {
  let text;
  const print = (value, describe) => (text = describe(value));
  const before = [process.stdout.isTTY, process.stdout.columns];
  Object.assign(process.stdout, { isTTY: columns !== undefined, columns });
  try {
    const writer = { prune: async () => ({ ...RESULT, ...result }) };
    const exitCode = await retention.prune({ writer, options: {}, print });
    return { text, exitCode };
  } finally {
    Object.assign(process.stdout, { isTTY: before[0], columns: before[1] });
  }
}

beforeEach(clearEnvironment);

describe('prune', () => {
  test('explains each snapshot, newest first, on a line of its own', async () => {
    const { text, exitCode } = await run({});
    const rows = text.split('\n').slice(1, 4);
    expect(rows[0]).toMatch(
      /keep +snapshot_2026-11-20\S+ +newest verified; last 1 of 10; daily, 2026-11-20$/,
    );
    expect(rows[1]).toMatch(/remove +snapshot_2026-11-19\S+ +older than the last 1; daily: 1 newer/);
    expect(rows[2]).toMatch(/keep +before the deploy +pinned$/);
    expect(text).toContain('2 kept, 1 removed.');
    expect(text).toContain('Deleted for good: old one, older one.');
    expect(text).toContain('Repacked 40 packs into 1.');
    expect(text).toContain('Freed 1.31 MB.');
    expect(exitCode).toBe(0);
  });

  test.each([80, 120])('has a table that fits %d columns', async (columns) => {
    const { text } = await run({}, columns);
    const [table] = text.split('\n\n');
    expect(Math.max(...table.split('\n').map((row) => row.length))).toBeLessThanOrEqual(columns);
    expect(table).toContain('snapshot_2026-11-20T18-00-00-000Z');
    expect(table.split('\n').length).toBe(columns === 80 ? 7 : 4);
  });

  test('a dry run says that nothing was changed', async () => {
    const { text } = await run({ dryRun: true, repacked: null, freedBytes: 0 });
    expect(text).toContain('2 to keep, 1 to remove, 2 in the trash to delete for good. Nothing was changed.');
    expect(text).not.toContain('undelete');
  });

  test('tells of a collapse, and of a bucket that was left out, which fails the command', async () => {
    const collapse = { name: 'x', createdAt: new Date(), reason: '"x" is empty, "y" before it was not' };
    const bucketFailure = { code: 'S3_UNREACHABLE', message: 'nobody answers' };
    const { text, exitCode } = await run({ collapse, bucketFailure });
    expect(text).toContain('"x" is empty, "y" before it was not.');
    expect(text).toContain('snapshot-writer acknowledge');
    expect(text).toContain('The bucket was left out (S3_UNREACHABLE): nobody answers.');
    expect(exitCode).toBe(1);
    const long = {
      ...collapse,
      reason: `"${RESULT.kept[0].name}" is empty, "${RESULT.removed[0].name}" was not`,
    };
    expect(width((await run({ collapse: long }, 80)).text)).toBeLessThanOrEqual(80);
  });

  test.each([['--keep-last', 'x'], ['--keep-daily', '1.5'], ['--tier', 'tape'], ['--keep-last']])(
    'refuses %s %s as wrong usage',
    (...args) => {
      const { status } = spawnSync(process.execPath, [CLI, 'prune', ...args]);
      expect(status).toBe(2);
    },
  );
});
