'use strict';

// The application's second module: `module.exports = require('snapshot-writer/snapshotRecovery.cjs')`.
module.exports = require('./index.js').snapshotRecovery;
