'use strict';

// Sections 1 to 4 of the contract, the way the application uses the module that this one replaces.

const { createHash } = require('node:crypto');
const fs = require('node:fs');
const path = require('node:path');
const v8 = require('node:v8');
const vm = require('node:vm');
const Database = require('libsql');
const snapshotWriter = require('../snapshotWriter.cjs');
const { SnapshotWriter } = require('../index.js');
const { SCHEMA } = require('../examples/demo-database.cjs');
const { clearEnvironment } = require('./support/environment.js');
const { makeFolder, removeFolder, rejection, silent } = require('./support/folders.js');

const ISO = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00$/;
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

let folder;
let file;
let database;

beforeEach(() => {
  clearEnvironment();
  folder = makeFolder();
  file = path.join(folder, 'dev.db');
  process.env.DATABASE_URL = `file:${file}?connection_limit=1&socket_timeout=10`;
  database = new Database(file);
  database.exec(SCHEMA);
  addReality('first');
  snapshotWriter.log = silent;
});

afterEach(() => {
  database.close();
  snapshotWriter.log = null;
  removeFolder(folder);
});

function collectGarbage() {
  v8.setFlagsFromString('--expose-gc');
  vm.runInNewContext('gc')();
}

function addReality(description, parent = null) {
  database
    .prepare("INSERT INTO Reality VALUES (?, ?, '{}', 0, ?, '2026-01-02T03:04:05.678+00:00', 1)")
    .run(`id of ${description}`, description, parent);
}

const descriptions = () => database.prepare('SELECT description FROM Reality ORDER BY 1').pluck().all();
const row = (name) => database.prepare('SELECT * FROM Snapshot WHERE name = ?').get(name);
const sha256 = (target) => createHash('sha256').update(fs.readFileSync(target)).digest('hex');

function loseDatabase() {
  database.close();
  // libSQL lets go of the file when the last statement has been collected.
  collectGarbage();
  for (const suffix of ['', '-wal', '-shm', '-journal']) fs.rmSync(file + suffix, { force: true });
}

describe('createSnapshot', () => {
  test('resolves to the record of the contract', async () => {
    const { success, snapshot, durationMs } = await snapshotWriter.createSnapshot('one');
    expect(success).toBe(true);
    expect(durationMs).toBeGreaterThan(0);
    expect(snapshot).toEqual({
      id: expect.stringMatching(UUID),
      name: 'one',
      s3Key: expect.stringContaining(path.join(folder, 'backups')),
      checksum: expect.stringMatching(/^[0-9a-f]{64}$/),
      size: expect.any(Number),
      status: 'COMPLETED',
      restoreStatus: null,
      restoreMessage: null,
      lastRestoredAt: null,
      createdAt: expect.any(Date),
      updatedAt: expect.any(Date),
      schemaVersion: 1,
    });
    expect(fs.existsSync(snapshot.s3Key)).toBe(true);
    expect(Math.abs(Date.now() - snapshot.createdAt)).toBeLessThan(60_000);
    // The HTTP API serialises the result.
    expect(() => JSON.stringify(snapshot)).not.toThrow();
  });

  test('writes the row that Prisma reads', async () => {
    const { snapshot } = await snapshotWriter.createSnapshot('one');
    expect(row('one')).toMatchObject({
      id: snapshot.id,
      s3Key: snapshot.s3Key,
      checksum: snapshot.checksum,
      size: snapshot.size,
      status: 'COMPLETED',
      restoreStatus: null,
      createdAt: expect.stringMatching(ISO),
      updatedAt: expect.stringMatching(ISO),
      schemaVersion: 1,
    });
  });

  test('makes up a name', async () => {
    const { snapshot } = await snapshotWriter.createSnapshot();
    expect(snapshot.name).toMatch(/^snapshot_\d{4}-\d\d-\d\dT/);
    expect((await snapshotWriter.createSnapshot(null)).snapshot.name).not.toBe(snapshot.name);
  });

  test.each([
    'scheduled_2026-01-02T03-04-05-678Z',
    'with: colons. dots and  spaces',
    '../../outside',
    'été 日本 😀',
    '😀'.repeat(200),
  ])('stores the name %s safely', async (name) => {
    await snapshotWriter.createSnapshot(name);
    expect((await snapshotWriter.getSnapshot(name)).name).toBe(name);
    expect(fs.readdirSync(folder).sort()).toEqual(['backups', 'dev.db']);
  });

  test('refuses a name twice', async () => {
    await snapshotWriter.createSnapshot('one');
    const error = await rejection(snapshotWriter.createSnapshot('one'));
    expect(error.code).toBe('SNAPSHOT_EXISTS');
    expect(error.message).toMatch(/^Failed to create snapshot: /);
  });

  test('rejects when there is no database, and makes none', async () => {
    process.env.DATABASE_URL = `file:${folder}/absent.db`;
    const error = await rejection(snapshotWriter.createSnapshot('one'));
    expect(error).toMatchObject({ name: 'SnapshotError', code: 'DATABASE_NOT_FOUND' });
    expect(error.message).toMatch(/^Failed to create snapshot: /);
    expect(fs.existsSync(path.join(folder, 'absent.db'))).toBe(false);
  });

  test('an export is the image whose checksum the record holds', async () => {
    const { snapshot } = await snapshotWriter.createSnapshot('one');
    const exported = await snapshotWriter.exportSnapshot('one', path.join(folder, 'out.db'));
    expect(exported).toEqual({
      path: path.join(folder, 'out.db'),
      size: snapshot.size,
      checksum: snapshot.checksum,
    });
    expect(sha256(exported.path)).toBe(snapshot.checksum);
    expect(fs.statSync(exported.path).size).toBe(snapshot.size);
  });

  test('several at once, from several instances, all succeed', async () => {
    const writers = [
      snapshotWriter,
      new SnapshotWriter({ log: silent }),
      new SnapshotWriter({ log: silent }),
    ];
    await Promise.all(writers.map((writer, index) => writer.createSnapshot(`parallel ${index}`)));
    expect(await snapshotWriter.listSnapshots()).toHaveLength(3);
  });
});

