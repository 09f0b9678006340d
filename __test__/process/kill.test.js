'use strict';

// The worker is killed at every named step of every operation. The steps come from the engine's
// source, so that a new one cannot be forgotten: it has to fit one of the scenarios and be reached.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { test } = require('node:test');
const {
  contentOf,
  createDatabase,
  fill,
  insertRealities,
  integrityOf,
  rewriteFiller,
  withDatabase,
} = require('../support/database.js');
const { OF_A_SET, OF_THE_BUCKET, knownFailpoints, withFailpoint } = require('../support/failpoints.js');
const { filesBelow } = require('../support/files.js');
const { assertAllVerify, makeRig, refused } = require('../support/rig.js');
const { claimAndDie } = require('../support/scheduler.js');

/** What is killed: `act` is killed at first and has to succeed later; `brings` names the content it leads to. */
const SCENARIOS = {
  'a snapshot': {
    steps: /^(job|create|publish|cache|count)\./,
    act: (rig, attempt) => rig.writer.createSnapshot(`third, attempt ${attempt}`),
  },
  'a restore in place': {
    steps:
      /^restore\.(intent|before-begin|locked|writing|before-commit|after-commit|before-outcome|before-row)$/,
    act: restoreFirst,
    brings: 'first',
    journalModes: ['delete', 'wal'],
  },
  'a restore to a new file': {
    steps: /^restore\.(intent|before-exchange|before-publish|before-outcome|before-row)$/,
    prepare: (rig) => fs.rmSync(rig.database),
    act: restoreFirst,
    brings: 'first',
  },
  'a restore over a file of another page size': {
    steps: /^(restore\.(before-replace|before-exchange|before-outcome)|replace\.)/,
    journalModes: ['delete', 'wal'],
    prepare: (rig) => withDatabase(rig.database, changePageSize),
    act: restoreFirst,
    brings: 'first',
  },
  'an undone restore': {
    steps: /^restore\.(intent|after-commit|before-row)$/,
    prepare: restoreFirst,
    act: undoOnce,
    brings: 'second',
  },
  'a reset': {
    steps: /^restore\.(before-begin|locked|before-commit|after-commit)$/,
    act: (rig) => rig.writer._resetDatabase(),
    brings: 'nothing',
    journalModes: ['delete', 'wal'],
  },
  'a prune that repacks': {
    steps: /^(prune|repack)\./,
    prepare: wearOut,
    act: (rig) => rig.writer.prune({ keepLast: 2, trashGraceMs: 0 }),
    keeps: ['newest', 'worn'],
  },
  'a snapshot that repacks': {
    steps: /^repack\./,
    prepare: wearOut,
    act: (rig, attempt) => rig.writer.createSnapshot(`third, attempt ${attempt}`),
    keeps: ['first', 'second', 'worn', 'newest', 'third, attempt 1'],
  },
  'a drill': {
    steps: /^drill\./,
    act: (rig) => rig.writer.drill(),
  },
  'a deletion': {
    steps: /^delete\./,
    act: (rig, attempt) => rig.writer.deleteSnapshot(attempt === 1 ? 'second' : 'first'),
  },
  'a claim of a scheduled run': {
    steps: /^claim\./,
    act: claimRun,
  },
};

const FAILPOINTS = knownFailpoints().filter((name) => !OF_THE_BUCKET.test(name) && !OF_A_SET.test(name));

test('every named step of the engine belongs to a scenario', () => {
  const steps = Object.values(SCENARIOS).map((scenario) => scenario.steps);
  const forgotten = FAILPOINTS.filter((name) => !steps.some((pattern) => pattern.test(name)));
  assert.ok(FAILPOINTS.length > 15, 'the steps were found in the source');
  assert.deepEqual(forgotten, []);
});

for (const [what, scenario] of Object.entries(SCENARIOS)) {
  for (const journalMode of scenario.journalModes ?? ['delete']) {
    for (const step of FAILPOINTS.filter((name) => scenario.steps.test(name))) {
      test(`${what} killed at ${step} leaves the old or the new state (${journalMode})`, async (t) => {
        const rig = makeRig(t);
        const contents = await prepare(rig, journalMode, scenario);
        const states = { old: stateOf(rig), new: contents[scenario.brings] ?? stateOf(rig) };

        const death = await withFailpoint(`${step}=kill`, () =>
          refused(scenario.act(rig, 1), 'WORKER_FAILED'),
        );
        assert.match(death.message, /SIGKILL/, `the worker died at ${step}`);

        const left = stateOf(rig);
        assert.ok(Object.values(states).includes(left), `${left} is neither the old nor the new state`);
        await assertAllVerify(rig.writer);
        await assertKept(rig, scenario);
        if (scenario.act === restoreFirst) await assertToldAsItWas(rig, left === states.new);

        await scenario.act(rig, 2);
        assert.equal(stateOf(rig), states.new, 'the next call did not do its work');
        assert.equal(integrityOf(rig.database), 'ok');
        await assertAllVerify(rig.writer);
        await assertKept(rig, scenario);
        await assertNothingLeftBehind(rig);
      });
    }
  }
}

