'use strict';

// Reads a repository as docs/format.md describes it, without the engine: which pages of which packs
// the snapshots need, and what a restore has to read of them.

const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const zlib = require('node:zlib');
const { filesBelow } = require('./files.js');

const PRELUDE = 64;
const PACK_ENTRY = 60;
const TRAILER = 64;
const PAGE_ENTRY = 20;
const FRAME_ENTRY = 4;

/** Every manifest of a folder, each in its newest generation. */
function manifestsOf(snapshotDir) {
  const newest = new Map();
  for (const file of filesBelow(path.join(snapshotDir, 'snapshots')).map((each) => path.basename(each))) {
    const [id, generation] = [file.slice(0, 36), Number(file.slice(37))];
    if (generation > (newest.get(id) ?? 0)) newest.set(id, generation);
  }
  return [...newest].map(([id, generation]) =>
    readManifest(path.join(snapshotDir, 'snapshots', `${id}.${generation}`)),
  );
}

function readManifest(file) {
  const bytes = fs.readFileSync(file);
  const packsAt = PRELUDE + bytes.readUInt32LE(12);
  const head = JSON.parse(bytes.subarray(PRELUDE, packsAt));
  const extentsAt = packsAt + PACK_ENTRY * head.packCount;
  const packs = [];
  for (let at = packsAt; at < extentsAt; at += PACK_ENTRY) {
    const hex = bytes.subarray(at, at + 16).toString('hex');
    packs.push(hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5'));
  }
  return {
    head,
    packs,
    get runs() {
      return readRuns(unzstd(bytes.subarray(extentsAt)), packs.length);
    },
  };
}

function readRuns(bytes, packCount) {
  const ends = new Array(packCount + 1).fill(0);
  const runs = [];
  let at = 0;
  const varint = () => {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = bytes[at];
      at += 1;
      value += (byte % 128) * scale;
      if (byte < 128) return value;
    }
  };
  while (at < bytes.length) {
    const [count, pack] = [varint(), varint()];
    if (pack === 0) continue;
    const step = varint();
    const position = ends[pack] + (step % 2 === 0 ? step / 2 : -(step + 1) / 2);
    ends[pack] = position + count;
    runs.push({ pack, position, count });
  }
  return runs;
}

/** Pages of a pack, pages of its frames, and the frames' compressed bytes. */
function readPack(snapshotDir, id) {
  const bytes = fs.readFileSync(path.join(snapshotDir, 'packs', id));
  const trailer = bytes.subarray(bytes.length - TRAILER);
  const [pages, frames] = [trailer.readUInt32LE(0), trailer.readUInt32LE(4)];
  const lengthsAt = Number(trailer.readBigUInt64LE(8)) + pages * PAGE_ENTRY;
  const lengths = Array.from({ length: frames }, (_, frame) =>
    bytes.readUInt32LE(lengthsAt + frame * FRAME_ENTRY),
  );
  const perFrame = bytes.readUInt32LE(16);
  return { size: bytes.length, pages, perFrame, lengths };
}

/**
 * What is stored, what of it the snapshots need, and what a restore of the newest one reads, for each
 * byte that it uses. A page counts with its share of its frame.
 */
function wearOf(snapshotDir) {
  const manifests = manifestsOf(snapshotDir);
  const files = fs.readdirSync(path.join(snapshotDir, 'packs'));
  const packs = new Map(files.map((id) => [id, readPack(snapshotDir, id)]));
  const newest = manifests.reduce((one, other) => (one.head.createdAt > other.head.createdAt ? one : other));
  const used = usedBy([newest]);
  const bytes = (pages) => sum([...pages].map(([id, positions]) => bytesOf(packs.get(id), positions)));
  const read = [...used].map(([id, positions]) => bytesOfFrames(packs.get(id), positions));
  return {
    stored: sum([...packs.values()].map(({ size }) => size)),
    needed: bytes(usedBy(manifests)),
    read: sum(read) / bytes(used),
    packs: newest.packs.length,
  };
}

/** By pack: the positions that these snapshots use. */
function usedBy(manifests) {
  const used = new Map();
  for (const { packs, runs } of manifests) {
    for (const { pack, position, count } of runs) {
      const id = packs[pack - 1];
      if (!used.has(id)) used.set(id, new Set());
      for (let offset = 0; offset < count; offset += 1) used.get(id).add(position + offset);
    }
  }
  return used;
}

function bytesOf({ pages, perFrame, lengths }, positions) {
  const share = (position) => {
    const frame = Math.floor(position / perFrame);
    return lengths[frame] / Math.min(perFrame, pages - frame * perFrame);
  };
  return sum([...positions].map(share));
}

function bytesOfFrames({ perFrame, lengths }, positions) {
  const frames = new Set([...positions].map((position) => Math.floor(position / perFrame)));
  return sum([...frames].map((frame) => lengths[frame]));
}

const sum = (numbers) => numbers.reduce((total, number) => total + number, 0);

function unzstd(bytes) {
  if (zlib.zstdDecompressSync) return zlib.zstdDecompressSync(bytes);
  const { status, stdout, stderr, error } = spawnSync('zstd', ['-d', '-c'], {
    input: bytes,
    maxBuffer: 1 << 28,
  });
  if (status !== 0) throw new Error(`this test needs zstd, in Node.js or as a program: ${error ?? stderr}`);
  return stdout;
}

module.exports = { wearOf, manifestsOf };
