'use strict';

const fs = require('node:fs');
const path = require('node:path');
const { resolveConfig } = require('../../lib/config.js');
const { snapshotWriter } = require('../../index.js');
const { clearEnvironment } = require('../support/environment.js');
const { makeFolder, removeFolder, rejection, silent } = require('../support/folders.js');

let folder;
const home = process.cwd();

beforeEach(() => {
  clearEnvironment();
  folder = makeFolder();
  process.chdir(folder);
});

afterEach(() => {
  process.chdir(home);
  removeFolder(folder);
});

const put = (...parts) => {
  const file = path.join(folder, ...parts);
  fs.mkdirSync(path.dirname(file), { recursive: true });
  fs.writeFileSync(file, '');
  return file;
};

const resolved = (url, notices = []) => {
  process.env.DATABASE_URL = url;
  return resolveConfig({}, 'database', (level, message) => notices.push([level, message])).databasePath;
};

test.each([
  ['file:./prisma/dev.db', 'prisma/dev.db'],
  ['file:dev.db', 'dev.db'],
  ['file:./dev.db?connection_limit=1&socket_timeout=10', 'dev.db'],
  ['sqlite:./dev.db', 'dev.db'],
  ['SQLite:dev.db', 'dev.db'],
  ['./dev.db', 'dev.db'],
  ['  dev.db  ', 'dev.db'],
  ['sub/odd:name.db', 'sub/odd:name.db'],
])('%s is below the working directory', (url, file) => {
  expect(resolved(url)).toBe(path.join(folder, file));
});

test.each(['file:/a/b.db', 'file:///a/b.db', 'file://localhost/a/b.db', 'sqlite:///a/b.db', '/a/b.db'])(
  '%s is absolute',
  (url) => expect(resolved(url)).toBe('/a/b.db'),
);

test('a file that is only below prisma/ is used, and said so', () => {
  const file = put('prisma', 'dev.db');
  const notices = [];
  expect(resolved('file:./dev.db', notices)).toBe(file);
  expect(notices).toEqual([['info', expect.stringContaining(file)]]);
});

test('where both files exist, that of the working directory is used, with a warning', () => {
  const file = put('dev.db');
  put('prisma', 'dev.db');
  const notices = [];
  expect(resolved('file:./dev.db', notices)).toBe(file);
  expect(notices).toEqual([['warn', expect.stringContaining(file)]]);
});

test('a percent sign is taken as written when that file exists, else decoded when that one does', () => {
  const decoded = put('my data.db');
  expect(resolved(`file:${folder}/my%20data.db`)).toBe(decoded);
  const literal = put('my%20data.db');
  expect(resolved(`file:${folder}/my%20data.db`)).toBe(literal);
});

test('symbolic links lead to one database and one default repository', () => {
  put('real', 'dev.db');
  fs.symlinkSync('real', path.join(folder, 'link'));
  process.env.DATABASE_URL = 'file:./link/dev.db';
  const config = resolveConfig({}, 'database');
  expect(config.databasePath).toBe(path.join(folder, 'real', 'dev.db'));
  expect(config.snapshotDir).toBe(path.join(folder, 'real', 'backups'));
});

test('a missing database below a linked folder is found by its canonical path too', () => {
  fs.mkdirSync(path.join(folder, 'real'));
  fs.symlinkSync('real', path.join(folder, 'link'));
  expect(resolved('file:./link/new/dev.db')).toBe(path.join(folder, 'real', 'new', 'dev.db'));
});

test('call options win over constructor options, and those over the environment', () => {
  process.env.DATABASE_URL = 'file:environment.db';
  process.env.SNAPSHOT_DIR = 'from-environment';
  expect(resolveConfig({ databaseUrl: 'file:option.db' }, 'database')).toMatchObject({
    databasePath: path.join(folder, 'option.db'),
    snapshotDir: path.join(folder, 'from-environment'),
  });
});

test.each(['postgresql://user:s3cret@host/db', 'mysql://user:s3cret@host', 'libsql://s3cret.turso.io'])(
  'a server is refused by its scheme and never quoted: %s',
  async (url) => {
    process.env.DATABASE_URL = url;
    const error = await rejection(snapshotWriter.createSnapshot('a', { log: silent }));
    expect(error.code).toBe('DATABASE_URL_UNSUPPORTED');
    expect(error.message).toContain(`"${url.split(':')[0]}"`);
    expect(`${error.message} ${error.stack} ${error.cause}`).not.toContain('s3cret');
  },
);

test.each([
  'file://server/share.db',
  ':memory:',
  'file::memory:',
  'file:x?mode=memory',
  'file:',
  'file:?a=1',
])('%s is refused', (url) =>
  expect(() => resolved(url)).toThrow(expect.objectContaining({ code: 'DATABASE_URL_UNSUPPORTED' })),
);

test('without DATABASE_URL an operation on the database says what to set', async () => {
  const error = await rejection(snapshotWriter.createSnapshot());
  expect(error.code).toBe('DATABASE_URL_MISSING');
  expect(error.message).toMatch(/^Failed to create snapshot: .*DATABASE_URL/);
});

test('an operation on the repository needs only SNAPSHOT_DIR', () => {
  expect(() => resolveConfig({}, 'repository')).toThrow(
    expect.objectContaining({ code: 'DATABASE_URL_MISSING' }),
  );
  process.env.SNAPSHOT_DIR = '/repository';
  expect(resolveConfig({}, 'repository')).toMatchObject({ databasePath: null, snapshotDir: '/repository' });
});

test('the worker gets the defaults spelled out', () => {
  process.env.DATABASE_URL = 'file:dev.db';
  expect(resolveConfig({ postRestoreCommand: ['true'] }, 'database')).toEqual({
    databasePath: path.join(folder, 'dev.db'),
    databasePlace: path.join(folder, 'dev.db'),
    databaseId: null,
    snapshotDir: path.join(folder, 'backups'),
    lockTimeoutMs: 60000,
    commitTimeoutMs: 3000,
    maxWriterStallMs: 4000,
    check: 'quick',
    catalogSize: 'clamped',
    coreTables: ['Reality', 'RecursionPath', 'ConsciousnessField'],
    postRestore: { command: ['true'], timeoutMs: 300000, cwd: folder },
    s3: null,
    deleteGraceMs: 86400000,
    trashGraceMs: 86400000,
  });
});
