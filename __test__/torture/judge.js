'use strict';

// An independent model of what must hold after a call that was hit, whatever hit it. Nothing here
// injects; each finding is a sentence that begins with the rule that was broken.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { catalogRow, contentOf, integrityOf } = require('../support/database.js');
const { filesBelow, sha256 } = require('../support/files.js');
const { manifestsOf } = require('../support/format.js');

/** Files that may stand beside the database when everything is over. */
const EXPECTED =
  /^(app\.db(-wal|-shm|-journal|\.(replaced|orphaned)-[^/]*)?|snapshots|tmp|after\.db|kept\.db)$/;
const OURS = /^app\.db\.(notes)$|^app\.db-old$|^notes\.txt$/;

/**
 * What is wrong after the call. `outcome` is how it ended: `{ value }` or `{ error }`; `killed` says that the
 * worker could not tell; `again` repeats it.
 */
async function judge({ place, operation, states, outcome, killed, again }) {
  const model = { ...states, after: states.after(outcome.value) };
  const findings = [];
  const check = async (rule, look) => {
    try {
      await look();
    } catch (error) {
      findings.push(`${rule}: ${told(error)}`);
    }
  };
  const resolved = outcome.error === undefined;
  let state;

  await check('the database is whole', () => {
    state = place.lookAtCopy(stateOf);
    const { before, after } = model;
    const allowed = killed ? [before, after] : [resolved ? after : before];
    const ending = killed ? 'was killed' : resolved ? 'resolved' : 'was refused';
    assert.ok(allowed.includes(state), `the call ${ending}, the state is ${nameOf(state, model)}`);
  });
  await check('snapshots are kept', () => assertSnapshotsKept(place, operation, model, resolved));
  if (operation.writes)
    await check('an export is whole or not there', () =>
      assertExport(place, operation, model, resolved, again),
    );
  if (operation.creates)
    await check('a snapshot is whole or not there', () =>
      assertCreated(place, operation, state, resolved, killed),
    );
  if (state === 'missing') {
    await check('the next call works', async () => {
      await again();
      state = place.lookAtCopy(stateOf);
      assert.equal(state, model.after, 'the state after the call was repeated');
    });
  }
  await check('the next snapshot works', () => assertNextSnapshot(place, state));
  await check('restores are told as they were', () => assertTold(place, operation, model, state));
  await check('nothing is left over', () => assertNothingLeft(place, operation));
  await check('what was there can be had back', () => assertReversible(place, operation, model, state));
  if (state === model.before && state !== model.after) {
    await check('the next call works', async () => {
      await again();
      assert.equal(place.lookAtCopy(stateOf), model.after, 'the state after the call was repeated');
    });
  }
  if (operation.removes) await check('the next call works', () => assertRemovable(place, operation, again));
  await check('foreign files stay', () =>
    assertNone(place.foreignFilesLost(), () => true, 'changed or gone'),
  );
  return findings;
}

function told(error) {
  const code = error.code && error.code !== 'ERR_ASSERTION' ? `${error.code} ` : '';
  const causes = [];
  for (let cause = error.cause; cause instanceof Error; cause = cause.cause) causes.push(cause.message);
  return [code + error.message.replace(/\s+/g, ' '), ...causes].join(' <- ');
}

function stateOf(file) {
  if (!fs.existsSync(file)) return 'missing';
  const verdict = integrityOf(file);
  assert.ok(verdict === 'ok', `integrity_check says ${verdict}`);
  return contentOf(file);
}

function nameOf(state, { before, after }) {
  if (state === before) return 'the one before';
  if (state === after) return 'the one after';
  return state === 'missing' ? 'gone' : 'neither the one before nor the one after';
}

/** Every snapshot that was complete before is, unless it was to be removed: then it is whole or gone. */
async function assertSnapshotsKept(place, operation, model, resolved) {
  const listed = await place.writer().listSnapshots();
  for (const { name, checksum, status } of model.snapshots) {
    const found = listed.find((each) => each.name === name);
    const mayBeGone = operation.removes?.includes(name) ?? false;
    if (!found) {
      assert.ok(mayBeGone, `${name} is no longer listed`);
      continue;
    }
    assert.ok(!(mayBeGone && resolved), `${name} is still listed`);
    assert.equal(found.status, status, `the status of ${name}`);
    if (!isUntouched(place, found.id)) await assertExports(place, name, checksum);
  }
}

/** Whether manifest and packs of a snapshot are byte for byte those of the template. */
function isUntouched(place, id) {
  const isSame = (file) => {
    const [now, before] = [place.snapshotDir, path.join(place.template, 'snapshots')].map((at) =>
      path.join(at, file),
    );
    return (
      fs.existsSync(now) && fs.existsSync(before) && fs.readFileSync(now).equals(fs.readFileSync(before))
    );
  };
  const manifest = manifestsOf(place.snapshotDir).find(({ head }) => head.id === id);
  return (
    manifest !== undefined &&
    isSame(`snapshots/${id}.${manifest.head.generation}`) &&
    manifest.packs.every((pack) => isSame(`packs/${pack}`))
  );
}

