'use strict';

const VARIABLES = [
  'DATABASE_URL',
  'SNAPSHOT_DIR',
  'SNAPSHOT_DATABASE_ID',
  'RECOVERY_DIR',
  'S3_BUCKET',
  'S3_PREFIX',
  'S3_FORCE_PATH_STYLE',
  'SNAPSHOT_S3_DISABLE',
  'S3_DISABLE',
  'SNAPSHOT_HEARTBEAT_URL',
];
const PREFIXES = ['SNAPSHOT_WRITER_', 'SNAPSHOT_CRON_', 'SNAPSHOT_KEEP_'];

/** Removes what the surrounding shell may have set, so that a test sees only what it sets itself. */
function clearEnvironment() {
  for (const name of Object.keys(process.env)) {
    if (VARIABLES.includes(name) || PREFIXES.some((prefix) => name.startsWith(prefix)))
      delete process.env[name];
  }
}

module.exports = { clearEnvironment };