describe('restoreFromSnapshot', () => {
  test('an open connection reads the restored data, and the record survives', async () => {
    await snapshotWriter.createSnapshot('one');
    addReality('second');
    database.exec("UPDATE Reality SET description = 'spoilt' WHERE description = 'first'");
    const { success, snapshot, durationMs } = await snapshotWriter.restoreFromSnapshot('one');
    expect(success).toBe(true);
    expect(durationMs).toBeGreaterThan(0);
    expect(snapshot).toMatchObject({
      name: 'one',
      restoreStatus: 'SUCCESS',
      lastRestoredAt: expect.any(Date),
    });
    expect(descriptions()).toEqual(['first']);
    expect(row('one')).toMatchObject({
      restoreStatus: 'SUCCESS',
      lastRestoredAt: expect.stringMatching(ISO),
    });
  });

  test('an unknown name leaves everything as it is', async () => {
    const error = await rejection(snapshotWriter.restoreFromSnapshot('absent'));
    expect(error.code).toBe('SNAPSHOT_NOT_FOUND');
    expect(error.message).toBe('Failed to restore from snapshot: Snapshot not found: absent');
    expect(descriptions()).toEqual(['first']);
  });

  test('can be undone', async () => {
    await snapshotWriter.createSnapshot('one');
    addReality('second');
    await snapshotWriter.restoreFromSnapshot('one');
    expect(await snapshotWriter.undoRestore()).toMatchObject({
      success: true,
      durationMs: expect.any(Number),
    });
    expect(descriptions()).toEqual(['first', 'second']);
  });

  test('keeps the records of snapshots that are younger than the image', async () => {
    await snapshotWriter.createSnapshot('one');
    await snapshotWriter.createSnapshot('two');
    await snapshotWriter.restoreFromSnapshot('one');
    expect([row('one').status, row('two').status]).toEqual(['COMPLETED', 'COMPLETED']);
  });

  test('is undone when the command after it fails', async () => {
    await snapshotWriter.createSnapshot('one');
    addReality('second');
    const options = { postRestoreCommand: [process.execPath, '-e', 'process.exit(4)'] };
    const error = await rejection(snapshotWriter.restoreFromSnapshot('one', options));
    expect(error.code).toBe('POST_RESTORE_FAILED');
    expect(descriptions()).toEqual(['first', 'second']);
  });
});

