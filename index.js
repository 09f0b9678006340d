'use strict';

// Requiring this touches no database, no disk and no network; configuration is read per call.
// Plain assignments, so that `import { SnapshotWriter } from 'snapshot-writer'` finds the names.

const { SnapshotError } = require('./lib/errors.js');
const { SnapshotRecovery } = require('./lib/recovery/snapshot-recovery.js');
const { SnapshotWriter } = require('./lib/snapshot-writer.js');

exports.SnapshotWriter = SnapshotWriter;
exports.SnapshotError = SnapshotError;
exports.SnapshotRecovery = SnapshotRecovery;
exports.snapshotWriter = new SnapshotWriter();
exports.snapshotRecovery = new SnapshotRecovery();
