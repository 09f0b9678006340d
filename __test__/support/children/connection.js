'use strict';

// One connection to a database, by the library that the test asks for. One library a process:
// two SQLite in one process do not see each other's locks.

const { serve } = require('./serve.js');

let connection;
let iterator;

/** better-sqlite3 and libsql share an API. */
function openHandle(library, file, { timeout = 5000, pragmas = [], readonly = false }) {
  const Database = require(library);
  const db = new Database(file, { timeout, readonly });
  for (const pragma of pragmas) db.exec(`PRAGMA ${pragma}`);
  return {
    all: (sql) => db.prepare(sql).all(),
    exec: (sql) => void db.exec(sql),
    iterate: (sql) => db.prepare(sql).iterate(),
    close: () => void db.close(),
  };
}

serve({
  open(library, file, settings) {
    connection = openHandle(library, file, settings);
  },
  all: (sql) => connection.all(sql),
  exec: (sql) => connection.exec(sql),
  /** Begins to read and stops after the first row, in the middle of the statement. */
  step(sql) {
    iterator = connection.iterate(sql);
    return iterator.next().value;
  },
  /** Reads the rest; returns how many rows that were. */
  drain() {
    let rows = 0;
    for (let next = iterator.next(); !next.done; next = iterator.next()) rows += 1;
    return rows;
  },
  close: () => connection.close(),
});
