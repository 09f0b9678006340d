'use strict';

// Databases shaped like the application's: UUID text keys, JSON text, tables of its schema.

const { closeSync, openSync, readFileSync, readSync, writeSync, statSync } = require('node:fs');
const path = require('node:path');
const Database = require('better-sqlite3');
const { random } = require('./random.cjs');

const SCHEMA = path.join(__dirname, '..', 'src', 'database', 'schema_of_the_application.sql');
const PAGE_SIZE = 4096;
/** Dense content beside the words, so that `zstd -1` reaches the ratio of the application's data (1.86). */
const STATE_BYTES = 492;
const READ_BYTES = 1 << 20;
const WORDS = (
  'reality recursion mirror echo lattice threshold observer dream spiral signal memory origin fracture ' +
  'drift anchor resonance horizon silence pattern depth vessel fold tide ember current shadow bridge loop ' +
  'the of a in and beneath between within toward without'
).split(' ');

function description(from) {
  const words = Array.from({ length: 10 + from.below(16) }, () => WORDS[from.below(WORDS.length)]);
  return words.join(' ');
}

function parameters(from) {
  const harmonics = Array.from({ length: 6 }, () => Number(from.fraction()));
  return JSON.stringify({
    seed: from.uuid(),
    amplitude: Number(from.fraction()),
    frequency: Number(from.fraction()),
    phase: from.below(360),
    harmonics,
    observers: [from.uuid(), from.uuid()],
    state: from.base64(STATE_BYTES),
    tags: [WORDS[from.below(WORDS.length)], WORDS[from.below(WORDS.length)]],
    stable: from.below(2) === 1,
  });
}

function timestamp(from) {
  return new Date(1_700_000_000_000 + from.below(40_000_000) * 1000).toISOString();
}

/** Makes `file` of about `megabytes`, in rollback-journal mode `delete`. */
function build(file, megabytes) {
  const db = new Database(file);
  db.pragma(`page_size = ${PAGE_SIZE}`);
  db.pragma('journal_mode = memory');
  db.pragma('synchronous = off');
  db.pragma(`cache_size = -${Math.max(megabytes, 64) * 1024}`);
  db.exec(readFileSync(SCHEMA, 'utf8'));
  db.exec('BEGIN');
  fill(db, Math.floor((megabytes * 1024 * 1024) / PAGE_SIZE));
  db.exec('COMMIT');
  db.pragma('journal_mode = delete');
  db.close();
}

function fill(db, pages) {
  const from = random(20_260_131);
  const reality = db.prepare('INSERT INTO "Reality" VALUES (?, ?, ?, ?, ?, ?, 1)');
  const recursionPath = db.prepare('INSERT INTO "RecursionPath" VALUES (?, ?, ?, ?, ?, ?, 1)');
  const field = db.prepare('INSERT INTO "ConsciousnessField" VALUES (?, ?, ?, ?, ?, ?, 1)');
  const metric = db.prepare('INSERT INTO "Metric" VALUES (?, ?)');
  for (let key = 0; key < 100; key += 1) {
    metric.run(`metric-${key}`, 0);
  }
  const pageCount = db.prepare('PRAGMA page_count').pluck();
  let parent = from.uuid();
  for (let row = 0; row % 256 !== 0 || pageCount.get() < pages; row += 1) {
    const id = from.uuid();
    reality.run(id, description(from), parameters(from), from.below(12), parent, timestamp(from));
    for (const table of [recursionPath, field]) {
      const strength = Number(from.fraction());
      table.run(from.uuid(), parent, id, from.below(12), strength, timestamp(from));
    }
    parent = from.below(3) === 0 ? id : parent;
  }
}

/** Updates random rows of `file`, as many as make about `share` of its pages differ. */
function change(file, share, seed) {
  const from = random(seed);
  const db = new Database(file);
  db.pragma('synchronous = off');
  const rows = db.prepare('SELECT max(rowid) FROM "Reality"').pluck().get();
  const pages = db.prepare('PRAGMA page_count').pluck().get();
  const update = db.prepare('UPDATE "Reality" SET "parameters" = ?, "createdAt" = ? WHERE rowid = ?');
  db.transaction(() => {
    for (let count = Math.round(pages * share); count > 0; count -= 1) {
      update.run(parameters(from), timestamp(from), 1 + from.below(rows));
    }
  })();
  db.close();
}

/** Writes the pages of `file` that differ from `before` to `out`; returns how many, of how many. */
function changedPages(before, file, out) {
  const [old, live, target] = [openSync(before, 'r'), openSync(file, 'r'), openSync(out, 'w')];
  const [a, b] = [Buffer.alloc(READ_BYTES), Buffer.alloc(READ_BYTES)];
  let changed = 0;
  for (;;) {
    const oldBytes = readSync(old, a, 0, READ_BYTES, null);
    const liveBytes = readSync(live, b, 0, READ_BYTES, null);
    if (liveBytes === 0) break;
    for (let at = 0; at < liveBytes; at += PAGE_SIZE) {
      const page = b.subarray(at, at + PAGE_SIZE);
      if (at >= oldBytes || !page.equals(a.subarray(at, at + PAGE_SIZE))) {
        writeSync(target, page);
        changed += 1;
      }
    }
  }
  [old, live, target].forEach(closeSync);
  return { changed, pages: statSync(file).size / PAGE_SIZE };
}

function setJournalMode(file, mode) {
  const db = new Database(file);
  db.pragma(`journal_mode = ${mode}`);
  db.close();
}

module.exports = { build, change, changedPages, setJournalMode };
