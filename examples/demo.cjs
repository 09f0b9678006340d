'use strict';

// A walk through the package on a database like the application's. Every number is measured.

const { createHash } = require('node:crypto');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { performance } = require('node:perf_hooks');
const Database = require('libsql');
const { SnapshotWriter } = require('..');
const { fillDatabase, changeRows, SCHEMA } = require('./demo-database.cjs');
const { duration, facts, size } = require('../lib/cli/format.js');

const MEGABYTES = 60;

async function main() {
  const started = performance.now();
  console.log('snapshot-writer: a tour in a temporary folder; every number is measured now');
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'snapshot-writer-demo-'));
  try {
    await walk(folder);
  } finally {
    fs.rmSync(folder, { recursive: true, force: true });
  }
  console.log(`\nDone in ${duration(Math.round(performance.now() - started))}; the folder is removed.`);
}

async function walk(folder) {
  const file = path.join(folder, 'dev.db');
  const writer = new SnapshotWriter({
    databaseUrl: `file:${file}`,
    snapshotDir: path.join(folder, 'backups'),
    s3: false,
    log: { warn: (message) => console.log(`  note: ${message}`), error: console.error },
  });

  heading('1', 'A database like the application’s');
  let connection = new Database(file);
  connection.exec(SCHEMA);
  const rows = fillDatabase(connection, MEGABYTES * 1e6);
  report({ rows: rows.toLocaleString('en'), size: size(fs.statSync(file).size) });

  heading('2', 'First snapshot: every page, compressed');
  const before = fingerprint(connection);
  const first = await writer.createSnapshot('demo: before');
  await reportSnapshot(writer, first);

  heading('3', 'One reality in a hundred changes, all over the file; only changed pages are stored');
  const changed = changeRows(connection, 100);
  const lost = fingerprint(connection);
  const second = await writer.createSnapshot('demo: after');
  await reportSnapshot(writer, second, { changed: `${changed.toLocaleString('en')} rows` });

  heading('4', 'Rows are destroyed, then restored while a connection stays open');
  const destroyed = connection.prepare('DELETE FROM Reality').run().changes;
  const restore = await writer.restoreFromSnapshot('demo: before');
  report({
    destroyed: `${destroyed.toLocaleString('en')} rows`,
    restored: `"${restore.snapshot.name}" in ${duration(restore.durationMs)}`,
  });
  prove('the connection that stayed open reads every row as it was', fingerprint(connection) === before);

  heading('5', 'The database is lost; the application starts and bootstraps');
  connection.close();
  for (const suffix of ['', '-wal', '-shm', '-journal']) fs.rmSync(file + suffix, { force: true });
  const started = performance.now();
  const { bootstrapped, snapshot, counts, error } = await writer.bootstrapDatabase();
  if (!bootstrapped) throw new Error(error ?? 'nothing was bootstrapped');
  report({
    from: `"${snapshot.name}" in ${duration(Math.round(performance.now() - started))}`,
    rows: Object.entries(counts)
      .map(([name, count]) => `${name} ${count.toLocaleString('en')}`)
      .join(', '),
  });
  connection = new Database(file);
  prove('it holds the rows of the second snapshot', fingerprint(connection) === lost);
  const check = Object.values(connection.prepare('PRAGMA integrity_check').get())[0];
  connection.close();
  prove(`SQLite finds the new file sound (integrity_check: ${check})`, check === 'ok');

  heading('6', 'Verification and export');
  const verified = await writer.verifySnapshot('demo: after', { level: 'database' });
  prove(`"demo: after" verifies at level ${verified.level}`, verified.ok);
  const exported = await writer.exportSnapshot('demo: after', path.join(folder, 'export.db'));
  const sum = createHash('sha256').update(fs.readFileSync(exported.path)).digest('hex');
  prove(`the exported file has the recorded SHA-256 ${sum.slice(0, 16)}…`, sum === second.snapshot.checksum);
}

/** Prints what one snapshot took and what it added to the repository. */
async function reportSnapshot(writer, { snapshot, durationMs }, more = {}) {
  const { storedSize } = await writer.getSnapshot(snapshot.name);
  report({
    ...more,
    snapshot: `"${snapshot.name}" in ${duration(durationMs)}`,
    stored: `${size(storedSize)} for an image of ${size(snapshot.size)} (${percent(storedSize, snapshot.size)})`,
  });
}

/** One hash over every row that the application would miss. */
function fingerprint(connection) {
  const hash = createHash('sha256');
  for (const table of ['Reality', 'RecursionPath', 'ConsciousnessField', 'Metric']) {
    for (const row of connection.prepare(`SELECT * FROM "${table}" ORDER BY 1`).iterate()) {
      hash.update(JSON.stringify(row));
    }
  }
  return hash.digest('hex');
}

function heading(number, text) {
  console.log(`\n${number}. ${text}`);
}

function report(values) {
  console.log(facts(Object.entries(values)).replace(/^/gm, '   '));
}

function prove(claim, holds) {
  if (!holds) throw new Error(`not true: ${claim}`);
  console.log(`   proof: ${claim}`);
}

function percent(part, whole) {
  return `${((100 * part) / whole).toFixed(1)} %`;
}

module.exports = { main };

if (require.main === module) {
  main().catch((error) => {
    console.error(error);
    process.exitCode = 1;
  });
}
