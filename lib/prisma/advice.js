'use strict';

// What stands in the way, and what comes next: each with the reason and the exact commands.

const path = require('node:path');
const { isOutOfOrder, lockedProvider, nextTimestamps } = require('./migrations.js');

const BASELINE = '0_init';
const SNAPSHOT = 'npx snapshot-writer create';
/** The largest number that a Rust-engine client reads from an `Int`. */
const LARGEST_INT = 2_147_483_647;

/** What a person has to put right before anything is written: `{ title, why, commands, diff }`. */
function problems({ project, migrations, model, schema, state, now }) {
  return [
    ...otherProvider(project),
    ...otherModel(model),
    ...unusableTable(schema),
    ...withoutSql(project, migrations),
    ...outOfOrder(project, migrations, state, now),
    ...unclearHistory(project, state),
  ];
}

function otherProvider(project) {
  const providers = {
    [shown(project.schemaPath)]: project.provider,
    'migration_lock.toml': lockedProvider(project.migrationsPath),
  };
  const wrong = Object.entries(providers).filter(
    ([, provider]) => provider !== undefined && provider !== 'sqlite',
  );
  return wrong.map(([where, provider]) => ({
    title: `The provider in ${where} is "${provider}".`,
    why: 'This package takes snapshots of SQLite databases; there is nothing to do here.',
  }));
}

function otherModel({ state, file, where, diff }) {
  if (state !== 'different') return [];
  return [
    {
      title: `${where} in ${shown(file)} is not the model of the snapshots' table.`,
      why: 'It is yours, so it was left alone. Change it by hand, or give yours another name:',
      diff,
    },
  ];
}

function unusableTable(schema) {
  if (!schema?.catalogFault) return [];
  return [
    {
      title: `The database has a table Snapshot that cannot be used: ${schema.catalogFault}.`,
      why: 'A migration would leave it as it is. If it is something else, rename it and its model; if it is an old list of snapshots, drop it: the next restore fills the new one from the repository.',
    },
  ];
}

function withoutSql(project, migrations) {
  return migrations
    .filter(({ sql }) => sql === null)
    .map(({ name }) => ({
      title: `The migration ${name} has no migration.sql.`,
      why: 'Prisma stops there with P3015. Bring the file back, or remove the folder:',
      commands: [`rm -r ${quoted(path.join(shown(project.migrationsPath), name))}`],
    }));
}

function outOfOrder(project, migrations, state, now) {
  const wrong = migrations.filter(isOutOfOrder);
  const stamps = nextTimestamps(migrations, now, wrong.length);
  return wrong.map(({ name }, index) => {
    const renamed = `${stamps[index]}_${name}`;
    const folder = shown(project.migrationsPath);
    const commands = [`mv ${quoted(path.join(folder, name))} ${quoted(path.join(folder, renamed))}`];
    if (state.isRecorded(name)) {
      const sql = `UPDATE _prisma_migrations SET migration_name = '${renamed}' WHERE migration_name = '${name.replaceAll("'", "''")}'`;
      commands.push(`echo ${quoted(sql)} | ${prisma(project, 'db execute --stdin', 'before 7')}`);
    }
    return {
      title: `The migration ${name} has no timestamp.`,
      why: 'Prisma applies migrations in the order of their names, so it would come after every later one. Rename it:',
      commands,
    };
  });
}

/** No step is better than one that deletes columns with what is in them. */
function unclearHistory(project, state) {
  if (state.unclear === null) return [];
  const schema = quoted(shown(project.schemaPath));
  const difference =
    project.prismaMajor < 7
      ? `--from-schema-datasource ${schema} --to-schema-datamodel ${schema}`
      : `--from-config-datasource --to-schema ${schema}`;
  return [
    {
      title: `It cannot be told which migrations the database has had: ${state.unclear}.`,
      why: 'A migration that is applied a second time can delete columns with what is in them, so no step is suggested. Take a snapshot, see how the database differs from the models, and put it right by hand: record the migrations that it has had (prisma migrate resolve) before the others are applied.',
      commands: [SNAPSHOT, `npx prisma migrate diff ${difference}`],
    },
  ];
}

