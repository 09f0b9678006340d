'use strict';

const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');

/** A fresh folder below the system's temporary one, by its canonical path. */
function makeFolder() {
  return fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), 'snapshot-writer-test-')));
}

function removeFolder(folder) {
  fs.rmSync(folder, { recursive: true, force: true });
}

/** The code and message of a promise that must reject. */
async function rejection(promise) {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new Error('the promise was expected to reject');
}

const silent = { info() {}, warn() {}, error() {}, debug() {} };

module.exports = { makeFolder, removeFolder, rejection, silent };
