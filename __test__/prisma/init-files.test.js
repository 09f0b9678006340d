'use strict';

// What `snapshot-writer prisma init` finds and writes in a project's files. Prisma itself is not needed.

const assert = require('node:assert/strict');
const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { test } = require('node:test');
const { init } = require('../../lib/prisma/init.js');
const { createDatabase } = require('../support/database.js');
const { clearEnvironment } = require('../support/environment.js');
const { fingerprint } = require('../support/files.js');
const { refused } = require('../support/rig.js');

const CLI = path.join(__dirname, '..', '..', 'bin', 'snapshot-writer.cjs');
const MODEL = fs.readFileSync(path.join(__dirname, '..', '..', 'prisma', 'snapshot.prisma'), 'utf8');
const BASE = 'datasource db {\n  provider = "sqlite"\n}\n';
const NOW = new Date('2026-01-02T03:04:05.678Z');

/** A project of these files, which is the working directory until the test ends. */
function makeProject(t, files) {
  const folder = fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), 'snapshot-writer-files-')));
  const [before, environment] = [process.cwd(), { ...process.env }];
  clearEnvironment();
  process.chdir(folder);
  t.after(() => {
    process.chdir(before);
    process.env = environment;
    fs.rmSync(folder, { recursive: true, force: true });
  });
  for (const [name, text] of Object.entries(files)) {
    fs.mkdirSync(path.dirname(path.resolve(name)), { recursive: true });
    fs.writeFileSync(name, text);
  }
  return folder;
}

const read = (file) => fs.readFileSync(file, 'utf8');
const run = (options = {}) => init(options, { now: NOW });
const written = (folder = 'prisma/migrations') =>
  fs.readdirSync(folder).filter((name) => !name.endsWith('.toml'));
const withBody = (change) => ({ 'prisma/schema.prisma': BASE + change(MODEL) });

for (const [where, files, options, schema, migrations] of [
  ['the default place', { 'prisma/schema.prisma': BASE }, {}, 'prisma/schema.prisma', 'prisma/migrations'],
  [
    'the folder itself',
    { 'schema.prisma': BASE, 'prisma/schema.prisma': BASE },
    {},
    'schema.prisma',
    'migrations',
  ],
  ['an option', { 'db/a.prisma': BASE }, { schema: 'db/a.prisma' }, 'db/a.prisma', 'db/migrations'],
  [
    'package.json',
    { 'db/b.prisma': BASE, 'package.json': '{"prisma":{"schema":"./db/b.prisma"}}' },
    {},
    'db/b.prisma',
    'db/migrations',
  ],
  [
    'prisma.config.ts',
    {
      'db/c.prisma': BASE,
      'prisma.config.ts': `// schema: 'no.prisma'
        export default defineConfig({ schema: path.join('db', 'c.prisma'), migrations: { path: "other/here", seed: 'x' } });`,
    },
    {},
    'db/c.prisma',
    'other/here',
  ],
  [
    '.config/prisma.js',
    { 'db/d.prisma': BASE, '.config/prisma.js': 'module.exports = { schema: `../db/d.prisma` }' },
    {},
    'db/d.prisma',
    'db/migrations',
  ],
]) {
  test(`the schema is found by ${where}`, async (t) => {
    makeProject(t, files);
    const result = await run(options);
    assert.deepEqual([result.ok, result.schema], [true, schema]);
    assert.equal(read(schema), `${BASE}\n${MODEL}`);
    assert.deepEqual(written(migrations), ['20260102030405_snapshot_writer']);
    assert.match(read(path.join(migrations, 'migration_lock.toml')), /^provider = "sqlite"$/m);
  });
}

test('what cannot be known is asked for', async (t) => {
  makeProject(t, {});
  const none = await refused(run(), 'PRISMA_PROJECT');
  assert.match(none.message, /^Failed to prepare the Prisma project: no Prisma schema was found .*--schema/);
  await refused(run({ schema: 'nowhere.prisma' }), 'PRISMA_PROJECT');
  fs.writeFileSync('schema.prisma', BASE);
  fs.writeFileSync('prisma.config.ts', 'export default { schema: wherever(), migrations: { path } }');
  assert.match((await refused(run(), 'PRISMA_PROJECT')).message, /"schema" in prisma.config.ts .*--schema/);
  const second = await refused(run({ schema: 'schema.prisma' }), 'PRISMA_PROJECT');
  assert.match(second.message, /"path" in prisma.config.ts .*--migrations/);
  assert.equal((await run({ schema: 'schema.prisma', migrations: 'm' })).ok, true);
  assert.equal(written('m').length, 1);
});

test('a folder of schemas gets a file of its own', async (t) => {
  makeProject(t, { 'db/main.prisma': BASE, 'db/models/a.prisma': 'model A {\n  id Int @id\n}\n' });
  const before = fingerprint('db');
  const { modelFile, next } = await run({ schema: 'db' });
  assert.equal(modelFile, 'db/snapshot.prisma');
  assert.equal(read(modelFile), MODEL);
  assert.deepEqual(next.at(-1).commands, ['npx prisma generate --schema db']);
  const old = fingerprint('db').filter((line) => !/^(snapshot\.prisma|migrations)/.test(line));
  assert.deepEqual(old, before);
  assert.equal((await run({ schema: 'db' })).model, 'present');
});