/** What to run now, in this order: `{ why, commands }`. */
function nextSteps({ project, model, state, database }) {
  const steps = database.reason === null ? migrating(project, state) : lookFirst();
  return [...steps, ...generate(project, model)];
}

function migrating(project, state) {
  const steps = [...unfinished(project, state), ...history(project, state), ...deploy(project, state)];
  if (steps.length === 0 || !state.hasTables) return steps;
  return [{ why: 'Keep what the database holds now:', commands: [SNAPSHOT] }, ...steps];
}

function lookFirst() {
  return [
    {
      why: 'The database was not looked at, so what it needs is not known. Put that right and run this again: it then says how to apply the migrations.',
      commands: [],
    },
  ];
}

function unfinished(project, state) {
  if (state.failed.length === 0) return [];
  return [
    {
      why: 'A migration failed, and Prisma applies no other before it is settled (P3009). If it changed nothing:',
      commands: state.failed.map((name) => prisma(project, `migrate resolve --rolled-back ${quoted(name)}`)),
    },
  ];
}

function history(project, state) {
  if (!state.lacksHistory && state.unrecorded.length === 0) return [];
  const resolve = (name) => prisma(project, `migrate resolve --applied ${quoted(name)}`);
  if (state.unrecorded.length > 0) {
    return [
      {
        why: `The database has had these migrations, but there is no record of them, so "migrate deploy" would fail (${state.lacksHistory ? 'P3005' : 'P3018'}). Record them as applied:`,
        commands: state.unrecorded.map(({ name }) => resolve(name)),
      },
    ];
  }
  const baseline = baselineName(state.migrations);
  const folder = path.join(shown(project.migrationsPath), baseline);
  const source =
    project.prismaMajor < 7
      ? `--to-schema-datasource ${quoted(shown(project.schemaPath))}`
      : '--to-config-datasource';
  return [
    {
      why: 'The database has tables, but no migration history, so "migrate deploy" would fail (P3005). Make what it holds now the first migration, and record it as applied:',
      commands: [
        `mkdir -p ${quoted(folder)}`,
        `npx prisma migrate diff --from-empty ${source} --script > ${quoted(path.join(folder, 'migration.sql'))}`,
        resolve(baseline),
      ],
    },
  ];
}

/** Comes before every other one, and is none of them. */
function baselineName(migrations) {
  const isTaken = (candidate) => migrations.some(({ name }) => name === candidate);
  let name = BASELINE;
  while (isTaken(name)) name = `0${name}`;
  return name;
}

function deploy(project, state) {
  if (!state.hasUnapplied) return [];
  return [{ why: 'Apply the migrations:', commands: [prisma(project, 'migrate deploy')] }];
}

function generate(project, model) {
  if (model.state !== 'missing') return [];
  return [{ why: 'Give the client the new model:', commands: [prisma(project, 'generate')] }];
}

/** Sentences that are worth knowing and need nothing done now. */
function notes({ model, schema }) {
  if (!schema || schema.size <= LARGEST_INT || (model.sizeType ?? 'Int') !== 'Int') return [];
  return [
    `The database has ${schema.size} bytes, more than an Int of Prisma's clients before 7 can hold (they fail on ` +
      `every list with P2023). The column "size" is therefore cut to ${LARGEST_INT}; results and listings have the ` +
      "exact number. With Prisma 7 set catalogSize to 'exact'. With an older one change the model's size to Float or " +
      "BigInt (JSON.stringify refuses a BigInt) and set catalogSize to 'exact'.",
  ];
}

/** A command of Prisma's, with the schema where it would not find it by itself. */
function prisma(project, command, since) {
  const needsSchema = project.schemaOption || (since !== undefined && project.prismaMajor < 7);
  return `npx prisma ${command}${needsSchema ? ` --schema ${quoted(shown(project.schemaPath))}` : ''}`;
}

function shown(file) {
  return path.relative(process.cwd(), file) || '.';
}

/** As a shell takes it. */
function quoted(text) {
  return /^[\w./:@%+=-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}

module.exports = { problems, nextSteps, notes, shown };
