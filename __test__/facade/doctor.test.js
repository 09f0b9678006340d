'use strict';

// What facts mean that no test machine has: large databases, wrong clocks, full disks, other systems.

const { diagnose } = require('../../lib/doctor/index.js');
const { doctor } = require('../../lib/cli/doctor.js');
const { clearEnvironment } = require('../support/environment.js');
const { joined, onTerminal, run, width } = require('../support/screens.js');

const GB = 1e9;
const LOOK = { size: 5e6, mode: 0o644, owner: 1, device: 7, pageSize: 4096, isWal: false, walSize: null };
const CONTENT = {
  catalog: { isThere: true, faults: [], oddities: [], sizeType: 'INTEGER' },
  migrations: { isKept: true, hasTables: true, applied: { '1_init': 'x' }, failed: [] },
};
const DISK = (what, folder, device, free) => ({ what, folder, device, free });
const REPOSITORY = { folder: '/r', exists: true, leadsNowhere: null, owner: 1, mode: 0o755, unwritable: [] };
const HOLDER = { pid: 5, name: 'node', folder: '/srv', connections: 1, libraries: [], pm2: null };
const LIBRARY = (path, sourceDate, others) => ({
  path,
  isProgram: false,
  version: null,
  sourceDate,
  ...others,
});
const OLD = LIBRARY('/n/node_modules/sqlite3/a.node', '2025-01-01');
const NEW = LIBRARY('/n/node_modules/better-sqlite3/b.node', '2026-06-03', { version: '3.53.2' });
const NODE = LIBRARY('/usr/bin/node', '2026-06-03', { isProgram: true });
const GOOD_PROBE = { ok: true, conditionalWrites: true, checks: [] };

const FACTS = {
  sqlite: '3.54.1',
  user: 1,
  database: { value: LOOK },
  content: { value: CONTENT },
  processes: { holders: [], hidden: [], exclusive: null },
  disks: [DISK('database', '/d', 7, 100 * GB), DISK('repository', '/r', 8, 100 * GB)],
  repository: REPOSITORY,
  snapshots: { value: null },
};

beforeEach(clearEnvironment);

const S3 = { s3: { bucket: 'b' } };
const judge = (facts, options) =>
  diagnose({ databaseUrl: '/d/app.db', snapshotDir: '/r', ...options }, async () => ({ ...FACTS, ...facts }));

async function finding(check, facts, options) {
  const { findings } = await judge(facts, options);
  return findings.find((one) => one.check === check);
}

const wal = (more) => ({ database: { value: { ...LOOK, isWal: true, ...more } } });
const holders = (...all) => ({
  processes: { ...FACTS.processes, holders: all.map((more) => ({ ...HOLDER, ...more })) },
});
const disks = (...free) => ({
  disks: free.map((bytes, at) => DISK(['database', 'repository'][at], ['/d', '/r'][at], 7 + at, bytes)),
});
const clock = (ahead) => ({ storage: { probe: GOOD_PROBE, clock: { value: ahead } } });

test('good facts give no problem and no warning', async () => {
  const { ok, verdict, findings } = await judge({});
  expect(findings.filter((one) => one.verdict !== 'ok')).toEqual([]);
  expect({ ok, verdict }).toEqual({ ok: true, verdict: 'ok' });
});

