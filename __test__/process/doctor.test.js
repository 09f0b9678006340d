'use strict';

// The diagnosis: each finding is provoked for real.

const assert = require('node:assert/strict');
const { spawn } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { test } = require('node:test');
const { addMigrations } = require('../support/broken.js');
const { createDatabase, withDatabase } = require('../support/database.js');
const { fingerprint } = require('../support/files.js');
const { mountSmall } = require('../support/mounts.js');
const { ordinaryUser, startChild, startConnection } = require('../support/processes.js');
const { makeRig } = require('../support/rig.js');

const CLI = path.join(__dirname, '..', '..', 'bin', 'snapshot-writer.cjs');
const CHECKS = 'url folder bucket database journal catalog migrations processes copies versions space';

test('a database in good order has no problem, and nothing is changed', async (t) => {
  for (const journalMode of ['delete', 'wal']) {
    const rig = makeRig(t);
    createDatabase(rig.database, { journalMode, megabytes: 1 });
    const before = fingerprint(rig.folder);
    const { findings, verdict, code } = await diagnose(rig);
    assert.deepEqual(fingerprint(rig.folder), before, journalMode);
    await rig.writer.createSnapshot('a');
    const stored = fingerprint(rig.snapshotDir);
    assert.equal((await diagnose(rig)).code, 0);
    assert.deepEqual(fingerprint(rig.snapshotDir), stored, journalMode);
    assert.equal(code, 0);
    // Everything is on one disk here.
    assert.equal(verdict, 'warning');
    const [disk, ...others] = findings.filter((finding) => finding.verdict !== 'ok');
    assert.deepEqual([disk.check, others], ['disk', []]);
    const checks = findings.map(({ check }) => check).join(' ');
    assert.equal(checks, `${CHECKS} repository disk clock node`);
    for (const { verdict: how, advice } of findings) assert.equal(advice === null, how === 'ok');
  }
});

test('the method and the command say the same', async (t) => {
  const rig = makeRig(t);
  createDatabase(rig.database, { catalog: false });
  const { findings } = await diagnose(rig);
  const said = await rig.writer.doctor();
  assert.equal(said.ok, true);
  const stable = ({ check }) =>
    check !== 'space' && check !== 'clock' && check !== 'folder' && check !== 'url';
  assert.deepEqual(said.findings.filter(stable), findings.filter(stable));
  assert.deepEqual(rig.log.lines, [], 'what is found is returned, not logged');
});

test('two SQLite libraries in one process are a problem once both have the database open', async (t) => {
  const rig = makeRig(t);
  createDatabase(rig.database, { journalMode: 'wal' });
  const child = startChild(rig, 'two-libraries.js');
  await child.request('open', 'better-sqlite3', rig.database);
  const one = await diagnose(rig);
  assertFinding(one, 'copies', 'warning', /pid \d+\) has 2 SQLite libraries: .*better-sqlite3.*open once/);
  assert.ok(finding(one, 'copies').finding.includes(`pid ${child.pid})`));

  await child.request('open', 'libsql', rig.database);
  const both = await diagnose(rig);
  assertFinding(both, 'copies', 'problem', /@libsql\/.*and better-sqlite3.*open more than once/);
  assert.equal(both.code, 3);
  assertFinding(both, 'processes', 'ok', /2 connections/);
  // libsql 0.5 is built from an SQLite of 2024; the database is in WAL mode.
  assertFinding(both, 'versions', 'problem', /@libsql.* with SQLite 3\.45\.1 has the WAL-reset bug/);
});

test('an old SQLite does not matter in rollback mode, and a new one not at all', async (t) => {
  const rig = makeRig(t);
  createDatabase(rig.database);
  const handle = await startConnection(rig, 'libsql', rig.database);
  await handle.all('SELECT 1 FROM Reality');
  assertFinding(await diagnose(rig), 'versions', 'warning', /3\.45\.1 has the WAL-reset bug.*not in\./);
  await handle.kill();
  const good = await startConnection(rig, 'better-sqlite3', rig.database);
  await good.all('SELECT 1 FROM Reality');
  const found = await diagnose(rig);
  assertFinding(found, 'versions', 'ok', /better-sqlite3 with SQLite 3\.5/);
  assertFinding(found, 'copies', 'ok', /No process/);
  assertFinding(found, 'processes', 'ok', new RegExp(`pid ${good.pid} in .*; 1 connection; better-sqlite3`));
});