describe('bootstrapDatabase', () => {
  test('leaves a database with rows alone', async () => {
    await snapshotWriter.createSnapshot('one');
    const { bootstrapped, snapshot, error } = await snapshotWriter.bootstrapDatabase();
    expect({ bootstrapped, snapshot, error }).toEqual({ bootstrapped: false });
  });

  test('has nothing to do without snapshots', async () => {
    database.exec('DELETE FROM Reality');
    const { bootstrapped, error } = await snapshotWriter.bootstrapDatabase();
    expect({ bootstrapped, error }).toEqual({ bootstrapped: false });
  });

  test('brings a lost database back', async () => {
    const { snapshot: made } = await snapshotWriter.createSnapshot('one');
    loseDatabase();
    expect(await snapshotWriter.isDatabaseEmpty()).toBe(true);
    const { bootstrapped, snapshot, counts } = await snapshotWriter.bootstrapDatabase();
    expect(bootstrapped).toBe(true);
    expect(snapshot).toEqual({ name: 'one', timestamp: made.createdAt, checksum: made.checksum });
    expect(counts).toEqual({ realities: 1, paths: 0, fields: 0 });
    database = new Database(file);
    expect(descriptions()).toEqual(['first']);
    expect(row('one')).toMatchObject({ id: made.id });
  });

  test('passes over snapshots that were made of the lost database', async () => {
    await snapshotWriter.createSnapshot('good');
    database.exec('DELETE FROM Reality');
    await snapshotWriter.createSnapshot('empty');
    const { bootstrapped, snapshot } = await snapshotWriter.bootstrapDatabase();
    expect(bootstrapped).toBe(true);
    expect(snapshot.name).toBe('good');
    expect(descriptions()).toEqual(['first']);
  });

  test('never rejects', async () => {
    delete process.env.DATABASE_URL;
    const result = await snapshotWriter.bootstrapDatabase();
    expect(result).toMatchObject({
      bootstrapped: false,
      error: expect.any(String),
      stack: expect.any(String),
    });
  });
});

describe('isDatabaseEmpty', () => {
  test('goes by the rows of the core tables', async () => {
    expect(await snapshotWriter.isDatabaseEmpty()).toBe(false);
    database.exec("DELETE FROM Reality; INSERT INTO Metric VALUES ('m', 1)");
    expect(await snapshotWriter.isDatabaseEmpty()).toBe(true);
    expect(await snapshotWriter.isDatabaseEmpty({ coreTables: ['Metric'] })).toBe(false);
  });
});

describe('what else the application and its operator call', () => {
  test('_resetDatabase keeps the schema and a backup', async () => {
    const { success, backupPath, message } = await snapshotWriter._resetDatabase();
    expect(success).toBe(true);
    expect(typeof message).toBe('string');
    expect(fs.existsSync(backupPath)).toBe(true);
    expect(descriptions()).toEqual([]);
  });

  test('_generateChecksum is the SHA-256 of a file', async () => {
    const target = path.join(folder, 'file');
    fs.writeFileSync(target, 'abc');
    expect(await snapshotWriter._generateChecksum(target)).toBe(sha256(target));
  });

  test('_generateChecksum needs no configuration', async () => {
    delete process.env.DATABASE_URL;
    const target = path.join(folder, 'file');
    fs.writeFileSync(target, 'abc');
    expect(await snapshotWriter._generateChecksum(target)).toBe(sha256(target));
  });

  test('snapshots are listed, shown, verified and deleted', async () => {
    await snapshotWriter.createSnapshot('one');
    await snapshotWriter.createSnapshot('two');
    const list = await snapshotWriter.listSnapshots();
    expect(list.map(({ name }) => name).sort()).toEqual(['one', 'two']);
    expect(list[0]).toMatchObject({ kind: 'snapshot', databaseName: 'dev.db', createdAt: expect.any(Date) });
    for (const level of ['structure', 'data', 'database']) {
      expect(await snapshotWriter.verifySnapshot('two', { level })).toEqual({
        ok: true,
        level,
        problems: [],
      });
    }
    expect(await snapshotWriter.deleteSnapshot('one')).toEqual({
      name: 'one',
      freedBytes: expect.any(Number),
    });
    expect(await snapshotWriter.verifySnapshot('two')).toMatchObject({ ok: true });
    expect(await snapshotWriter.status()).toMatchObject({
      databasePath: file,
      snapshots: 1,
      latest: { name: 'two' },
      unfinishedRestore: false,
    });
  });

  test('the database may change between calls', async () => {
    const other = path.join(folder, 'other.db');
    fs.copyFileSync(file, other);
    process.env.SNAPSHOT_DIR = path.join(folder, 'elsewhere');
    await snapshotWriter.createSnapshot('of dev');
    process.env.DATABASE_URL = `file:${other}`;
    await snapshotWriter.createSnapshot('of other');
    expect((await snapshotWriter.getSnapshot('of other')).databaseName).toBe('other.db');
    expect(snapshotWriter.snapshotDir).toBe(path.join(folder, 'elsewhere'));
  });
});
