'use strict';

// Appends ten bytes twice, then again twice in another thread; prints what each write was told.

const fs = require('node:fs');
const { isMainThread, Worker, workerData } = require('node:worker_threads');

const file = isMainThread ? process.argv[2] : workerData;
const descriptor = fs.openSync(file, 'a');
for (let left = 2; left > 0; left -= 1) fs.writeSync(1, `${write()} `);
if (isMainThread) new Worker(__filename, { workerData: file });

function write() {
  try {
    return fs.writeSync(descriptor, '0123456789');
  } catch (error) {
    return error.code;
  }
}