test('whoever keeps everybody out is named, and what cannot be read is unknown', async (t) => {
  const rig = makeRig(t);
  createDatabase(rig.database);
  const pragmas = ['locking_mode = EXCLUSIVE'];
  const handle = await startConnection(rig, 'better-sqlite3', rig.database, { pragmas });
  await handle.exec("INSERT INTO Metric VALUES ('a', 1)");
  const found = await diagnose(rig, { env: {} });
  assertFinding(found, 'processes', 'warning', new RegExp(`Process ${handle.pid} keeps everybody else out`));
  for (const check of ['catalog', 'migrations']) assert.equal(finding(found, check).verdict, 'unknown');
  assert.equal(finding(found, 'database').verdict, 'ok');
});

test('a transaction that was cut off is left to the application', async (t) => {
  const rig = makeRig(t);
  createDatabase(rig.database, { megabytes: 1 });
  const handle = await startConnection(rig, 'better-sqlite3', rig.database, { pragmas: ['cache_size = 10'] });
  await handle.exec("BEGIN IMMEDIATE; UPDATE Filler SET body = replace(body, 'noise', 'NOISE')");
  await handle.kill();
  const before = fingerprint(rig.folder);
  const found = await diagnose(rig);
  assertFinding(found, 'journal', 'warning', /cut off/);
  assertFinding(found, 'catalog', 'unknown', /waits to be rolled back/);
  assert.deepEqual(fingerprint(rig.folder), before);
});

test('what DATABASE_URL means is explained', async (t) => {
  const rig = makeRig(t);
  const [here, below] = [rig.path('dev.db'), rig.path('prisma', 'dev.db')];
  fs.mkdirSync(rig.path('prisma'));
  createDatabase(below);
  const with_ = (url) => diagnose(rig, { env: { DATABASE_URL: url } });

  const relative = 'file:./dev.db';
  const onlyBelow = finding(await with_(relative), 'url');
  assert.equal(onlyBelow.verdict, 'warning');
  assert.ok(
    onlyBelow.finding.startsWith(`DATABASE_URL means ${below}: ${here}, the same`),
    onlyBelow.finding,
  );

  createDatabase(here);
  const two = finding(await with_(relative), 'url');
  assert.equal(two.verdict, 'warning');
  assert.ok(two.finding.includes(here) && two.finding.includes(below), two.finding);

  fs.rmSync(below);
  assertFinding(await with_(relative), 'url', 'ok', /relative to the working directory/);
  assertFinding(await with_(`file:${here}`), 'url', 'ok', /the path is absolute/);
  fs.symlinkSync(here, rig.path('link.db'));
  assertFinding(await with_('link.db'), 'url', 'ok', /link\.db, a link to .*dev\.db/);
  assertFinding(await with_(''), 'url', 'problem', /Neither DATABASE_URL/);

  const server = await with_('postgres://somebody:hunter2@db.example.com/x');
  assertFinding(server, 'url', 'problem', /scheme "postgres"/);
  assert.equal(server.code, 3);
  assert.ok(!JSON.stringify(server).includes('hunter2'));
});

test('a database that is missing, or none, is a problem', async (t) => {
  const rig = makeRig(t);
  const noise = Buffer.from(
    Array.from({ length: 4096 }, (_, at) => (Math.imul(at, 2654435761) >>> 24) & 255),
  );
  for (const [make, pattern] of [
    [() => {}, /does not exist/],
    [() => fs.mkdirSync(rig.database), /is not a file/],
    [() => fs.writeFileSync(rig.database, 'no database at all'), /is not an SQLite database/],
    [() => fs.writeFileSync(rig.database, noise), /looks encrypted/],
  ]) {
    fs.rmSync(rig.database, { recursive: true, force: true });
    make();
    const found = await diagnose(rig);
    assertFinding(found, 'database', 'problem', pattern);
    assert.equal(finding(found, 'catalog').verdict, 'unknown');
    assert.equal(found.code, 3);
  }
  fs.writeFileSync(rig.database, '');
  assertFinding(await diagnose(rig), 'database', 'warning', /is empty/);
});

