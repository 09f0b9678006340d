'use strict';

// Files as bytes. Never call these on a database that this process has open: closing any
// descriptor of it drops the locks of the connection.

const { createHash } = require('node:crypto');
const fs = require('node:fs');
const path = require('node:path');

const CHUNK = 1 << 20;
/** Bytes of page 1 that a restore leaves as the live file has them, or that SQLite keeps to itself. */
const OWN_HEADER_BYTES = [
  [18, 20],
  [24, 28],
  [40, 44],
  [92, 100],
];

/** Hashes in chunks, so that the test's own memory stays small. */
function sha256(file) {
  const hash = createHash('sha256');
  const buffer = Buffer.alloc(CHUNK);
  const descriptor = fs.openSync(file, 'r');
  try {
    for (let length; (length = fs.readSync(descriptor, buffer)) > 0;) {
      hash.update(buffer.subarray(0, length));
    }
  } finally {
    fs.closeSync(descriptor);
  }
  return hash.digest('hex');
}

/** Every file below `folder`, with its length. */
function filesBelow(folder) {
  if (!fs.existsSync(folder)) return [];
  return fs
    .readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.join(entry.parentPath ?? entry.path, entry.name))
    .sort();
}

/** What a damaged note was renamed to. */
function asideOf(note) {
  return filesBelow(path.dirname(note)).find((file) => file.startsWith(`${note}.damaged-`));
}

function bytesBelow(folder) {
  return filesBelow(folder).reduce((sum, file) => sum + fs.statSync(file).size, 0);
}

/** Path and hash of every file, without the repository's locks and counters, which every call may touch. */
function fingerprint(folder) {
  return filesBelow(folder)
    .filter((file) => !/[\\/]local[\\/](lock|metrics)(\.\w+)*$/.test(file))
    .map((file) => `${path.relative(folder, file)} ${sha256(file)}`);
}

/** Numbers (from 1) of the pages in which two database files differ. */
function differingPages(one, other, pageSize) {
  const length = Math.max(one.length, other.length);
  const pages = [];
  for (let start = 0, number = 1; start < length; start += pageSize, number += 1) {
    const same = one.subarray(start, start + pageSize).equals(other.subarray(start, start + pageSize));
    if (!same) pages.push(number);
  }
  return pages;
}

/** The bytes of a database with those header bytes zeroed that a restore does not take over. */
function imageBytes(file) {
  const bytes = fs.readFileSync(file);
  for (const [from, to] of OWN_HEADER_BYTES) bytes.fill(0, from, to);
  return bytes;
}

/** Changes one bit of a file; `at` is a byte offset, or a share of the length below 1. */
function flipBit(file, at) {
  const bytes = fs.readFileSync(file);
  const offset = at < 1 ? Math.floor(bytes.length * at) : at;
  bytes[offset] ^= 1;
  fs.writeFileSync(file, bytes);
}

module.exports = {
  sha256,
  filesBelow,
  asideOf,
  bytesBelow,
  fingerprint,
  differingPages,
  imageBytes,
  flipBit,
};
