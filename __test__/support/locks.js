'use strict';

const assert = require('node:assert/strict');
const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');

const TRY_WRITE = path.join(__dirname, 'children', 'try-write.js');

const READS = 3;

/**
 * The record locks that a process holds on a file, as the kernel lists them. While others take and
 * release locks one reading of the list may show an entry twice or pass over it, so it is read
 * several times; a lock that is gone is in none of them.
 */
function locksOf(pid, file) {
  if (!fs.existsSync(file)) return [];
  const { ino } = fs.statSync(file);
  const held = new Set();
  for (let read = 0; read < READS; read += 1) {
    for (const line of fs.readFileSync('/proc/locks', 'utf8').split('\n')) {
      const fields = line.trim().split(/\s+/).slice(1);
      const isOurs = fields[0] === 'POSIX' && Number(fields[3]) === pid && fields[4]?.endsWith(`:${ino}`);
      if (isOurs) held.add(fields.join(' '));
    }
  }
  return [...held].sort();
}

/** The locks of a process, this one by default, on a database and its shared memory. */
function databaseLocks(database, pid = process.pid) {
  return { database: locksOf(pid, database), sharedMemory: locksOf(pid, `${database}-shm`) };
}

/** What a writer in another process meets: 'SQLITE_BUSY' or 'ok'. */
function outcomeOfOtherWriter(database) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [TRY_WRITE, database], { encoding: 'utf8' });
  assert.equal(status, 0, stderr);
  return stdout.trim();
}

module.exports = { databaseLocks, outcomeOfOtherWriter };
