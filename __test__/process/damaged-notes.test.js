'use strict';

// Notes of this host that a disk has spoilt: none stops a snapshot, each is named and set aside, and what was
// uncertain without it is treated with care.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { test } = require('node:test');
const { contentOf, createDatabase, insertRealities, withDatabase } = require('../support/database.js');
const { withFailpoint } = require('../support/failpoints.js');
const { filesBelow } = require('../support/files.js');
const { makeRecoveryRig } = require('../support/recovery.js');
const { assertAllVerify, makeRig, refused } = require('../support/rig.js');

const SPOIL = {
  'an empty file': (file) => fs.writeFileSync(file, ''),
  'half of its JSON': (file) => fs.truncateSync(file, Math.floor(fs.statSync(file).size / 2)),
  'JSON of another kind': (file) => fs.writeFileSync(file, '[7]'),
  'zero bytes': (file) => fs.writeFileSync(file, Buffer.alloc(512)),
  'a folder': (file) => {
    fs.rmSync(file);
    fs.mkdirSync(file);
    fs.writeFileSync(path.join(file, 'x'), '');
  },
};

for (const [what, spoil] of Object.entries(SPOIL)) {
  test(`notes that became ${what} stop no snapshot, are named once and set aside`, async (t) => {
    const rig = await withEveryNote(t);
    const notes = notesOf(rig);
    assert.ok(notes.length >= 7, `${notes.length} notes`);
    notes.forEach(spoil);

    assert.ok(names(await rig.newWriter().listSnapshots()).includes('third'));
    for (const note of notes) assert.ok(fs.existsSync(note), 'who only reads moves nothing');
    rig.log.lines.length = 0;
    await rig.writer.createSnapshot('after');

    const aside = setAside(rig);
    assert.ok(aside.some((file) => /trash\/[\w-]+\.damaged-/.test(file)));
    assert.ok(aside.some((file) => /restores\/[\w-]+\.damaged-/.test(file)));
    assert.ok(aside.some((file) => /lineages\.json\.damaged-/.test(file)));
    for (const note of notes.filter((file) => /trash|restores|lineages/.test(file))) {
      const named = rig.log.warnings().filter((line) => JSON.stringify(line).includes(note));
      assert.equal(named.length, 1, note);
    }
    await rig.writer.createSnapshot('once more');
    await rig.writer.prune({ keepLast: 5 });
    await assertAllVerify(rig.writer);
  });
}

test('what a damaged note of the trash was about is listed again and not lost', async (t) => {
  const rig = await withEveryNote(t);
  fs.writeFileSync(inLocal(rig, 'trash')[0], '');
  await rig.writer.prune({ keepLast: 9, now: true });
  assert.ok(names(await rig.writer.listSnapshots()).includes('first'));
});

test('a damaged pin protects all the same', async (t) => {
  const rig = await withEveryNote(t);
  fs.writeFileSync(inLocal(rig, 'pins')[0], '');
  await refused(rig.writer.deleteSnapshot('second'), 'SNAPSHOT_PINNED');
  await rig.writer.prune({ keepLast: 1, now: true });
  assert.ok(names(await rig.writer.listSnapshots()).includes('second'));
});

test('undo does not take an older restore for the one whose entry is damaged', async (t) => {
  const rig = await withEveryNote(t);
  await rig.writer.restoreFromSnapshot('third');
  const entries = inLocal(rig, 'restores');
  const newest = entries.find((file) => JSON.parse(fs.readFileSync(file, 'utf8')).snapshotName === 'third');
  fs.writeFileSync(newest, '{');
  const content = contentOf(rig.database);

  const error = await refused(rig.writer.undoRestore(), 'UNDO_UNAVAILABLE');

  assert.match(error.message, /damaged/);
  assert.equal(contentOf(rig.database), content);
});

test('a file that is no note, such as .DS_Store, is no reason for a word', async (t) => {
  const rig = await withEveryNote(t);
  for (const folder of ['trash', 'restores', 'pins', 'drills', 'pending', 'rows']) {
    const strange = path.join(rig.snapshotDir, 'local', folder, '.DS_Store');
    fs.mkdirSync(path.dirname(strange), { recursive: true });
    fs.writeFileSync(strange, '\0');
  }
  rig.log.lines.length = 0;
  await rig.writer.createSnapshot('after');
  assert.deepEqual(rig.log.warnings(), []);
});

for (const step of ['create.before-manifest=full', 'create.before-manifest=kill']) {
  test(`a snapshot that ends at ${step} leaves no note that stays`, async (t) => {
    const rig = makeRig(t);
    createDatabase(rig.database);
    await rig.writer.createSnapshot('first');
    withDatabase(rig.database, (db) => insertRealities(db, 3));
    await withFailpoint(step, () => assert.rejects(rig.writer.createSnapshot('never')));
    await rig.writer.createSnapshot('second');
    assert.deepEqual(inLocal(rig, 'rows'), []);
    assert.deepEqual(inLocal(rig, 'pending'), []);
  });
}

test('the note of a backup that was killed goes with the next one', async (t) => {
  const rig = makeRecoveryRig(t);
  createDatabase(rig.database);
  await withFailpoint('create.before-manifest=kill', () =>
    assert.rejects(rig.recovery.createPreOperationBackup('migration')),
  );
  const folder = path.join(rig.recoveryDir, 'local', 'operations');
  assert.equal(filesBelow(folder).length, 1);
  await rig.recovery.createPreOperationBackup('migration');
  assert.equal(filesBelow(folder).length, 1);
});

/** A snapshot in the trash, a pin, a restore, a drill, what retention remembers. */
async function withEveryNote(t) {
  const rig = makeRig(t);
  createDatabase(rig.database);
  for (const name of ['first', 'second', 'third']) {
    withDatabase(rig.database, (db) => insertRealities(db, 1));
    await rig.writer.createSnapshot(name);
  }
  await rig.writer.pinSnapshot('second');
  await rig.writer.restoreFromSnapshot('second');
  await rig.writer.prune({ keepLast: 2 });
  await rig.writer.drill({ name: 'third' });
  return rig;
}

/** Every note that is there, but for pins, whose name is all that counts. */
function notesOf(rig) {
  const local = path.join(rig.snapshotDir, 'local');
  const single = ['lineages.json', 'measures.json', 'metrics.json'].map((name) => path.join(local, name));
  const many = ['trash', 'restores', 'drills', 'pins'].flatMap((name) => inLocal(rig, name));
  return [...single, ...many].filter((file) => fs.existsSync(file));
}

function setAside(rig) {
  const local = path.join(rig.snapshotDir, 'local');
  return fs.readdirSync(local, { recursive: true }).filter((name) => /\.damaged-[\dTZ-]+$/.test(name));
}

function inLocal(rig, folder) {
  return filesBelow(path.join(rig.snapshotDir, 'local', folder));
}

function names(snapshots) {
  return snapshots.map(({ name }) => name);
}