test('a database whose schema is damaged is a problem', async (t) => {
  const rig = makeRig(t);
  createDatabase(rig.database);
  const bytes = fs.readFileSync(rig.database);
  // Behind the header, which stays as it is: the page that holds the schema.
  bytes.fill(0xff, 100, 4096);
  fs.writeFileSync(rig.database, bytes);
  const found = await diagnose(rig);
  const { advice } = assertFinding(found, 'database', 'problem', /malformed|corrupt|damaged/);
  assert.match(advice, /restore/);
  assert.equal(finding(found, 'catalog').verdict, 'unknown');
  assert.equal(found.code, 3);
});

const CATALOGS = {
  'without its table': ['DROP TABLE Snapshot', 'warning', /no Snapshot table/],
  'with a missing column': [
    'ALTER TABLE Snapshot DROP COLUMN checksum',
    'problem',
    /the column checksum is missing/,
  ],
  'without the unique index': ['DROP INDEX Snapshot_name_key', 'warning', /no unique index on name/],
};
for (const [what, [sql, verdict, pattern]] of Object.entries(CATALOGS)) {
  test(`a catalog ${what} is found`, async (t) => {
    const rig = makeRig(t);
    createDatabase(rig.database);
    withDatabase(rig.database, (db) => db.exec(sql));
    assertFinding(await diagnose(rig), 'catalog', verdict, pattern);
  });
}

test('the state of the migrations is told', async (t) => {
  const rig = makeRig(t);
  createDatabase(rig.database);
  assertFinding(await diagnose(rig), 'migrations', 'ok', /no Prisma schema/);
  fs.mkdirSync(rig.path('prisma', 'migrations', '1_init'), { recursive: true });
  fs.writeFileSync(rig.path('prisma', 'schema.prisma'), '');
  assertFinding(await diagnose(rig), 'migrations', 'warning', /P3005/);
  addMigrations(rig.database, { '1_init': true });
  assertFinding(await diagnose(rig), 'migrations', 'ok', /^1 applied/);
  fs.mkdirSync(rig.path('prisma', 'migrations', '2_more'));
  fs.writeFileSync(rig.path('prisma', 'migrations', '2_more', 'migration.sql'), '');
  assertFinding(await diagnose(rig), 'migrations', 'warning', /1 applied; 2_more .* is not/);
  addMigrations(rig.database, { '3_broken': false });
  const { advice } = assertFinding(await diagnose(rig), 'migrations', 'problem', /3_broken began.*P3009/);
  assert.match(advice, /migrate resolve --rolled-back 3_broken/);
});

test('a repository that cannot be written, or by everybody, is a problem', async (t) => {
  const rig = makeRig(t);
  createDatabase(rig.database);
  await rig.writer.createSnapshot('a');
  fs.chmodSync(rig.snapshotDir, 0o777);
  assertFinding(await diagnose(rig), 'repository', 'problem', /Everybody may write/);
  fs.chmodSync(rig.snapshotDir, 0o755);
  fs.chmodSync(rig.database, 0o600);
  const { advice } = assertFinding(await diagnose(rig), 'repository', 'warning', /More users may read/);
  assert.match(advice, /chmod 700/);
  fs.chmodSync(rig.database, 0o644);
  fs.chmodSync(rig.folder, 0o755);
  fs.chmodSync(path.join(rig.snapshotDir, 'packs'), 0o555);
  const { finding: told } = assertFinding(
    await diagnose(rig, ordinaryUser()),
    'repository',
    'problem',
    /may not write/,
  );
  assert.ok(told.includes(path.join(rig.snapshotDir, 'packs')), told);
  const description = path.join(rig.snapshotDir, 'repository.json');
  fs.writeFileSync(
    description,
    fs.readFileSync(description, 'utf8').replace(/"format": \d+/, '"format": 99'),
  );
  fs.chmodSync(path.join(rig.snapshotDir, 'packs'), 0o755);
  assertFinding(await diagnose(rig), 'repository', 'problem', /format 99/);
});

test('a repository on a disk that is not mounted is a problem', async (t) => {
  const rig = makeRig(t);
  createDatabase(rig.database);
  fs.symlinkSync('not-mounted/backups', rig.snapshotDir);
  assertFinding(await diagnose(rig), 'repository', 'problem', /a link to not-mounted\/backups/);
});