/** A database with the snapshots "first" and "second" of different contents, and their contents. */
async function prepare(rig, journalMode, scenario) {
  createDatabase(rig.database, { journalMode, realities: 5, megabytes: 1 });
  const first = contentOf(rig.database);
  await rig.writer.createSnapshot('first');
  withDatabase(rig.database, (db) => {
    insertRealities(db, 5);
    fill(db, 1);
  });
  const second = contentOf(rig.database);
  await rig.writer.createSnapshot('second');
  const nothing = contentOfEmptied(rig);
  await scenario.prepare?.(rig);
  return { first, second, nothing };
}

/** The content of the same schema without a row. */
function contentOfEmptied(rig) {
  const copy = rig.path('emptied.db');
  withDatabase(rig.database, (db) => db.prepare('VACUUM INTO ?').run(copy));
  withDatabase(copy, (db) => {
    const tables = db.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'").pluck().all();
    for (const table of tables) db.exec(`DELETE FROM "${table}"`);
  });
  const content = contentOf(copy);
  fs.rmSync(copy);
  return content;
}

/** Snapshots that share packs of which a restore would use less than half. */
async function wearOut(rig) {
  withDatabase(rig.database, (db) => fill(db, 8));
  // They would be repacked at once.
  await withFailpoint('repack.before-packs=fail', async () => {
    await rig.writer.createSnapshot('large');
    for (const [name, step] of Object.entries({ half: 2, worn: 3, newest: 50 })) {
      rewriteFiller(rig.database, step);
      await rig.writer.createSnapshot(name);
    }
  });
  await rig.writer.deleteSnapshot('half');
  await rig.writer.deleteSnapshot('large');
}

/** What is to be kept is there, whatever happened. */
async function assertKept(rig, { keeps = [] }) {
  const names = (await rig.writer.listSnapshots()).map(({ name }) => name);
  for (const name of keeps) assert.ok(names.includes(name), `${name} is lost, ${names} are left`);
}

async function claimRun(rig) {
  const { claimed } = await claimAndDie(rig, new Date('2026-01-02'));
  assert.ok(claimed, 'a claim that was cut off keeps nobody out');
}

function restoreFirst(rig) {
  return rig.writer.restoreFromSnapshot('first');
}

/** Where the killed one had taken place, there is nothing left to undo. */
async function undoOnce(rig, attempt) {
  const undone = contentOf(rig.database);
  const call = rig.writer.undoRestore();
  if (attempt === 1) return call;
  return call.catch((error) => {
    assert.equal(error.code, 'UNDO_UNAVAILABLE', error.stack);
    assert.equal(contentOf(rig.database), undone);
  });
}

function changePageSize(db) {
  // VACUUM changes it in rollback mode only.
  const journalMode = db.pragma('journal_mode', { simple: true });
  db.pragma('journal_mode = delete');
  db.pragma('page_size = 8192');
  db.exec('VACUUM');
  db.pragma(`journal_mode = ${journalMode}`);
}

function stateOf(rig) {
  return fs.existsSync(rig.database) ? contentOf(rig.database) : 'missing';
}

/** The next writing call settles the restore that was cut off, and says what became of it. */
async function assertToldAsItWas(rig, tookPlace) {
  await rig.writer.deleteSnapshot('second');
  const { restoreStatus } = await rig.writer.getSnapshot('first');
  if (tookPlace) {
    assert.equal(restoreStatus, 'SUCCESS', 'the restore took place');
  } else {
    assert.notEqual(restoreStatus, 'SUCCESS', 'the restore did not take place');
    assert.notEqual(restoreStatus, 'IN_PROGRESS', 'the restore is over');
  }
}

/** Once every snapshot is deleted, no pack and no half-written file of the killed worker remains. */
async function assertNothingLeftBehind(rig) {
  for (const { name } of await rig.writer.listSnapshots()) await rig.writer.deleteSnapshot(name);
  const isGarbage = (file) =>
    /^(packs|snapshots|local\/scratch)\//.test(path.relative(rig.snapshotDir, file));
  assert.deepEqual(filesBelow(rig.snapshotDir).filter(isGarbage), []);
  const beside = fs
    .readdirSync(rig.folder)
    .filter((name) => !name.startsWith('app.db') && name !== 'snapshots');
  assert.deepEqual(beside, [], 'files beside the database');
}
