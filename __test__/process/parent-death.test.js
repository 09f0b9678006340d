'use strict';

// The application is killed while its worker is at work: before the point of no return the
// worker gives up, after it the worker finishes, and in either case it ends by itself.

const assert = require('node:assert/strict');
const { test } = require('node:test');
const {
  contentOf,
  createDatabase,
  insertRealities,
  integrityOf,
  withDatabase,
} = require('../support/database.js');
const { pauseAt } = require('../support/failpoints.js');
const { childrenOf, isAlive, startWriter } = require('../support/processes.js');
const { assertAllVerify, eventually, makeRig } = require('../support/rig.js');

/** Where the worker stands when its parent dies, and what is to be found afterwards. */
const STEPS = {
  'create.captured': { call: ['createSnapshot', 'orphaned'], finishes: false },
  'create.before-row': { call: ['createSnapshot', 'orphaned'], finishes: true },
  'restore.writing': { call: ['restoreFromSnapshot', 'image'], finishes: false },
  'restore.after-commit': { call: ['restoreFromSnapshot', 'image'], finishes: true },
  'delete.before-packs': { call: ['deleteSnapshot', 'image'], finishes: true },
};

for (const [step, { call, finishes }] of Object.entries(STEPS)) {
  const does = finishes ? 'finishes' : 'gives up';
  test(`a worker whose application is killed while it stands at ${step} ${does} and ends`, async (t) => {
    const rig = makeRig(t);
    createDatabase(rig.database, { realities: 5, megabytes: 1 });
    const image = contentOf(rig.database);
    await rig.writer.createSnapshot('image');
    withDatabase(rig.database, (db) => insertRealities(db, 5));
    const live = contentOf(rig.database);

    const pause = pauseAt(rig, step);
    const application = startWriter(rig, { env: pause.env });
    const answer = application.call(...call).catch(() => 'the application is gone');
    await eventually(pause.isReached, `the worker to reach ${step}`);
    const [worker, ...others] = childrenOf(application.pid);
    assert.deepEqual(others, [], 'one worker');
    await application.kill('SIGKILL');
    assert.equal(await answer, 'the application is gone');
    assert.ok(isAlive(worker), 'the worker outlives its application while it is paused');
    pause.release();
    await eventually(() => !isAlive(worker), 'the worker to end by itself');

    const names = (await assertAllVerify(rig.writer)).map(({ name }) => name);
    assert.equal(names.includes('orphaned'), finishes && call[1] === 'orphaned');
    assert.equal(names.includes('image'), call[0] !== 'deleteSnapshot');
    assert.equal(contentOf(rig.database), call[0] === 'restoreFromSnapshot' && finishes ? image : live);
    assert.equal(integrityOf(rig.database), 'ok');
    await rig.writer.createSnapshot('next');
  });
}
