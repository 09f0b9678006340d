// Jest compiles modules its own way; what Node itself makes of the package is tested here.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createRequire } from 'node:module';
import {
  SnapshotRecovery,
  SnapshotWriter,
  SnapshotError,
  snapshotRecovery,
  snapshotWriter,
} from 'snapshot-writer';
import recovery from 'snapshot-writer/snapshotRecovery.cjs';
import instance from 'snapshot-writer/snapshotWriter.cjs';

const require = createRequire(import.meta.url);

test('ESM finds the named exports', () => {
  assert.equal(typeof SnapshotWriter, 'function');
  assert.ok(new SnapshotError('CODE', 'message') instanceof Error);
  assert.ok(snapshotWriter instanceof SnapshotWriter);
  assert.ok(snapshotRecovery instanceof SnapshotRecovery);
});

test('ESM and CommonJS share one default instance', () => {
  assert.equal(instance, snapshotWriter);
  assert.equal(require('snapshot-writer/snapshotWriter.cjs'), snapshotWriter);
  assert.equal(require('snapshot-writer').snapshotWriter, snapshotWriter);
  assert.equal(recovery, snapshotRecovery);
  assert.equal(require('snapshot-writer/snapshotRecovery.cjs'), snapshotRecovery);
});

test('package.json is reachable, internals are not', () => {
  assert.equal(require('snapshot-writer/package.json').name, 'snapshot-writer');
  assert.throws(() => require('snapshot-writer/lib/config.js'), { code: 'ERR_PACKAGE_PATH_NOT_EXPORTED' });
});

test('no native addon is loaded into the importing process', () => {
  const addons = process.report.getReport().sharedObjects.filter((file) => file.endsWith('.node'));
  assert.deepEqual(addons, []);
});
