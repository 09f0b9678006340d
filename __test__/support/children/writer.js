'use strict';

// An application that does what the test asks of its SnapshotWriter.

const { SnapshotWriter } = require('../../../index.js');
const { serve } = require('./serve.js');

const silent = { debug() {}, info() {}, warn() {}, error() {} };
const writer = new SnapshotWriter({ log: silent, ...JSON.parse(process.argv[2]) });
const names = Object.getOwnPropertyNames(SnapshotWriter.prototype).filter(
  (name) =>
    name !== 'constructor' &&
    typeof Object.getOwnPropertyDescriptor(SnapshotWriter.prototype, name).value === 'function',
);

serve(Object.fromEntries(names.map((name) => [name, (...args) => writer[name](...args)])));
