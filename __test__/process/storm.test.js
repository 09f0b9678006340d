'use strict';

// Snapshots under writers that do not stop. A torn image shows in the sum of the accounts, which
// every transaction keeps.

const assert = require('node:assert/strict');
const { test } = require('node:test');
const { createDatabase, fillerBody, integrityOf, withDatabase } = require('../support/database.js');
const { sha256 } = require('../support/files.js');
const { startChild } = require('../support/processes.js');
const { makeRig } = require('../support/rig.js');

const ACCOUNTS = 9_000;
const OPENING_BALANCE = 1_000;
const SNAPSHOTS = 6;
const IDLE_MS = 1_000;

for (const journalMode of ['delete', 'wal']) {
  test(`snapshots taken under constant transfers hold one instant each (${journalMode})`, async (t) => {
    const rig = makeRig(t);
    createDatabase(rig.database, { journalMode });
    openAccounts(rig.database);
    const patient = startChild(rig, 'transfers.js', [rig.database, '5000', '3']);
    const impatient = startChild(rig, 'transfers.js', [rig.database, '0', '7']);
    const writers = [patient, impatient];

    await inPhase(writers, 'idle', () => new Promise((resolve) => setTimeout(resolve, IDLE_MS)));
    const outcomes = [];
    await inPhase(writers, 'snapshot', async () => {
      for (let index = 0; index < SNAPSHOTS; index += 1) {
        outcomes.push(...(await Promise.allSettled([rig.writer.createSnapshot(`storm ${index}`)])));
      }
    });
    const [patientCounts, impatientCounts] = await Promise.all(writers.map((child) => child.request('stop')));
    t.diagnostic(`busy_timeout 5000: ${describe(patientCounts)}`);
    t.diagnostic(`busy_timeout 0: ${describe(impatientCounts)}`);

    const refusals = outcomes.filter(({ status }) => status === 'rejected').map(({ reason }) => reason);
    for (const refusal of refusals) {
      assert.equal(refusal.code, 'WRITERS_TOO_BUSY', refusal.stack);
      assert.equal(journalMode, 'delete', 'in WAL mode writers never stand in the way');
    }
    assert.ok(refusals.length < SNAPSHOTS, 'no snapshot at all succeeded');
    assert.ok(patientCounts.snapshot.committed > 0, 'the patient writer committed during snapshots');
    assert.equal(patientCounts.snapshot.failed, 0, 'the writer with busy_timeout 5000 failed');

    for (const { value } of outcomes.filter(({ status }) => status === 'fulfilled')) {
      await assertOneInstant(rig, value.snapshot);
    }
    assertSum(rig.database);
  });
}

function openAccounts(file) {
  withDatabase(file, (db) => {
    db.exec('CREATE TABLE Account (id INTEGER PRIMARY KEY, balance INTEGER NOT NULL, body TEXT NOT NULL)');
    const insert = db.prepare('INSERT INTO Account (balance, body) VALUES (?, ?)');
    db.transaction(() => {
      for (let index = 0; index < ACCOUNTS; index += 1) insert.run(OPENING_BALANCE, fillerBody());
    })();
  });
}

async function inPhase(writers, phase, action) {
  await Promise.all(writers.map((child) => child.request('phase', phase)));
  await action();
  await Promise.all(writers.map((child) => child.request('phase', 'after')));
}

async function assertOneInstant(rig, snapshot) {
  const file = rig.path(`${snapshot.id}.db`);
  await rig.writer.exportSnapshot(snapshot.name, file);
  assert.equal(sha256(file), snapshot.checksum, `the export of ${snapshot.name}`);
  assert.equal(integrityOf(file), 'ok', `the export of ${snapshot.name}`);
  assertSum(file);
}

function assertSum(file) {
  const sum = withDatabase(file, (db) => db.prepare('SELECT sum(balance) FROM Account').pluck().get());
  assert.equal(sum, ACCOUNTS * OPENING_BALANCE, `the sum of all accounts in ${file}`);
}

function describe(counts) {
  return Object.entries(counts)
    .filter(([phase]) => phase !== 'after')
    .map(([phase, { committed, failed }]) => {
      const rate = ((100 * failed) / Math.max(1, committed + failed)).toFixed(1);
      return `${phase} ${committed} committed, ${failed} failed (${rate} %)`;
    })
    .join('; ');
}