test.each([
  ['a WAL that nobody checkpoints', 'journal', 'warning', /512 MB|537 MB/, wal({ walSize: 512 * 2 ** 20 })],
  ['a small WAL', 'journal', 'ok', /^WAL/, wal({ walSize: 1000 })],
  [
    'an old SQLite on a WAL',
    'versions',
    'problem',
    /sqlite3 with an SQLite of 2025-01-01 has/,
    { ...wal({}), ...holders({ libraries: [OLD] }) },
  ],
  [
    'an SQLite without a date',
    'versions',
    'problem',
    /3\.51\.2/,
    { ...wal({}), ...holders({ libraries: [{ ...OLD, sourceDate: null, version: '3.51.2' }] }) },
  ],
  [
    'a line of releases with the fix',
    'versions',
    'ok',
    /3\.50\.7/,
    { ...wal({}), ...holders({ libraries: [{ ...OLD, sourceDate: null, version: '3.50.7' }] }) },
  ],
  [
    'a version that cannot be seen',
    'versions',
    'unknown',
    /cannot be seen/,
    holders({ libraries: [{ ...OLD, sourceDate: null }] }),
  ],
  [
    "Node's own copy beside a library",
    'copies',
    'ok',
    /No process/,
    holders({ libraries: [NODE, NEW], connections: 3 }),
  ],
  [
    "Node's own copy alone",
    'versions',
    'ok',
    /node with an SQLite of 2026-06-03/,
    holders({ libraries: [NODE] }),
  ],
  [
    'a process that is closed to us',
    'copies',
    'unknown',
    /cannot be looked into/,
    holders({ libraries: null }),
  ],
  [
    'processes of the same owner that are closed',
    'processes',
    'ok',
    /2 processes of its owner cannot/,
    { processes: { ...FACTS.processes, hidden: [1, 2] } },
  ],
  ['a system without /proc', 'processes', 'unknown', /no \/proc/, { processes: null }],
  [
    'a disk with too little room',
    'space',
    'warning',
    /60\.0 MB free, 72\.1 MB may be needed for \/r/,
    disks(100 * GB, 60e6),
  ],
  ['a disk that is nearly full', 'space', 'problem', /little room/, disks(1e6, 100 * GB)],
  ['a disk that does not tell', 'space', 'unknown', /does not tell/, disks(null, 100 * GB)],
  [
    'a snapshot of the future',
    'clock',
    'problem',
    /in the future/,
    { snapshots: { value: '2999-01-01T00:00:00Z' } },
  ],
  [
    'a snapshot that is dated before an older one',
    'clock',
    'warning',
    /two \(2026-01-01 .* made after one \(2026-01-05 /,
    {
      backwards: {
        snapshot: { name: 'two', createdAt: '2026-01-01T00:00:00Z' },
        older: { name: 'one', createdAt: '2026-01-05T00:00:00Z' },
      },
    },
  ],
  ['a clock that is ahead', 'clock', 'warning', /61 s ahead of/, clock(61_000), S3],
  ['a clock that is far behind', 'clock', 'problem', /900 s behind/, clock(-900_000), S3],
  ['a clock that is right', 'clock', 'ok', /agrees/, clock(-2000), S3],
  [
    'a bucket that could not be asked for its time',
    'clock',
    'unknown',
    /could not/,
    { storage: { probe: GOOD_PROBE, clock: { error: { message: 'it could not' } } } },
    S3,
  ],
  [
    'a provider without conditional writes',
    'bucket',
    'warning',
    /no conditional writes/,
    { storage: { probe: { ...GOOD_PROBE, conditionalWrites: false }, clock: { value: 0 } } },
    S3,
  ],
  [
    'a bucket that refuses',
    'bucket',
    'problem',
    /Put: refused\./,
    {
      storage: {
        probe: {
          ok: false,
          checks: [
            { name: 'list', ok: true, required: true, detail: '' },
            { name: 'put', ok: false, required: true, detail: 'refused' },
          ],
        },
        clock: { error: { message: 'x' } },
      },
    },
    S3,
  ],
  [
    'an Int that is too small',
    'size',
    'warning',
    /the rows say 2147483647/,
    { database: { value: { ...LOOK, size: 3 * GB } } },
  ],
  [
    'an Int that is too small, and exact',
    'size',
    'warning',
    /fail on its rows/,
    { database: { value: { ...LOOK, size: 3 * GB } } },
    { catalogSize: 'exact' },
  ],
])('%s', async (_, check, verdict, pattern, facts, options = {}) => {
  const found = await finding(check, facts, options);
  expect(found).toMatchObject({ check, verdict, finding: expect.stringMatching(pattern) });
  if (verdict === 'problem' || verdict === 'warning') expect(found.advice).not.toBeNull();
});

test.each(['DATABASE_CORRUPT', 'DATABASE_INVALID'])(
  '%s is a problem of the database, told once',
  async (code) => {
    const { ok, findings } = await judge({ content: { error: { code, message: 'the file is damaged' } } });
    const problems = findings.filter((one) => one.verdict === 'problem');
    expect(ok).toBe(false);
    expect(problems).toMatchObject([{ check: 'database', finding: 'The file is damaged.' }]);
    expect(problems[0].advice).toMatch(/restore/);
  },
);

test('a database that is locked is unknown, and no problem', async () => {
  const content = { error: { code: 'DATABASE_BUSY', message: 'it is locked' } };
  expect(await finding('database', { content })).toMatchObject({ verdict: 'ok' });
  expect(await finding('catalog', { content })).toMatchObject({
    verdict: 'unknown',
    finding: 'It is locked.',
  });
});

test('a worker that cannot be run is a problem', async () => {
  const failure = Object.assign(new Error('the addon is missing'), { code: 'WORKER_FAILED' });
  const places = { databaseUrl: '/d/app.db', snapshotDir: '/r' };
  const { ok, verdict, findings } = await diagnose(places, () => Promise.reject(failure));
  expect({ ok, verdict }).toEqual({ ok: false, verdict: 'problem' });
  expect(findings.find(({ check }) => check === 'worker')).toEqual({
    check: 'worker',
    verdict: 'problem',
    finding: 'The addon is missing.',
    advice: 'See docs/errors.md for WORKER_FAILED.',
  });
});

test('a clock that was never set is told without a bucket', async () => {
  const clock = jest.spyOn(Date, 'now').mockReturnValue(Date.parse('1970-01-02T00:00:00Z'));
  const found = await finding('clock', {});
  clock.mockRestore();
  expect(found).toMatchObject({
    verdict: 'problem',
    finding: expect.stringContaining('1970-01-02 00:00:00 UTC'),
  });
});

test('a large database with a BigInt is fine', async () => {
  const content = { value: { ...CONTENT, catalog: { ...CONTENT.catalog, sizeType: 'BIGINT' } } };
  const facts = { content, database: { value: { ...LOOK, size: 3 * GB } } };
  expect(await finding('size', facts)).toBeUndefined();
});

test('one disk for both is a warning only without a bucket', async () => {
  const one = { disks: [DISK('database', '/d', 7, GB * 100), DISK('repository', '/r', 7, GB * 100)] };
  expect(await finding('disk', one)).toMatchObject({ verdict: 'warning' });
  expect(await finding('disk', { ...one, ...clock(0) }, S3)).toBeUndefined();
});

test('what two folders need of one disk is added up', async () => {
  const one = (free) => ({
    disks: ['database', 'repository'].map((what) => DISK(what, `/${what}`, 7, free)),
  });
  expect(await finding('space', one(100e6))).toMatchObject({
    verdict: 'warning',
    finding: expect.stringContaining('144 MB may be needed for /database and /repository'),
  });
  expect(await finding('space', one(150e6))).toMatchObject({ verdict: 'ok' });
});

test('a switch that switches nothing is told, and a bad setting', async () => {
  process.env.S3_BUCKET = 'b';
  process.env.S3_DISABLE = '1';
  expect(await finding('bucket', {})).toMatchObject({
    verdict: 'warning',
    finding: expect.stringContaining('S3_DISABLE'),
  });
  process.env.S3_DISABLE = '';
  process.env.S3_BUCKET = 's3://user:hunter2@b';
  const found = await finding('bucket', {});
  expect(found).toMatchObject({ verdict: 'problem', finding: expect.stringContaining('S3_BUCKET') });
  expect(JSON.stringify(found)).not.toContain('hunter2');
});

test('facts of an unexpected shape are unknown, not a failure', async () => {
  const { ok, findings } = await judge({ disks: 5, processes: {}, content: { value: {} } });
  expect(ok).toBe(true);
  expect(findings.filter((one) => one.verdict === 'unknown')).toHaveLength(3);
});

describe('the screen', () => {
  const show = async (facts, options) => {
    const diagnosis = await judge(facts, options);
    return run(doctor, { doctor: async () => diagnosis });
  };
  const BAD = { ...holders({ libraries: [OLD, NEW], connections: 2 }), ...wal({}), disks: 5 };

  test('says how it is, and what to do below what it is about', async () => {
    const good = await show({});
    expect(good.exitCode).toBe(0);
    expect(good.text).toMatch(/^Everything is in order\.\n/);
    const bad = await show(BAD);
    expect(bad.exitCode).toBe(3);
    expect(bad.text).toMatch(/^Found 2 problems, 1 unknown\.\n/);
    expect(bad.text).toMatch(/copies +node \(pid 5\) has 2 SQLite libraries.*\n +-> Use one SQLite library/);
  });

  test.each([80, 120])('fits %d columns, in colour where somebody sees it', async (columns) => {
    const { text } = await onTerminal(columns, () => show(BAD), { colours: true });
    expect(width(text)).toBeLessThanOrEqual(columns);
    // eslint-disable-next-line no-control-regex
    expect(text).toMatch(/\x1b\[31mFound/);
  });

  test.each([80, 120])('cuts no command off in %d columns', async (columns) => {
    const folder = `/srv/${'a-rather-long-folder/'.repeat(8)}backups`;
    const { text } = await onTerminal(columns, () =>
      show({ repository: { ...REPOSITORY, mode: 0o777 } }, { snapshotDir: folder }),
    );
    expect(width(text)).toBeLessThanOrEqual(columns);
    expect(joined(text)).toContain(`chmod o-w${folder}`);
  });

  test('has no colour through a pipe, and each finding on its line', async () => {
    const { text } = await show(BAD);
    // eslint-disable-next-line no-control-regex
    expect(text).not.toMatch(/\x1b/);
    expect(width(text)).toBeGreaterThan(120);
  });
});
