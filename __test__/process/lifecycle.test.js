'use strict';

// An application's life: it fills its lost database at start, snapshots on a timer, and takes a
// last snapshot when the process manager ends its whole process group.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const { test } = require('node:test');
const { contentOf, createDatabase, integrityOf } = require('../support/database.js');
const { sha256 } = require('../support/files.js');
const { startChild } = require('../support/processes.js');
const { eventually, makeRig } = require('../support/rig.js');

for (const signal of ['SIGTERM', 'SIGINT']) {
  test(`a server whose process group gets ${signal} ends with a complete last snapshot`, async (t) => {
    const rig = makeRig(t);
    createDatabase(rig.database, { megabytes: 20 });
    const content = contentOf(rig.database);
    await rig.writer.createSnapshot('before the loss');
    fs.rmSync(rig.database);

    // A process group of its own, as under PM2 or a terminal: its workers are members.
    const server = startChild(rig, 'application.js', [JSON.stringify(rig.options)], { detached: true });
    const [{ port, bootstrapped, error }] = await eventually(
      () => server.notes.length > 0 && server.notes,
      'the server to listen',
    );
    assert.equal(bootstrapped, true, error);
    assert.equal(contentOf(rig.database), content);
    await eventually(() => server.notes.filter(({ made }) => made).length >= 2, 'two snapshots on the timer');
    const listed = await (await fetch(`http://127.0.0.1:${port}/`)).json();
    assert.ok(listed.length >= 3, 'the server serves the list of snapshots');

    process.kill(-server.pid, signal);
    await eventually(() => server.notes.some(({ ending }) => ending), 'the handler of the signal to run');
    // The impatient send it twice.
    process.kill(-server.pid, signal);
    assert.deepEqual(await server.exited, { code: 0, signal: null }, server.output());
    assert.deepEqual(
      server.notes.filter(({ failed }) => failed),
      [],
      'a snapshot failed',
    );

    const { last } = server.notes.find((note) => note.last);
    const verdict = await rig.writer.verifySnapshot('last words', { level: 'database' });
    assert.deepEqual(verdict.problems, []);
    assert.equal(verdict.ok, true);
    await rig.writer.exportSnapshot('last words', rig.path('last.db'));
    assert.equal(sha256(rig.path('last.db')), last.checksum);
    assert.equal(contentOf(rig.path('last.db')), content);
    assert.equal(integrityOf(rig.database), 'ok');
  });
}
