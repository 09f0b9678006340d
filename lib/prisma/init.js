'use strict';

// Puts model and migration into a Prisma project. All or nothing: with a problem left, no file is touched.

const { randomUUID } = require('node:crypto');
const fs = require('node:fs');
const path = require('node:path');
const { withPrefix } = require('../errors.js');
const { nextSteps, notes, problems, shown } = require('./advice.js');
const { inspectDatabase } = require('./inspect.js');
const { NAME, SQL, nextTimestamps, readMigrations, writeMigration } = require('./migrations.js');
const { findModel, withModel } = require('./model.js');
const { findProject } = require('./project.js');
const { State } = require('./state.js');

/**
 * @param {{ schema?: string, migrations?: string, dryRun?: boolean, databaseUrl?: string }} options
 * @returns what was (or, with `dryRun`, would be) written, what stands in the way, and what comes next
 */
async function init(options, surroundings) {
  try {
    return await prepare(options, surroundings);
  } catch (error) {
    throw withPrefix('Failed to prepare the Prisma project: ', error);
  }
}

async function prepare(options, { signal, log, now = new Date() } = {}) {
  const project = { ...findProject(options), schemaOption: options.schema !== undefined };
  const { migrationsPath } = project;
  const migrations = readMigrations(migrationsPath);
  const model = findModel(project.files);
  const { databaseUrl } = options;
  const database = await inspectDatabase({ databaseUrl, migrationsPath, migrations, signal, log });
  const { schema } = database;
  const before = new State(migrations, schema);
  const found = problems({ project, migrations, model, schema, state: before, now });
  const isOurs = ({ name }) => name.endsWith(`_${NAME}`);
  const migration = before.needsMigration
    ? `${nextTimestamps(migrations, now, 1)[0]}_${NAME}`
    : (migrations.find(isOurs) ?? before.madeTheTable[0]).name;
  const plan = { model: model.state === 'missing', migration: before.needsMigration };
  const written = found.length === 0 && !options.dryRun;
  if (written) write(project, plan, migration);

  // What comes next is told as if it had been written: a dry run says what a real one would.
  const after = new State(
    plan.migration ? [...migrations, { name: migration, sql: SQL }] : migrations,
    schema,
  );
  return {
    ok: found.length === 0,
    dryRun: Boolean(options.dryRun),
    schema: shown(project.schemaPath),
    model: model.state === 'missing' ? verb(written, 'added', found) : model.state,
    modelFile: shown(model.file ?? project.modelFile),
    migration: plan.migration ? verb(written, 'written', found) : 'present',
    migrationPath: shown(path.join(project.migrationsPath, migration)),
    database: { path: database.path, exists: schema !== null, reason: database.reason },
    problems: found,
    notes: notes({ model, schema }),
    next: found.length === 0 ? nextSteps({ project, model, state: after, database }) : [],
  };
}

function verb(written, done, found) {
  if (written) return done;
  return found.length === 0 ? `to be ${done}` : `not ${done}`;
}

/** The migration first: a model without its table breaks the client, the reverse harms nobody. */
function write(project, plan, migration) {
  if (plan.migration) writeMigration(project.migrationsPath, migration);
  if (plan.model) {
    const text = project.files.find(({ file }) => file === project.modelFile)?.text ?? '';
    replaceFile(project.modelFile, withModel(text));
  }
}

/** The old text or the new one, never a part of it. */
function replaceFile(file, text) {
  const staged = `${file}.${randomUUID()}`;
  const mode = fs.existsSync(file) ? fs.statSync(file).mode : undefined;
  try {
    fs.writeFileSync(staged, text, { mode });
    fs.renameSync(staged, file);
  } catch (error) {
    fs.rmSync(staged, { force: true });
    throw error;
  }
}

module.exports = { init };
