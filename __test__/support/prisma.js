'use strict';

// A Prisma project as the application has one: the models, one migration, a generated client.
// Made in a folder of the test's own, so that nothing is generated into this repository.

const { execFile } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { promisify } = require('node:util');

const TEMPLATE = path.join(__dirname, 'prisma');
const PROJECT = ['schema.prisma', 'prisma.config.mjs', 'migrations'];
const STAND_IN = path.join(TEMPLATE, 'schema-engine.js');

const run = promisify(execFile);

/** The nearest `node_modules` above that holds Prisma. */
function modulesFolder() {
  const prisma = path.dirname(require.resolve('prisma/package.json'));
  return path.dirname(prisma);
}

/** Whether Prisma's own schema engine was installed (its postinstall script downloads it). */
function hasSchemaEngine() {
  if (process.env.PRISMA_SCHEMA_ENGINE_BINARY) return true;
  const engines = path.join(modulesFolder(), '@prisma', 'engines');
  return fs.existsSync(engines) && fs.readdirSync(engines).some((name) => name.startsWith('schema-engine-'));
}

/**
 * Makes the project and generates its client.
 *
 * @param {string} folder an existing folder of the test
 * @param {{ timestampFormat?: 'iso8601' | 'unixepoch-ms', arrange?: (folder: string) => unknown }} [options]
 *   how the client writes dates; what to change about the files before anything is generated
 */
async function makePrismaProject(folder, { timestampFormat, arrange = () => {} } = {}) {
  const project = path.join(folder, 'prisma-project');
  fs.mkdirSync(project);
  for (const name of PROJECT)
    fs.cpSync(path.join(TEMPLATE, name), path.join(project, name), { recursive: true });
  // The generated client finds Prisma's runtime as it would in an application.
  fs.symlinkSync(modulesFolder(), path.join(project, 'node_modules'), 'dir');
  const database = path.join(folder, 'dev.db');
  const url = `file:${database}`;

  const environment = {
    ...process.env,
    PATH: `${path.dirname(process.execPath)}${path.delimiter}${process.env.PATH ?? ''}`,
    DATABASE_URL: url,
    CHECKPOINT_DISABLE: '1',
    PRISMA_HIDE_UPDATE_MESSAGE: '1',
    ...(hasSchemaEngine() ? {} : { PRISMA_SCHEMA_ENGINE_BINARY: STAND_IN }),
    ...(timestampFormat ? { SCHEMA_ENGINE_TIMESTAMPS: timestampFormat } : {}),
  };

  /** Runs Prisma's command line in the project; rejects with what it printed. */
  async function prisma(...args) {
    const cli = path.join(modulesFolder(), 'prisma', 'build', 'index.js');
    try {
      const { stdout } = await run(process.execPath, [cli, ...args], { cwd: project, env: environment });
      return stdout;
    } catch (error) {
      throw new Error(`prisma ${args.join(' ')}: ${error.stdout}${error.stderr}`, { cause: error });
    }
  }

  arrange(project);
  await prisma('generate');

  return {
    folder: project,
    database,
    url,
    environment,
    prisma,
    /** Applies the migrations: makes the database when it is missing. */
    deploy: () => prisma('migrate', 'deploy'),
    /** A client on the project's database; the test disconnects it. */
    openClient(options) {
      const { PrismaClient } = require(path.join(project, 'client'));
      const { PrismaLibSql } = require('@prisma/adapter-libsql');
      return new PrismaClient({ adapter: new PrismaLibSql({ url }, { timestampFormat }), ...options });
    },
  };
}

module.exports = { makePrismaProject };
