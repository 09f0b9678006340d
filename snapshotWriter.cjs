'use strict';

// Stands in for the application's old module: `module.exports = require('snapshot-writer/snapshotWriter.cjs')`.
module.exports = require('./index.js').snapshotWriter;
