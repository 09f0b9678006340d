'use strict';

// A writer like the application's, in a process of its own: one small commit about every 5 ms.
// Arguments: database, busy timeout in milliseconds. Sends its commits when told to stop.

const Database = require('better-sqlite3');

const PAUSE_MS = 5;
const [file, busyTimeout] = process.argv.slice(2);
const db = new Database(file, { timeout: Number(busyTimeout) });
const update = db.prepare('UPDATE "Metric" SET "value" = "value" + 1 WHERE "key" = ?');
const commits = [];
let stopped = false;

function commit() {
  if (stopped) return;
  const started = performance.timeOrigin + performance.now();
  let failed = false;
  try {
    update.run(`metric-${commits.length % 100}`);
  } catch (error) {
    if (!/^SQLITE_BUSY/.test(error.code)) throw error;
    failed = true;
  }
  const took = performance.timeOrigin + performance.now() - started;
  commits.push({ started, took, failed });
  setTimeout(commit, PAUSE_MS);
}

process.on('disconnect', () => process.exit());
process.on('message', () => {
  stopped = true;
  db.close();
  process.send(commits, () => process.disconnect());
});
process.send('ready');
commit();
