'use strict';

// Prints what a writer meets that does not wait: 'ok' or the code of SQLite's refusal.

const Database = require('better-sqlite3');

const db = new Database(process.argv[2], { timeout: 0, fileMustExist: true });
try {
  db.exec('BEGIN IMMEDIATE');
  db.exec('ROLLBACK');
  process.stdout.write('ok');
} catch (error) {
  process.stdout.write(error.code);
} finally {
  db.close();
}
