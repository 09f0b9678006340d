'use strict';

// `snapshot-writer prisma init` where the database and Prisma's record of it differ: nothing that it prints
// may destroy what the database holds.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { test } = require('node:test');
const { assertInStep, assertNothingToDo, makeProject, withDatabase } = require('../support/prisma-init.js');

const INIT = '20250101000000_init';
/** As `prisma migrate dev` writes it for a field that becomes one with a default. */
const REDEFINE = {
  name: '20250201000000_depth_default',
  sql: `-- RedefineTables
PRAGMA defer_foreign_keys=ON;
PRAGMA foreign_keys=OFF;
CREATE TABLE "new_Reality" (
    "id" TEXT NOT NULL PRIMARY KEY,
    "description" TEXT NOT NULL,
    "parameters" JSONB NOT NULL,
    "recursionDepth" INTEGER NOT NULL DEFAULT 0,
    "parentId" TEXT,
    "createdAt" DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "schemaVersion" INTEGER NOT NULL
);
INSERT INTO "new_Reality" ("createdAt", "description", "id", "parameters", "parentId", "recursionDepth", "schemaVersion") SELECT "createdAt", "description", "id", "parameters", "parentId", "recursionDepth", "schemaVersion" FROM "Reality";
DROP TABLE "Reality";
ALTER TABLE "new_Reality" RENAME TO "Reality";
PRAGMA foreign_keys=ON;
PRAGMA defer_foreign_keys=OFF;
`,
};
const ADD_COLUMN = {
  name: '20250301000000_add_note',
  sql: '-- AlterTable\nALTER TABLE "Reality" ADD COLUMN "note" TEXT;\n',
};
const ADD_TABLE = {
  name: '20250201000000_add_table',
  sql: '-- CreateTable\nCREATE TABLE "Note" (\n    "id" TEXT NOT NULL PRIMARY KEY\n);\n',
};
const ADD_TO_TABLE = {
  name: '20250301000000_add_text',
  sql: '-- AlterTable\nALTER TABLE "Note" ADD COLUMN "text" TEXT;\n',
};
const NOTE_MODEL = 'model Note {\n  id   String  @id\n  text String?\n}\n';

/** The models after REDEFINE and ADD_COLUMN. */
const withNote = (schema) =>
  schema
    .replace(/(model Reality \{[^}]*recursionDepth Int)/, '$1 @default(0)')
    .replace(/(model Reality \{[^}]*)\}/, '$1  note String?\n}');

/** A project with these migrations after its first one, which makes every table but Snapshot. */
async function makeProjectWith(t, migrations, change) {
  const arrange = (root) => {
    const schema = path.join(root, 'schema.prisma');
    fs.writeFileSync(schema, change(fs.readFileSync(schema, 'utf8')));
    const first = path.join(root, 'migrations', INIT, 'migration.sql');
    const sql = fs.readFileSync(first, 'utf8');
    fs.writeFileSync(first, sql.slice(0, sql.indexOf('-- CreateTable\nCREATE TABLE "Snapshot"')));
    for (const migration of migrations) {
      const folder = path.join(root, 'migrations', migration.name);
      fs.mkdirSync(folder);
      fs.writeFileSync(path.join(folder, 'migration.sql'), migration.sql);
    }
  };
  const project = await makeProject(t, { arrange });
  const first = {
    name: INIT,
    sql: fs.readFileSync(path.join(project.migrations, INIT, 'migration.sql'), 'utf8'),
  };
  return { ...project, first };
}

/** Makes the database without Prisma, as `db push` or a person does. */
function makeDatabase(project, migrations, rows) {
  withDatabase(project.database, (db) => {
    for (const { sql } of migrations) db.exec(sql);
    db.exec(rows);
  });
}

const REALITY = `INSERT INTO Reality (id, description, parameters, recursionDepth, schemaVersion)
  VALUES ('r', 'a reality', '{}', 7, 1);`;
const NOTED = `${REALITY} UPDATE Reality SET note = 'must not be lost';`;

const contentOf = (project) =>
  withDatabase(project.database, (db) => db.prepare('SELECT * FROM Reality ORDER BY id').all());
const commandsOf = (steps) => steps.flatMap(({ commands }) => commands);
const resolved = (steps) =>
  commandsOf(steps).flatMap((command) => /resolve --applied (\S+)/.exec(command)?.[1] ?? []);

