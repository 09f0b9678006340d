'use strict';

// Makes a fresh clone runnable: dependencies when they are missing or outdated, then the addon
// when it is missing or older than its sources. Plain Node.js, since nothing is installed yet.

const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');

const ROOT = path.join(__dirname, '..');
const STAMP = path.join(ROOT, 'node_modules', '.snapshot-writer-installed');
const RUST_SOURCES = ['src', '.cargo', 'Cargo.toml', 'Cargo.lock', 'build.rs'];

/** Runs one program in the package's folder, with its output on ours; ends this process if it fails. */
function run(program, args, variables = {}) {
  const env = { ...process.env, ...variables };
  const { status, error } = spawnSync(program, args, { cwd: ROOT, stdio: 'inherit', env });
  if (error) {
    console.error(`${program} could not be started: ${error.message}`);
    process.exit(1);
  }
  if (status !== 0) process.exit(status ?? 1);
}

/** Time of the last change of a file, or of the newest one in a folder; 0 when there is none. */
function modified(file) {
  const stat = fs.statSync(file, { throwIfNoEntry: false });
  if (!stat) return 0;
  if (!stat.isDirectory()) return stat.mtimeMs;
  return Math.max(0, ...fs.readdirSync(file).map((entry) => modified(path.join(file, entry))));
}

function installDependencies() {
  const wanted = Math.max(
    modified(path.join(ROOT, 'package-lock.json')),
    modified(path.join(ROOT, 'package.json')),
  );
  if (modified(STAMP) > wanted) return;
  console.log('Installing the dependencies (better-sqlite3 is compiled, which takes a minute or two)');
  // Not `npm ci`: it refuses a lock file that lacks other platforms' optional packages, which npm
  // leaves out where the registry does not have them. The versions are those of the lock file.
  run('npm', ['install', '--no-save', '--no-audit', '--no-fund', '--loglevel=error']);
  fs.writeFileSync(STAMP, '');
}

function buildAddon() {
  const addons = fs.readdirSync(ROOT).filter((file) => file.endsWith('.node'));
  const built = Math.max(0, ...addons.map((file) => modified(path.join(ROOT, file))));
  const changed = Math.max(...RUST_SOURCES.map((source) => modified(path.join(ROOT, source))));
  if (built > changed) return;
  console.log('Building the native addon (a few minutes the first time)');
  run('npm', ['run', 'build']);
  // Cargo leaves the file as it is when only a comment changed; it is up to date all the same.
  const now = new Date();
  for (const file of fs.readdirSync(ROOT).filter((name) => name.endsWith('.node'))) {
    fs.utimesSync(path.join(ROOT, file), now, now);
  }
}

function setup() {
  installDependencies();
  buildAddon();
}

module.exports = { setup, run, ROOT };

if (require.main === module) setup();
