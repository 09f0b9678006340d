'use strict';

// The application of the benchmark: has its database open and does one thing, while the delay of
// its event loop and its memory are watched. Arguments: what to do, as JSON.

const { monitorEventLoopDelay } = require('node:perf_hooks');
const Database = require('better-sqlite3');
const { SnapshotWriter } = require('..');

const RESOLUTION_MS = 1;
const SETTLE_MS = 500;
const { work, database, snapshotDir, backup, snapshot } = JSON.parse(process.argv[2]);
const quiet = { info() {}, warn() {}, error() {}, debug() {} };
const sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

const db = new Database(database);
const writer = new SnapshotWriter({ databaseUrl: database, snapshotDir, s3: false, log: quiet });
const works = {
  idle: () => sleep(2000),
  snapshot: () => writer.createSnapshot(snapshot),
  restore: () => writer.restoreFromSnapshot(snapshot),
  backup: () => db.backup(backup),
};

async function main() {
  db.prepare('SELECT "value" FROM "Metric"').all();
  await sleep(SETTLE_MS);
  const before = process.memoryUsage.rss();
  let most = before;
  const watch = setInterval(() => (most = Math.max(most, process.memoryUsage.rss())), 50);
  const delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  delay.enable();
  await works[work]();
  delay.disable();
  clearInterval(watch);
  db.close();
  // The histogram counts from one tick to the next, so the interval itself is in every value.
  const p99 = Math.max(0, delay.percentile(99) / 1e6 - RESOLUTION_MS);
  const longest = Math.max(0, delay.max / 1e6 - RESOLUTION_MS);
  process.send({ p99, longest, growth: Math.max(most, process.memoryUsage.rss()) - before }, () =>
    process.disconnect(),
  );
}

void main();
