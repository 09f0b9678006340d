'use strict';

// What nearly every test here needs: a folder of its own with a database path, a repository
// path, a writer that logs into a list, and an orderly end.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { SnapshotWriter } = require('../../index.js');

const LEVELS = ['debug', 'info', 'warn', 'error'];

/** A logger whose lines can be looked at. */
function makeLog() {
  const lines = [];
  const log = { lines, warnings: () => lines.filter((line) => line.level === 'warn') };
  for (const level of LEVELS) {
    log[level] = (message, fields) => lines.push({ level, message, fields });
  }
  return log;
}

/**
 * A folder that lives as long as the test. `defer` registers what has to be undone before the
 * folder goes: last in, first out, so that processes end before their files disappear.
 */
function makeRig(t, options = {}) {
  const folder = fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), 'snapshot-writer-')));
  const deferred = [];
  t.after(async () => {
    try {
      for (const undo of deferred.reverse()) {
        await undo();
      }
    } finally {
      fs.rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
    }
  });

  const log = makeLog();
  const database = path.join(folder, 'app.db');
  const snapshotDir = path.join(folder, 'snapshots');
  const { databaseId } = options;
  const defaults = { databaseUrl: `file:${database}`, snapshotDir, databaseId, lockTimeoutMs: 20_000 };
  const newWriter = (others) => new SnapshotWriter({ ...defaults, log, ...others });
  return {
    folder,
    database,
    snapshotDir,
    log,
    options: { ...defaults, ...options },
    newWriter,
    writer: newWriter(options),
    path: (...parts) => path.join(folder, ...parts),
    defer: (undo) => deferred.push(undo),
  };
}

/** Waits for the refusal of a call, checks its code, and returns the error. */
async function refused(promise, code) {
  const error = await promise.then(
    (value) => assert.fail(`expected ${code}, but the call resolved with ${JSON.stringify(value)}`),
    (reason) => reason,
  );
  assert.equal(error.code, code, `${error.stack}\ncaused by: ${error.cause?.stack}`);
  return error;
}

/** Fails the test when one of the snapshots that the repository lists is not whole. */
async function assertAllVerify(writer, level = 'data') {
  const snapshots = await writer.listSnapshots();
  for (const { name, status } of snapshots) {
    if (status !== 'COMPLETED') continue;
    const verdict = await writer.verifySnapshot(name, { level });
    assert.deepEqual(verdict, { ok: true, level, problems: [] }, `snapshot ${name}`);
  }
  return snapshots;
}

/** Looks again until `look` returns something truthy; a bounded number of times. */
async function eventually(look, what, { tries = 600, pauseMs = 50 } = {}) {
  for (let left = tries; left > 0; left -= 1) {
    const found = await look();
    if (found) return found;
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
  }
  return assert.fail(`waited in vain for ${what}`);
}

module.exports = { makeRig, makeLog, refused, assertAllVerify, eventually };