for (const [what, text, expected] of [
  ['no newline at the end', 'model A {\n  id Int @id\n}', `\n\n${MODEL}`],
  ['Windows line ends', 'model A {\r\n  id Int @id\r\n}\r\n', `\r\n${MODEL.replaceAll('\n', '\r\n')}`],
  ['nothing in it', '', MODEL],
]) {
  test(`other text stays byte for byte: ${what}`, async (t) => {
    makeProject(t, { 'prisma/schema.prisma': text });
    fs.chmodSync('prisma/schema.prisma', 0o640);
    await run();
    assert.equal(read('prisma/schema.prisma'), text + expected);
    assert.equal(fs.statSync('prisma/schema.prisma').mode & 0o777, 0o640);
    const before = fingerprint('.');
    const again = await run();
    assert.deepEqual([again.model, again.migration], ['present', 'present']);
    assert.deepEqual(fingerprint('.'), before, 'a second run writes nothing');
  });
}

test('comments and strings are no models', async (t) => {
  const text = `${BASE}
/* model Snapshot { */ // model Snapshot {
model A { /// }
  id   Int    @id
  text String @default("} model Snapshot {\\" }")
}
`;
  makeProject(t, { 'prisma/schema.prisma': text });
  assert.equal((await run()).model, 'added');
  assert.equal(read('prisma/schema.prisma'), `${text}\n${MODEL}`);
});

for (const [what, change] of [
  ['as it is', (model) => model],
  ['fields in another order', (model) => model.replace(/( {2}name.*\n)( {2}s3Key.*\n)/, '$2$1')],
  [
    'attributes in another order',
    (model) => model.replace('@id @default(uuid())', ' @default( uuid( ) )   @id'),
  ],
  ['another maker of ids', (model) => model.replace('uuid()', 'cuid(2)')],
  ['a wider size', (model) => model.replace('size           Int', 'size BigInt')],
  ['a floating size', (model) => model.replace('size           Int', 'size Float')],
  ['comments', (model) => model.replace('  s3Key', '  // where\n  s3Key').replace('@unique', '@unique // !')],
  [
    'fields of its own',
    (model) => model.replace('\n\n  @@', '\n  note String?\n  tries Int @default(0)\n  tags Tag[]\n\n  @@'),
  ],
  [
    'another name',
    (model) =>
      model.replace('model Snapshot', 'model DbSnapshot').replace('\n\n  @@', '\n @@map("Snapshot")\n  @@'),
  ],
  [
    'a named index',
    (model) => model.replace('@@index([status])', '@@index(fields: [status], map: "by_status")'),
  ],
  ['an index over lines', (model) => model.replace('@@index([status])', '@@index([\n    status\n  ])')],
]) {
  test(`a model that is present: ${what}`, async (t) => {
    makeProject(t, withBody(change));
    const text = read('prisma/schema.prisma');
    const { ok, model, problems } = await run();
    assert.deepEqual([ok, model], [true, 'present'], JSON.stringify(problems));
    assert.equal(read('prisma/schema.prisma'), text);
  });
}

for (const [what, change, diff] of [
  ['a field is missing', (model) => model.replace(/ {2}checksum.*\n/, ''), ['+ checksum String']],
  [
    'another type',
    (model) => model.replace('s3Key          String', 's3Key Int'),
    ['- s3Key Int', '+ s3Key String'],
  ],
  [
    'optional',
    (model) => model.replace('checksum       String', 'checksum String?'),
    ['- checksum String?', '+ checksum String'],
  ],
  [
    'a size that is no number',
    (model) => model.replace('size           Int', 'size String'),
    ['- size String', '+ size Int'],
  ],
  ['not unique', (model) => model.replace(' @unique', ''), ['- name String', '+ name String @unique']],
  [
    'another column',
    (model) => model.replace('@unique', '@unique @map("title")'),
    ['- name String @unique @map("title")', '+ name String @unique'],
  ],
  ['no index', (model) => model.replace('@@index([status])', ''), ['+ @@index([status])']],
  [
    'another table',
    (model) => model.replace('\n\n  @@', '\n  @@map("snapshots")\n  @@'),
    ['- @@map("snapshots")'],
  ],
  [
    'a field that must be given',
    (model) => model.replace('\n\n  @@', '\n  owner String @unique\n  @@'),
    ['- owner String @unique', '+ owner String? @unique'],
  ],
  ['an enum', () => 'enum Snapshot {\n  A\n}\n', ['- enum Snapshot']],
]) {
  test(`a model that is another one: ${what}`, async (t) => {
    makeProject(t, withBody(change));
    const before = fingerprint('.');
    const result = await run();
    assert.deepEqual([result.ok, result.model, result.migration], [false, 'different', 'not written']);
    assert.deepEqual(result.problems[0].diff, diff);
    assert.deepEqual(result.next, []);
    assert.deepEqual(fingerprint('.'), before, 'all or nothing');
  });
}

