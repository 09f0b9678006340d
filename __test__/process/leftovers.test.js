'use strict';

// What a killed or aborted export leaves beside its target goes with the next one into that folder.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const { test } = require('node:test');
const { createDatabase } = require('../support/database.js');
const { whilePaused, withFailpoint } = require('../support/failpoints.js');
const { makeRig, refused } = require('../support/rig.js');

test('the file of a killed export is removed by the next export into that folder', async (t) => {
  const rig = await withSnapshot(t);
  await withFailpoint('publish.before-rename=kill', () =>
    refused(rig.writer.exportSnapshot('first', rig.path('exports', 'one.db')), 'WORKER_FAILED'),
  );
  assert.equal(leftIn(rig).length, 1);
  await rig.writer.exportSnapshot('first', rig.path('exports', 'two.db'));
  assert.deepEqual(fs.readdirSync(rig.path('exports')), ['two.db']);
});

test('the file of an export whose signal was aborted is removed by the next one', async (t) => {
  const rig = await withSnapshot(t);
  const stop = new AbortController();
  const { signal } = stop;
  const aborted = await whilePaused(
    rig,
    'publish.before-rename',
    () => rig.writer.exportSnapshot('first', rig.path('exports', 'one.db'), { signal }),
    () => stop.abort(),
  );
  assert.equal(aborted.reason?.code, 'ABORTED');
  await rig.writer.exportSnapshot('first', rig.path('exports', 'two.db'));
  assert.deepEqual(fs.readdirSync(rig.path('exports')), ['two.db']);
});

test('what another export is writing, and what is not ours, is left alone', async (t) => {
  const rig = await withSnapshot(t);
  const strange = [
    '.snapshot-writer-export-',
    '.snapshot-writer-export-notes.txt',
    '.snapshot-writer-abcdef',
  ];
  for (const name of strange) fs.writeFileSync(rig.path('exports', name), 'mine');
  const exported = await whilePaused(
    rig,
    'publish.before-rename',
    () => rig.writer.exportSnapshot('first', rig.path('exports', 'slow.db')),
    () => rig.writer.exportSnapshot('first', rig.path('exports', 'fast.db')),
  );
  assert.equal(exported.status, 'fulfilled', exported.reason?.stack);
  assert.deepEqual(fs.readdirSync(rig.path('exports')).sort(), [...strange, 'fast.db', 'slow.db'].sort());
});

async function withSnapshot(t) {
  const rig = makeRig(t);
  createDatabase(rig.database, { megabytes: 1 });
  await rig.writer.createSnapshot('first');
  fs.mkdirSync(rig.path('exports'));
  return rig;
}

function leftIn(rig) {
  return fs.readdirSync(rig.path('exports')).filter((name) => name.startsWith('.snapshot-writer-'));
}