test('a disk without room is found before it is full', async (t) => {
  const rig = makeRig(t);
  createDatabase(rig.database, { megabytes: 1 });
  if (!mountSmall(rig, rig.snapshotDir, '40m')) return t.skip('mounting is not permitted here');
  const { finding: told } = assertFinding(await diagnose(rig), 'space', 'warning', /little room/);
  assert.ok(told.includes(rig.snapshotDir) && !told.includes(rig.database), told);
  assert.ok(!(await diagnose(rig)).findings.some(({ check }) => check === 'disk'), 'these are two disks');
});

test('PM2 that kills too early is found, of this process and of others', async (t) => {
  const rig = makeRig(t);
  createDatabase(rig.database);
  assertFinding(
    await diagnose(rig, { env: { pm_id: '3' } }),
    'pm2',
    'warning',
    /this process 1600 ms \(its default\)/,
  );
  const patient = { pm_id: '3', kill_timeout: '30000' };
  assertFinding(await diagnose(rig, { env: patient }), 'pm2', 'ok', /time to finish/);
  const child = startChild(rig, 'connection.js', [], {
    env: { ...process.env, pm_id: '1', kill_timeout: '2000' },
  });
  await child.request('open', 'better-sqlite3', rig.database, {});
  await child.request('all', 'SELECT 1 FROM Reality');
  assertFinding(await diagnose(rig), 'pm2', 'warning', new RegExp(`pid ${child.pid} 2000 ms`));
});

test('without a worker nothing works: a problem, beside what can be told', async (t) => {
  const rig = makeRig(t);
  createDatabase(rig.database);
  const { ok, verdict, findings } = await rig.newWriter({ nodePath: '/no/such/node' }).doctor();
  assert.deepEqual([ok, verdict], [false, 'problem']);
  const of = (check) => findings.find((one) => one.check === check);
  assert.equal(of('worker').verdict, 'problem');
  assert.match(of('worker').advice, /WORKER_FAILED/);
  for (const check of ['database', 'catalog', 'repository'])
    assert.equal(of(check).verdict, 'unknown', check);
  for (const check of ['url', 'node']) assert.equal(of(check).verdict, 'ok', check);
});

test("Node's permission model that forbids the worker is a problem", async (t) => {
  const rig = makeRig(t);
  createDatabase(rig.database);
  const known = process.allowedNodeEnvironmentFlags.has('--permission');
  const model = [known ? '--permission' : '--experimental-permission', '--allow-fs-read=*', '--no-warnings'];
  const { advice } = assertFinding(await diagnose(rig, { execArgv: model }), 'node', 'problem', /forbids/);
  assert.equal(advice, 'Start it with --allow-child-process.');
  const allowed = await diagnose(rig, { execArgv: [...model, '--allow-child-process'] });
  assertFinding(allowed, 'node', 'ok', /under its permission model/);
  assertFinding(allowed, 'database', 'ok', /pages of 4096/);
});

/** Runs the command in the folder of the rig; resolves with the diagnosis and the exit code. */
async function diagnose(rig, { env = {}, uid, gid, execArgv = [] } = {}) {
  const inherited = Object.entries(process.env).filter(
    ([name]) => !/^(S3_|AWS_|SNAPSHOT_|pm_id|kill_)/.test(name),
  );
  const child = spawn(process.execPath, [...execArgv, CLI, 'doctor', '--json'], {
    cwd: rig.folder,
    env: {
      ...Object.fromEntries(inherited),
      DATABASE_URL: `file:${rig.database}`,
      SNAPSHOT_DIR: rig.snapshotDir,
      ...env,
    },
    stdio: ['ignore', 'pipe', 'inherit'],
    uid,
    gid,
  });
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (chunk) => (text += chunk));
  const code = await new Promise((resolve) => child.once('close', resolve));
  return { code, ...JSON.parse(text) };
}

function finding({ findings }, check) {
  return findings.find((one) => one.check === check) ?? assert.fail(`no finding about ${check}`);
}

function assertFinding(diagnosis, check, verdict, pattern) {
  const found = finding(diagnosis, check);
  assert.equal(found.verdict, verdict, `${check}: ${found.finding}`);
  assert.match(found.finding, pattern);
  return found;
}
