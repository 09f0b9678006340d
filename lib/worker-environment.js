'use strict';

// The worker inherits what it needs and nothing that would change what it is: no NODE_OPTIONS
// (preloaded modules, inspectors), no cluster or PM2 variables that make a process believe
// it belongs to a pool.

const NAMES = new Set([
  'PATH',
  'HOME',
  'USER',
  'LOGNAME',
  'SHELL',
  'TMPDIR',
  'TMP',
  'TEMP',
  'TZ',
  'LANG',
  'LANGUAGE',
  'HTTP_PROXY',
  'HTTPS_PROXY',
  'ALL_PROXY',
  'NO_PROXY',
  'SSL_CERT_FILE',
  'SSL_CERT_DIR',
  'NODE_EXTRA_CA_CERTS',
  'LD_LIBRARY_PATH',
  'DYLD_LIBRARY_PATH',
]);
const PREFIXES = ['LC_', 'AWS_', 'SNAPSHOT_WRITER_'];

/**
 * Built from this module's own `process.env`: under Jest that is a copy, and the default
 * of `spawn` would miss what a test has set.
 */
function workerEnvironment(config) {
  const environment = {};
  for (const [name, value] of Object.entries(process.env)) {
    // Proxy variables are written in either case.
    if (NAMES.has(name.toUpperCase()) || PREFIXES.some((prefix) => name.startsWith(prefix))) {
      environment[name] = value;
    }
  }
  if (process.versions.electron) {
    environment.ELECTRON_RUN_AS_NODE = '1';
  }
  if (config.postRestore && config.databasePath) {
    // Absolute: a migration tool may resolve a relative URL elsewhere than the application does.
    environment.DATABASE_URL = `file:${config.databasePath}`;
  }
  return environment;
}

module.exports = { workerEnvironment };
