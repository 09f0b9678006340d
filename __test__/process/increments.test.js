'use strict';

// What a snapshot costs on disk: what has changed, compressed, and little else.

const assert = require('node:assert/strict');
const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const { test } = require('node:test');
const zlib = require('node:zlib');
const { createDatabase, rewriteFiller } = require('../support/database.js');
const { bytesBelow, differingPages, sha256 } = require('../support/files.js');
const { makeRig } = require('../support/rig.js');

const MEGABYTES = process.env.SNAPSHOT_WRITER_TEST_LARGE === '1' ? 259 : 60;
const PAGE_SIZE = 4096;
const UNCHANGED_LIMIT = 64 * 1024;

test('a snapshot after one percent of the pages changed stores little more than those pages', async (t) => {
  const rig = makeRig(t);
  createDatabase(rig.database, { megabytes: MEGABYTES });
  const first = await snapshotAndExport(rig, 'first');

  rewriteFiller(rig.database, 100);
  const second = await snapshotAndExport(rig, 'second');
  const changed = changedPages(first.file, second.file);
  const pages = changed.length / PAGE_SIZE;
  const compressed = zstdSize(rig, changed);
  t.diagnostic(`${pages} pages changed, ${compressed} bytes under zstd -1, ${second.added} bytes added`);
  assert.ok(pages >= MEGABYTES * 2.5, 'one percent of the pages has changed');
  assert.ok(second.added <= 1.2 * compressed, `${second.added} bytes for ${compressed}`);

  const third = await snapshotAndExport(rig, 'third');
  t.diagnostic(`unchanged: ${third.added} bytes added`);
  assert.ok(third.added < UNCHANGED_LIMIT, `${third.added} bytes for an unchanged database`);
});

/** Takes a snapshot, checks its export against its checksum, and tells by how much the folder grew. */
async function snapshotAndExport(rig, name) {
  const before = bytesBelow(rig.snapshotDir);
  const { snapshot } = await rig.writer.createSnapshot(name);
  const added = bytesBelow(rig.snapshotDir) - before;
  const file = rig.path(`${name}.db`);
  await rig.writer.exportSnapshot(name, file);
  assert.equal(sha256(file), snapshot.checksum);
  assert.equal(fs.statSync(file).size, snapshot.size);
  return { added, file };
}

function changedPages(one, other) {
  const [before, after] = [fs.readFileSync(one), fs.readFileSync(other)];
  return Buffer.concat(
    differingPages(before, after, PAGE_SIZE).map((page) =>
      after.subarray((page - 1) * PAGE_SIZE, page * PAGE_SIZE),
    ),
  );
}

function zstdSize(rig, bytes) {
  if (zlib.zstdCompressSync) {
    return zlib.zstdCompressSync(bytes, { params: { [zlib.constants.ZSTD_c_compressionLevel]: 1 } }).length;
  }
  fs.writeFileSync(rig.path('changed'), bytes);
  const { status, stdout, stderr, error } = spawnSync('zstd', ['-1', '-c', rig.path('changed')], {
    maxBuffer: 1 << 28,
  });
  assert.equal(status, 0, `this test needs zstd, in Node.js or as a program: ${error ?? stderr}`);
  return stdout.length;
}
