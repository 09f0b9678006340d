'use strict';

// What the numbers depend on: the machine, the versions, the tools that are there.

const { spawnSync } = require('node:child_process');
const { readdirSync, readFileSync, statfsSync } = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const Database = require('better-sqlite3');

const TMPFS = 0x0102_1994;
const RAMFS = 0x8584_58f6;

/** First line of what a tool says about its version; `null` when it is not there. */
function toolVersion(name) {
  const outcome = spawnSync(name, ['--version'], { encoding: 'utf8' });
  return outcome.status === 0 ? outcome.stdout.trim().split('\n')[0] : null;
}

/** The peers' tools: name → version or `null`. */
function tools() {
  return Object.fromEntries(['sqlite3', 'zstd', 'cp', 'sha256sum'].map((name) => [name, toolVersion(name)]));
}

function diskKind(folder) {
  if ([TMPFS, RAMFS].includes(statfsSync(folder).type)) {
    return 'memory (not a disk: set BENCH_DIR to a folder on one)';
  }
  try {
    const disks = readdirSync('/sys/block').filter((name) => /^(nvme|sd|vd|xvd|mmcblk)/.test(name));
    return disks.map(describeDisk).join(', ') || 'unknown';
  } catch {
    return 'unknown';
  }
}

function describeDisk(name) {
  if (/^(vd|xvd)/.test(name)) return 'virtual disk';
  if (name.startsWith('nvme')) return 'NVMe';
  const rotational = readFileSync(path.join('/sys/block', name, 'queue/rotational'), 'utf8').trim() === '1';
  return rotational ? 'rotating disk' : 'SSD';
}

function sqliteVersion() {
  const db = new Database(':memory:');
  const version = db.prepare('SELECT sqlite_version()').pluck().get();
  db.close();
  return version;
}

/** Lines of facts for the report; nothing that names the machine. */
function facts(folder, found) {
  const package_ = require('../package.json');
  const memory = Math.round(os.totalmem() / 2 ** 30);
  return [
    `Machine: ${os.availableParallelism()} cores (${os.cpus()[0]?.model.trim() || os.arch()}), ${memory} GB memory, ${diskKind(folder)}, ${os.platform()} ${os.arch()}.`,
    `snapshot-writer ${package_.version}, Node.js ${process.versions.node}, better-sqlite3 with SQLite ${sqliteVersion()}.`,
    `Peers: ${Object.entries(found)
      .map(([name, version]) => (version ? `${name} (${version.slice(0, 60)})` : `${name} is missing`))
      .join('; ')}.`,
  ];
}

module.exports = { facts, tools };