test('a table that a migration rebuilds keeps the column that a later one adds', async (t) => {
  const project = await makeProjectWith(t, [REDEFINE, ADD_COLUMN], withNote);
  makeDatabase(project, [project.first, REDEFINE, ADD_COLUMN], NOTED);
  const before = contentOf(project);
  assert.equal(before[0].note, 'must not be lost');

  const done = await project.init();
  assert.deepEqual([done.code, done.problems], [0, []]);
  assert.equal(commandsOf(done.next)[0], 'npx snapshot-writer create');
  assert.deepEqual(resolved(done.next), [INIT, REDEFINE.name, ADD_COLUMN.name]);
  await project.follow(done.next);

  assert.deepEqual(contentOf(project), before);
  await assertInStep(project);
  await assertNothingToDo(project);
});

test('db push after a recorded migration', async (t) => {
  const project = await makeProjectWith(t, [], (schema) => schema);
  await project.deploy();
  for (const { name, sql } of [REDEFINE, ADD_COLUMN]) {
    fs.mkdirSync(path.join(project.migrations, name));
    fs.writeFileSync(path.join(project.migrations, name, 'migration.sql'), sql);
  }
  makeDatabase(project, [REDEFINE, ADD_COLUMN], NOTED);
  const before = contentOf(project);

  const done = await project.init();
  assert.deepEqual(resolved(done.next), [REDEFINE.name, ADD_COLUMN.name]);
  await project.follow(done.next);
  assert.deepEqual(contentOf(project), before);
  assert.match(await project.prisma('migrate', 'status'), /up to date/);
});

test('a migration that changes a table which is not there yet is applied, not recorded', async (t) => {
  const project = await makeProjectWith(t, [ADD_TABLE, ADD_TO_TABLE], (schema) => `${schema}\n${NOTE_MODEL}`);
  makeDatabase(project, [project.first], REALITY);
  const before = contentOf(project);

  const done = await project.init();
  assert.deepEqual(resolved(done.next), [INIT]);
  await project.follow(done.next);

  assert.deepEqual(contentOf(project), before);
  await assertInStep(project);
  await assertNothingToDo(project);
});

test('where nobody can tell, nothing is suggested that could do harm', async (t) => {
  const project = await makeProjectWith(t, [ADD_TABLE, REDEFINE, ADD_COLUMN], (schema) =>
    withNote(`${schema}\n${NOTE_MODEL.replace('  text String?\n', '')}`),
  );
  // The column was added by hand; the table of the migration before it was not.
  makeDatabase(project, [project.first, ADD_COLUMN], NOTED);
  const before = contentOf(project);
  const names = project.names();

  const refused = await project.init();
  assert.deepEqual([refused.code, refused.ok, refused.next], [3, false, []]);
  assert.deepEqual(project.names(), names, 'nothing is written');
  assert.match(refused.problems[0].title, /it lacks the table note/);
  assert.doesNotMatch(commandsOf(refused.problems).join('\n'), /resolve|deploy/);
  await project.follow(refused.problems);
  assert.deepEqual(contentOf(project), before);

  // The first and the last are there. Deployed now, the one between them would rebuild the table without the column.
  const record = (name) => project.prisma('migrate', 'resolve', '--applied', name);
  for (const { name } of [project.first, ADD_COLUMN]) await record(name);
  const again = await project.init();
  assert.deepEqual([again.code, again.next], [3, []]);
  assert.match(again.problems[0].title, /not recorded would come after later ones/);
  // Put right by hand: the table is made, and the default of a column is not missed.
  makeDatabase(project, [ADD_TABLE], '');
  for (const { name } of [ADD_TABLE, REDEFINE]) await record(name);
  await project.follow((await project.init()).next);
  assert.deepEqual(contentOf(project), before);
  await assertNothingToDo(project);
});

test('a database that was not looked at', async (t) => {
  const project = await makeProjectWith(t, [ADD_TABLE], (schema) => schema);
  project.environment.DATABASE_URL = 'postgresql://host/database';
  const done = await project.init();
  assert.deepEqual([done.code, done.migration], [0, 'written']);
  assert.deepEqual(commandsOf(done.next), ['npx prisma generate']);
  assert.match(done.next[0].why, /not looked at/);
});
