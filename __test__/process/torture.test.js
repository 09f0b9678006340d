'use strict';

// A sample of `npm run torture`: faults between the worker and the kernel, at calls all over every
// operation. And the instruments themselves: a fault hits what it names, and the model sees what is wrong.

const assert = require('node:assert/strict');
const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { after, before, test } = require('node:test');
const { damageFiller, insertRealities, withDatabase } = require('../support/database.js');
const { clearEnvironment } = require('../support/environment.js');
const { filesBelow, flipBit } = require('../support/files.js');
const { makeFolder, removeFolder } = require('../support/folders.js');
const { openCases } = require('../torture/cases.js');
const { FAULTS, buildInjector, faultyWorker } = require('../torture/injector.js');
const { judge } = require('../torture/judge.js');
const { MODES, OPERATIONS } = require('../torture/operations.js');
const { describe } = require('../torture/report.js');
const { torture } = require('../torture/torture.js');

const skip = process.platform !== 'linux' && 'system calls are intercepted by seccomp, which only Linux has';

/** Calls of each operation and journal mode, by fault. TORTURE_SEED chooses others. */
const SAMPLE = { eio: 3, enospc: 2, short: 1, kill: 3 };
const SEED = Number(process.env.TORTURE_SEED ?? 1);

const WRITES = path.join(__dirname, '..', 'torture', 'writes.js');

let folder, injector;
before(() => {
  clearEnvironment();
  folder = makeFolder();
  if (!skip) injector = buildInjector();
});
after(() => removeFolder(folder));

test('a sample of faults and kills breaks no promise in any operation', { skip }, async () => {
  const operations = Object.keys(OPERATIONS);
  const settings = {
    folder,
    injector,
    operations,
    modes: MODES,
    faults: FAULTS,
    sample: SAMPLE,
    seed: SEED,
    jobs: 2,
  };
  const cases = await torture(settings);
  const violations = cases.filter(({ findings }) => findings.length > 0);
  assert.deepEqual(violations.map(describe), []);
  const wanted = FAULTS.reduce((sum, fault) => sum + SAMPLE[fault], 0) * operations.length * MODES.length;
  const hit = cases.filter((each) => each.hit).length;
  assert.ok(hit >= 0.9 * wanted, `only ${hit} faults of ${wanted} were met`);
});

/**
 * By fault and number of the call: what the four writes of two threads are told, the bytes in the file, and the
 * calls that count. Node.js writes the rest itself when a write is cut short.
 */
const FATES = {
  'eio 5': { told: '10 10 EIO 10', length: 30, counted: 6 },
  'enospc 2': { told: '10 ENOSPC ENOSPC ENOSPC', length: 10, counted: 4 },
  'short 4': { told: '10 10 10 10', length: 40, counted: 5 },
  'kill 3': { told: '10', length: 10, counted: 3, signal: 'SIGKILL' },
  'eio 7': { told: '10 10 10 10', length: 40, counted: 6 },
};

for (const [fate, expected] of Object.entries(FATES)) {
  test(`the injector makes "${fate}" hit that call, counted over all threads`, { skip }, () => {
    const [fault, n] = fate.split(' ');
    const watched = path.join(folder, `watched ${fate}`);
    const file = path.join(watched, 'file');
    fs.mkdirSync(watched);
    fs.writeFileSync(file, '');
    const { options, report } = faultyWorker({ injector, folder, watched, fault, n });
    const { stdout, signal } = spawnSync(options.nodePath, [WRITES, file], { encoding: 'utf8' });
    const { calls, counted } = report();
    const fates = { told: stdout.trim(), length: fs.statSync(file).size, counted, ...(signal && { signal }) };
    assert.deepEqual(fates, expected);
    assert.equal(calls.length, n > 6 ? 0 : 1);
  });
}

/** What may be done to a place after a call, and the rule that the model finds broken. */
const BREAKS = {
  'the database is whole': {
    'a row is added': ({ database }) => withDatabase(database, (db) => insertRealities(db, 1)),
    'a page is overwritten': ({ database }) => damageFiller(database),
    'it is gone': ({ database }) => fs.rmSync(database),
  },
  'snapshots are kept': {
    'a manifest is gone': ({ snapshotDir }) => fs.rmSync(filesBelow(path.join(snapshotDir, 'snapshots'))[0]),
    'a pack has another bit': ({ snapshotDir }) =>
      flipBit(filesBelow(path.join(snapshotDir, 'packs'))[0], 0.5),
  },
  'nothing is left over': {
    'a scrap lies beside the database': ({ at }) => fs.writeFileSync(at('.snapshot-writer-scrap'), ''),
  },
  'foreign files stay': {
    'one is gone': ({ at }) => fs.rmSync(at('notes.txt')),
  },
};

for (const [rule, breaks] of Object.entries(BREAKS)) {
  for (const [what, doIt] of Object.entries(breaks)) {
    test(`the model of "${rule}" notices when ${what}`, { skip }, async () => {
      const cases = await openCases({
        folder: path.join(folder, 'broken'),
        injector,
        name: 'restore',
        mode: 'delete',
      });
      doIt(cases.place);
      const findings = await judge({ ...cases, outcome: { error: new Error('refused') }, killed: false });
      assert.ok(
        findings.some((finding) => finding.startsWith(`${rule}: `)),
        `found: ${findings}`,
      );
    });
  }
}

test('the model finds nothing where nothing happened', { skip }, async () => {
  const cases = await openCases({
    folder: path.join(folder, 'sound'),
    injector,
    name: 'restore',
    mode: 'delete',
  });
  assert.deepEqual(await judge({ ...cases, outcome: { error: new Error('refused') }, killed: false }), []);
});
