'use strict';

// Real Prisma projects for the tests of `snapshot-writer prisma init`: what it writes and what it says is put
// to Prisma's own command line and client. The commands it prints are run as they are printed.

const assert = require('node:assert/strict');
const { execFile } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { promisify } = require('node:util');
const Database = require('libsql');
const { makePrismaProject } = require('./prisma.js');

const CLI = path.join(__dirname, '..', '..', 'bin', 'snapshot-writer.cjs');
const run = promisify(execFile);

/** A project whose schema lacks the Snapshot model, and that has no migration unless `arrange` leaves one. */
async function makeProject(t, { arrange = removeMigrations } = {}) {
  const folder = fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), 'snapshot-writer-init-')));
  t.after(() => fs.rmSync(folder, { recursive: true, force: true }));
  const project = await makePrismaProject(folder, {
    arrange: (root) => {
      const schema = path.join(root, 'schema.prisma');
      const text = fs.readFileSync(schema, 'utf8');
      fs.writeFileSync(schema, text.slice(0, text.indexOf('model Snapshot')));
      arrange(root);
    },
  });
  const migrations = path.join(project.folder, 'migrations');
  return {
    ...project,
    migrations,
    names: () => fs.readdirSync(migrations).filter((name) => !name.endsWith('.toml')),
    init: (...args) => init(project, args),
    /** Runs what was printed, one command after the other. */
    follow: async (steps) => {
      for (const command of steps.flatMap(({ commands }) => commands)) await shell(project, command);
    },
  };
}

const removeMigrations = (root) => fs.rmSync(path.join(root, 'migrations'), { recursive: true });

async function init(project, args) {
  const options = { cwd: project.folder, env: project.environment };
  const command = [CLI, 'prisma', 'init', '--json', ...args];
  const { stdout, code = 0 } = await run(process.execPath, command, options).catch((error) => error);
  return { code, ...JSON.parse(stdout) };
}

async function shell(project, printed) {
  // The package is not installed in itself.
  const command = printed.replace(/^npx snapshot-writer /, `"${process.execPath}" "${CLI}" `);
  try {
    return await run('sh', ['-ec', command], { cwd: project.folder, env: project.environment });
  } catch (error) {
    throw new Error(`${command}\n${error.stdout}${error.stderr}`, { cause: error });
  }
}

function withDatabase(file, use) {
  const db = new Database(file);
  try {
    return use(db);
  } finally {
    db.close();
  }
}

/** The migrations are applied, and the tables are what the models say. */
async function assertInStep(project) {
  assert.match(await project.prisma('migrate', 'status'), /up to date/);
  const difference = ['--from-config-datasource', '--to-schema', 'schema.prisma', '--exit-code'];
  await project.prisma('migrate', 'diff', ...difference);
}

async function assertNothingToDo(project) {
  const again = await project.init();
  assert.deepEqual(
    [again.code, again.model, again.migration, again.problems, again.next],
    [0, 'present', 'present', [], []],
  );
}

module.exports = { makeProject, withDatabase, assertInStep, assertNothingToDo };