test('other databases are refused', async (t) => {
  makeProject(t, {
    'prisma/schema.prisma': BASE.replace('sqlite', 'postgresql'),
    'prisma/migrations/migration_lock.toml': '# x\nprovider = "mysql"\n',
  });
  const { ok, problems } = await run();
  assert.equal(ok, false);
  assert.deepEqual(
    problems.map(({ title }) => title),
    [
      'The provider in prisma/schema.prisma is "postgresql".',
      'The provider in migration_lock.toml is "mysql".',
    ],
  );
});

for (const [what, existing, expected] of [
  ['none', [], '20260102030405_snapshot_writer'],
  ['a baseline', ['0_init'], '20260102030405_snapshot_writer'],
  ['older ones', ['20250101000000_a'], '20260102030405_snapshot_writer'],
  ['one of this second', ['20260102030405_a'], '20260102030406_snapshot_writer'],
  ['one from the future', ['20991231235959_a', '20250101000000_b'], '20991231235960_snapshot_writer'],
]) {
  test(`the timestamp is later than every existing one: ${what}`, async (t) => {
    const files = existing.map((name) => [`prisma/migrations/${name}/migration.sql`, 'SELECT 1;']);
    makeProject(t, { 'prisma/schema.prisma': BASE, ...Object.fromEntries(files) });
    await run();
    assert.deepEqual(written().sort(), [...existing, expected].sort());
    assert.equal(written().sort().at(-1), expected);
  });
}

test('a run that was cut off is finished by the next one', async (t) => {
  makeProject(t, { 'prisma/schema.prisma': BASE });
  await run();
  fs.writeFileSync('prisma/schema.prisma', BASE);
  const { model, migration } = await run();
  assert.deepEqual([model, migration], ['added', 'present']);
  assert.equal(written().length, 1);
});

test('when the migration cannot be written, the schema stays', async (t) => {
  makeProject(t, { 'prisma/schema.prisma': BASE, 'prisma/migrations': 'a file' });
  await refused(run(), 'INTERNAL');
  assert.equal(read('prisma/schema.prisma'), BASE);
  assert.deepEqual(fs.readdirSync('prisma').sort(), ['migrations', 'schema.prisma']);
});

test('a database over 2 GiB is told about the size of an Int', async (t) => {
  makeProject(t, { 'prisma/schema.prisma': BASE });
  const pages = 32_769;
  createDatabase('big.db', { pageSize: 65_536, catalog: false });
  const file = fs.openSync('big.db', 'r+');
  fs.ftruncateSync(file, pages * 65_536);
  fs.writeSync(file, Buffer.from([0, 0, pages >> 8, pages & 255]), 0, 4, 28);
  fs.closeSync(file);
  const { notes } = await run({ databaseUrl: 'file:./big.db' });
  assert.equal(notes.length, 1);
  assert.match(notes[0], /2147549184 bytes.*P2023.*2147483647.*catalogSize.*BigInt/);

  fs.writeFileSync('prisma/schema.prisma', BASE + MODEL.replace('size           Int', 'size BigInt'));
  assert.deepEqual((await run({ databaseUrl: 'file:./big.db' })).notes, []);
});

test('the command line', async (t) => {
  const folder = makeProject(t, { 'prisma/schema.prisma': BASE });
  const cli = (...args) => {
    const { status, stdout, stderr } = spawnSync(process.execPath, [CLI, 'prisma', ...args], {
      encoding: 'utf8',
    });
    return { status, stdout, stderr };
  };
  const dry = cli('init', '--dry-run');
  assert.equal(dry.status, 0, dry.stderr);
  assert.match(dry.stdout, /^model +to be added \(prisma\/schema\.prisma\)$/m);
  assert.match(dry.stdout, /^database +not looked at: DATABASE_URL is not set/m);
  assert.match(dry.stdout, /Nothing was written: this was a dry run\.\n$/);
  assert.equal(read('prisma/schema.prisma'), BASE);

  createDatabase(path.join(folder, 'dev.db'), { catalog: false });
  process.env.DATABASE_URL = 'file:./dev.db';
  const done = cli('init');
  assert.equal(done.status, 0, done.stderr);
  assert.match(done.stdout, /^migration +written \(prisma\/migrations\/\d{14}_snapshot_writer\)$/m);
  assert.match(
    done.stdout,
    /P3005[^\n]*\n {2}mkdir -p prisma\/migrations\/0_init\n {2}npx prisma migrate diff /,
  );

  fs.writeFileSync('prisma/schema.prisma', BASE + MODEL.replace(/ {2}checksum.*\n/, ''));
  const refusal = cli('init');
  assert.equal(refusal.status, 3);
  assert.match(
    refusal.stdout,
    /\n {2}\+ checksum String\n\nNothing was written\. Run this again afterwards\.\n$/,
  );
  const usage = cli('init', '--json', '--nope');
  assert.deepEqual([usage.status, usage.stderr], [2, '']);
  assert.equal(JSON.parse(usage.stdout).error.code, 'INVALID_ARGUMENT');
  fs.rmSync('prisma', { recursive: true });
  assert.equal(cli('init').status, 1);
});
