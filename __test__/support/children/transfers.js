'use strict';

// A writer that moves money between accounts, so that their sum never changes. The test names
// the phase; attempts and failures are counted by phase.

const Database = require('better-sqlite3');
const { serve } = require('./serve.js');

const [file, timeout, pauseMs, ...pragmas] = process.argv.slice(2);
const db = new Database(file, { timeout: 5000 });
for (const pragma of pragmas) db.pragma(pragma);
const accounts = db.prepare('SELECT count(*) FROM Account').pluck().get();
// From here on a lock is met as the test asked for; the count above is only preparation.
db.pragma(`busy_timeout = ${Number(timeout)}`);
const take = db.prepare('UPDATE Account SET balance = balance - ? WHERE id = ?');
const give = db.prepare('UPDATE Account SET balance = balance + ? WHERE id = ?');

const counts = {};
let phase = 'idle';
let running = true;
let timer;

const random = (below) => Math.floor(Math.random() * below);

const transfer = db.transaction((amount, from, to) => {
  take.run(amount, from);
  give.run(amount, to);
});

function attempt() {
  const count = (counts[phase] ??= { committed: 0, failed: 0 });
  try {
    transfer.immediate(random(100), 1 + random(accounts), 1 + random(accounts));
    count.committed += 1;
  } catch (error) {
    if (!error.code?.startsWith('SQLITE_BUSY')) throw error;
    count.failed += 1;
  }
  if (running) timer = setTimeout(attempt, Number(pauseMs));
}

attempt();
serve({
  phase(name) {
    phase = name;
  },
  stop() {
    running = false;
    clearTimeout(timer);
    db.close();
    return counts;
  },
});
