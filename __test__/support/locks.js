'use strict';

const assert = require('node:assert/strict');
const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { readIfThere } = require('./processes.js');

const TRY_WRITE = path.join(__dirname, 'children', 'try-write.js');

/**
 * The record locks that a process holds on a file, as the kernel lists them. Taken from the
 * process's descriptors: /proc/locks is read in pieces, and while other processes come and
 * go a line may appear twice or not at all.
 */
function locksOf(pid, file) {
  if (!fs.existsSync(file)) return [];
  const { ino } = fs.statSync(file);
  const locks = new Set();
  for (const descriptor of fs.readdirSync(`/proc/${pid}/fdinfo`)) {
    for (const [, lock] of readIfThere(`/proc/${pid}/fdinfo/${descriptor}`).matchAll(
      /^lock:\s+\d+: (.*)$/gm,
    )) {
      const fields = lock.split(/\s+/);
      if (fields[0] === 'POSIX' && fields[4].endsWith(`:${ino}`)) locks.add(fields.join(' '));
    }
  }
  return [...locks].sort();
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
