'use strict';

const { logTo, once } = require('../callbacks.js');
const { resolveConfig } = require('../config.js');
const { runJob } = require('../worker-client.js');

/** Somebody waits at a terminal, and can do without. */
const LOCK_TIMEOUT_MS = 5_000;

/**
 * What a migration will meet: `{ path, schema }`, `schema` null when there is no database yet. One that
 * cannot be looked at stops nobody from writing the files: `{ path, schema: null, reason }`.
 */
async function inspectDatabase({ databaseUrl, migrationsPath, migrations, signal, log = console }) {
  const options = { databaseUrl, s3: false, lockTimeoutMs: LOCK_TIMEOUT_MS };
  let config;
  try {
    config = resolveConfig(options, 'database', once(logTo(log)));
    const args = { migrationsPath, migrations: migrations.map(({ name }) => name) };
    const { value } = await runJob({ operation: 'inspectSchema', config, args, log: logTo(log), signal });
    return { path: config.databasePath, schema: value.schema, reason: null };
  } catch (error) {
    if (error.code === 'ABORTED') throw error;
    return { path: config?.databasePath ?? null, schema: null, reason: error.message };
  }
}

module.exports = { inspectDatabase };