/** Exports a snapshot; returns its content. */
async function assertExports(place, name, checksum) {
  const file = place.at('kept.db');
  fs.rmSync(file, { force: true });
  const exported = await place.writer().exportSnapshot(name, file);
  assert.equal(sha256(file), checksum ?? exported.checksum, `the bytes of ${name}`);
  return stateOf(file);
}

/** Resolved: there and whole. Otherwise one of the two; and it can be repeated. */
async function assertExport(place, { writes }, { snapshots }, resolved, again) {
  const file = place.at(writes);
  const { checksum } = snapshots.find(({ name }) => name === 'second');
  assert.ok(fs.existsSync(file) || !resolved, 'the call resolved and there is no file');
  if (fs.existsSync(file)) assert.equal(sha256(file), checksum, 'the bytes of the export');
  fs.rmSync(file, { force: true });
  await again();
}

/** Resolved: there and whole. Refused: not there, and the name is free. Killed: one of the two. */
async function assertCreated(place, { creates }, state, resolved, killed) {
  const found = (await place.writer().listSnapshots()).find(({ name }) => name === creates);
  if (found) {
    assert.ok(resolved || killed, `the call was refused and ${creates} is listed as ${found.status}`);
    assert.equal(await assertExports(place, creates, found.checksum), state, `the content of ${creates}`);
  } else {
    assert.ok(!resolved, `the call resolved and ${creates} is not listed`);
    await place.writer().createSnapshot(creates);
  }
}

async function assertNextSnapshot(place, state) {
  const { snapshot } = await place.writer().createSnapshot('after');
  assert.equal(snapshot.status, 'COMPLETED');
  assert.equal(
    await assertExports(place, 'after', snapshot.checksum),
    state,
    'the content of the next snapshot',
  );
  assert.equal(place.lookAtCopy(stateOf), state, 'the database after the next snapshot');
}

/** The next writing call has settled a restore that was cut off, and the table says what became of it. */
function assertTold(place, { restores }, model, state) {
  if (!restores) return;
  const { restoreStatus } = place.lookAtCopy((file) => catalogRow(file, restores));
  const expected = state === model.after ? ['SUCCESS'] : ['FAILED', null];
  assert.ok(
    expected.includes(restoreStatus),
    `restoreStatus is ${restoreStatus}, the state is ${nameOf(state, model)}`,
  );
}

/** Folders of notes that are named by the snapshot that they are about. */
const NOTES = ['rows', 'pending', 'operations', 'pins'];

/** After a next snapshot there are no scraps, no pack that nothing needs, no note about nothing. */
function assertNothingLeft({ data, snapshotDir }, { writes }) {
  const namesIn = (...folder) =>
    filesBelow(path.join(snapshotDir, ...folder)).map((file) => path.basename(file));
  const isOurs = (name) => EXPECTED.test(name) || OURS.test(name) || name === writes;
  const manifests = manifestsOf(snapshotDir);
  const ids = new Set(manifests.map(({ head }) => head.id));
  const newest = new Set(manifests.map(({ head }) => `${head.id}.${head.generation}`));
  const needed = new Set(manifests.flatMap(({ packs }) => packs));
  assertNone(fs.readdirSync(data), (name) => !isOurs(name), 'beside the database');
  assertNone(namesIn('local', 'scratch'), () => true, 'in the scratch folder');
  assertNone(namesIn('snapshots'), (name) => !newest.has(name), 'manifests that newer ones replace');
  assertNone(namesIn('packs'), (name) => !needed.has(name), 'packs that nothing needs');
  for (const folder of NOTES) {
    assertNone(
      namesIn('local', folder),
      (id) => !ids.has(id),
      `notes in local/${folder} of snapshots that are not there`,
    );
  }
}

function assertNone(names, isWrong, what) {
  const wrong = names.filter(isWrong);
  assert.ok(wrong.length === 0, `${what}: ${wrong.join(', ')}`);
}

/** A state that was overwritten is in a safety snapshot, and an undo brings it back. */
async function assertReversible(place, operation, { before, after, snapshots }, state) {
  if (state !== after || state === before) return;
  if (operation.canBeUndone) {
    await place.writer().undoRestore();
    assert.equal(place.lookAtCopy(stateOf), before, 'the state after undoing');
  }
  if (operation.keepsStateBefore) {
    const known = new Set(snapshots.map(({ id }) => id));
    const listed = await place.writer().listSnapshots();
    const safety = listed.filter(({ id, kind }) => kind === 'safety' && !known.has(id));
    const kept = [];
    for (const { name, checksum } of safety) kept.push(await assertExports(place, name, checksum));
    assert.ok(kept.includes(before), `${kept.length} safety snapshots, none of the state before`);
  }
}

/** What was to be removed is removed by further calls, and then no note about it waits in the trash. */
async function assertRemovable(place, operation, again) {
  const listed = await place.writer().listSnapshots();
  for (const { name } of listed.filter((each) => operation.removes.includes(each.name))) {
    await place.writer().deleteSnapshot(name);
  }
  const left = (await place.writer().listSnapshots()).map(({ name }) => name);
  assertNone(left, (name) => operation.removes.includes(name), 'still there after deleting');
  if (!operation.emptiesTrash) return;
  await again();
  const notes = filesBelow(path.join(place.snapshotDir, 'local', 'trash'));
  assertNone(notes, () => true, 'still in the trash after another prune');
}

module.exports = { judge, told };
