'use strict';

const assert = require('node:assert/strict');
const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');

const TRY_WRITE = path.join(__dirname, 'children', 'try-write.js');

/** The record locks that this process holds on a file, as the kernel lists them. */
function ownLocks(file) {
  if (!fs.existsSync(file)) return [];
  const { ino } = fs.statSync(file);
  return fs
    .readFileSync('/proc/locks', 'utf8')
    .split('\n')
    .map((line) => line.trim().split(/\s+/).slice(1))
    .filter((fields) => fields[0] === 'POSIX' && Number(fields[3]) === process.pid)
    .filter((fields) => fields[4]?.endsWith(`:${ino}`))
    .map((fields) => fields.join(' '))
    .sort();
}

/** The locks of this process on a database and its shared memory. */
function databaseLocks(database) {
  return { database: ownLocks(database), sharedMemory: ownLocks(`${database}-shm`) };
}

/** What a writer in another process meets: 'SQLITE_BUSY' or 'ok'. */
function outcomeOfOtherWriter(database) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [TRY_WRITE, database], { encoding: 'utf8' });
  assert.equal(status, 0, stderr);
  return stdout.trim();
}

module.exports = { databaseLocks, outcomeOfOtherWriter };
