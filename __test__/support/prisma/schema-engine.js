#!/usr/bin/env node
'use strict';

// Stands in for Prisma's schema engine where that program is not installed (it comes from Prisma's
// own download host, not from the npm registry). Same protocol: JSON-RPC, one message a line, on
// standard input and output; log lines as JSON on standard error. The work is done by the same
// engine compiled to WebAssembly, which reaches the database through a driver adapter.

const fs = require('node:fs');
const path = require('node:path');
const readline = require('node:readline');
const { createRequire } = require('node:module');
const { pathToFileURL } = require('node:url');
const { parseArgs } = require('node:util');

const WASM_ENGINE = '@prisma/schema-engine-wasm/schema_engine_bg';
const ADAPTER = '@prisma/adapter-libsql';

const { values: flags, positionals } = parseArgs({
  options: {
    version: { type: 'boolean' },
    datamodels: { type: 'string', multiple: true, default: [] },
    datasource: { type: 'string' },
  },
  allowPositionals: true,
  // The program knows more flags (extensions, shadow databases); none changes anything for SQLite.
  strict: false,
});

/** The command line takes nothing for an error that does not come from this target. */
function log(level, message, code) {
  const line = {
    timestamp: new Date().toISOString(),
    level,
    fields: { message, error_code: code },
    target: 'schema_engine::logger',
  };
  process.stderr.write(`${JSON.stringify(line)}\n`);
}

function databaseFile() {
  const { url } = flags.datasource ? JSON.parse(flags.datasource) : {};
  return url && path.resolve(url.replace(/^file:/, ''));
}

/** `schema-engine cli <command>`: the two questions that are asked without JSON-RPC. */
function answerCommand(command) {
  const file = databaseFile();
  if (command === 'create-database') {
    fs.closeSync(fs.openSync(file, 'a'));
    console.log('Database created');
  } else if (fs.existsSync(file)) {
    console.log('Connection successful');
  } else {
    log('ERROR', `Database \`${path.basename(file)}\` does not exist`, 'P1003');
    process.exitCode = 1;
  }
}

/** Opens connections as the WebAssembly engine needs them, and remembers them to close them. */
function connections(file) {
  const { PrismaLibSql } = require(ADAPTER);
  const factory = new PrismaLibSql(
    { url: file ? `file:${file}` : ':memory:' },
    { timestampFormat: process.env.SCHEMA_ENGINE_TIMESTAMPS },
  );
  const open = new Set();
  for (const method of ['connect', 'connectToShadowDb']) {
    const connect = factory[method].bind(factory);
    factory[method] = async () => {
      const connection = withRepairs(await connect());
      const dispose = connection.dispose.bind(connection);
      connection.dispose = () => {
        open.delete(connection);
        return dispose();
      };
      open.add(connection);
      return connection;
    };
  }
  const close = () => Promise.allSettled([...open].map((connection) => connection.dispose()));
  return { factory, close };
}

/** The table of migrations as the engine makes it. */
async function startHistory(factory) {
  const connection = await factory.connect();
  await connection.executeScript(`CREATE TABLE IF NOT EXISTS "_prisma_migrations" (
    "id" TEXT PRIMARY KEY NOT NULL, "checksum" TEXT NOT NULL, "finished_at" DATETIME, "migration_name" TEXT NOT NULL,
    "logs" TEXT, "rolled_back_at" DATETIME, "started_at" DATETIME NOT NULL DEFAULT current_timestamp,
    "applied_steps_count" INTEGER UNSIGNED NOT NULL DEFAULT 0)`);
  await connection.dispose();
}

/** Where the WebAssembly engine does not do what the native one does. */
function withRepairs(connection) {
  const queryRaw = connection.queryRaw.bind(connection);
  const executeRaw = connection.executeRaw.bind(connection);
  // A database without a migration history has an empty one.
  connection.queryRaw = (query) =>
    queryRaw(query).catch((error) => {
      const text = error.cause?.originalMessage ?? error.cause?.message ?? '';
      if (text.includes('no such table: _prisma_migrations') && /^\s*SELECT/i.test(query.sql))
        return { columnNames: [], columnTypes: [], rows: [] };
      throw error;
    });
  // Whole migrations come as one statement.
  connection.executeRaw = (query) =>
    query.args.length === 0 ? connection.executeScript(query.sql).then(() => 0) : executeRaw(query);
  return connection;
}

async function loadEngine() {
  const bindings = await import(WASM_ENGINE);
  const wasm = path.join(path.dirname(require.resolve(WASM_ENGINE)), 'schema_engine_bg.wasm');
  const { instance } = await WebAssembly.instantiate(fs.readFileSync(wasm), {
    './schema_engine_bg.js': bindings,
  });
  bindings.__wbg_set_wasm(instance.exports);
  // The engine calls this by name when it panics.
  globalThis.PRISMA_WASM_PANIC_REGISTRY = { set_message: (message) => log('ERROR', message) };
  instance.exports.__wbindgen_start();
  return bindings;
}

function datamodels() {
  if (flags.datamodels.length > 0)
    return flags.datamodels.map((file) => [file, fs.readFileSync(file, 'utf8')]);
  return [['schema.prisma', 'datasource db {\n  provider = "sqlite"\n}\n']];
}

async function serve() {
  const bindings = await loadEngine();
  const file = databaseFile();
  const { factory, close } = connections(file);
  const utils = createRequire(pathToFileURL(require.resolve(ADAPTER)))('@prisma/driver-adapter-utils');
  const adapter = utils.bindMigrationAwareSqlAdapterFactory(factory);
  let starting;
  const engine = () =>
    (starting ??= bindings.SchemaEngine.new(
      { datamodels: datamodels() },
      (message) => log('INFO', message),
      adapter,
    ));
  const send = (message) => process.stdout.write(`${JSON.stringify({ jsonrpc: '2.0', ...message })}\n`);

  async function call(method, params) {
    if (method === 'createDatabase') return { databaseName: path.basename(file ?? '') };
    // The native engine begins the history with the first migration that is resolved.
    if (method === 'markMigrationApplied') await startHistory(factory);
    const result = await (await engine())[method === 'getDatabaseVersion' ? 'version' : method](params);
    // The native engine prints a difference, the other one returns it.
    if (method === 'diff' && result?.stdout != null)
      send({ id: Date.now(), method: 'print', params: { content: result.stdout } });
    return result ?? null;
  }

  async function answer({ id, method, params }) {
    try {
      send({ id, result: await call(method, params) });
    } catch (error) {
      const message = String(error?.message ?? error);
      log('ERROR', message, error?.code);
      const data = { is_panic: false, message, meta: error?.meta, error_code: error?.code };
      send({
        id,
        error: { code: 4466, message: 'An error happened. Check the data field for details.', data },
      });
    }
  }

  const lines = readline.createInterface({ input: process.stdin });
  // SQLite stays locked exclusively while the engine lives, and a killed one leaves its journal.
  process.on('SIGTERM', () => lines.close());
  for await (const line of lines) {
    const message = JSON.parse(line);
    if (message.method) await answer(message);
  }
  await close();
  process.exit();
}

async function main() {
  if (flags.version) return console.log('schema-engine-wasm');
  // The command line swallows the first line of the log.
  log('INFO', 'Starting');
  const command = positionals[positionals.indexOf('cli') + 1];
  if (positionals.includes('cli')) return answerCommand(command);
  return serve();
}

main().catch((error) => {
  log('ERROR', String(error.stack ?? error));
  process.exit(1);
});
