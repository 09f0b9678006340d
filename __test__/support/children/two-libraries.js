'use strict';

// What must not be: two SQLite libraries in one process, and one database open in both.

const Libsql = require('libsql');
const BetterSqlite3 = require('better-sqlite3');
const { serve } = require('./serve.js');

const open = {};

serve({
  open(library, file) {
    open[library] = new (library === 'libsql' ? Libsql : BetterSqlite3)(file);
    open[library].prepare('SELECT count(*) FROM sqlite_schema').all();
  },
  close(library) {
    open[library].close();
  },
});
