'use strict';

const assert = require('node:assert/strict');
const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { readIfThere } = require('./processes.js');

const TRY_WRITE = path.join(__dirname, 'children', 'try-write.js');

/**
 * The record locks that this process holds on a file, as the kernel lists them. Taken from the
 * process's own descriptors: /proc/locks is read in pieces, and while other processes come and
 * go a line may appear twice or not at all.
 */
function ownLocks(file) {
  if (!fs.existsSync(file)) return [];
  const { ino } = fs.statSync(file);
  const locks = new Set();
  for (const descriptor of fs.readdirSync('/proc/self/fdinfo')) {
    for (const [, lock] of readIfThere(`/proc/self/fdinfo/${descriptor}`).matchAll(/^lock:\s+\d+: (.*)$/gm)) {
      const fields = lock.split(/\s+/);
      if (fields[0] === 'POSIX' && fields[4].endsWith(`:${ino}`)) locks.add(fields.join(' '));
    }
  }
  return [...locks].sort();
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
