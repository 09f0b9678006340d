'use strict';

// What every measurement needs: a settled disk, warm files, clocks, sizes.

const { spawn, spawnSync } = require('node:child_process');
const { closeSync, openSync, readdirSync, readSync, rmSync, statSync } = require('node:fs');
const path = require('node:path');

const buffer = Buffer.allocUnsafe(4 << 20);

/** Reads every file once, so that it lies in the page cache. */
function warm(...files) {
  for (const file of files) {
    if (statSync(file).isDirectory()) {
      warm(...readdirSync(file).map((name) => path.join(file, name)));
      continue;
    }
    const descriptor = openSync(file, 'r');
    while (readSync(descriptor, buffer, 0, buffer.length, null) > 0);
    closeSync(descriptor);
  }
}

/** Lets earlier writes reach the disk, so that no step pays for the one before it. */
function settle() {
  spawnSync('sync');
}

/** Settles, warms `files` and measures `work` in milliseconds. */
async function timed(files, work) {
  settle();
  warm(...files);
  const started = performance.now();
  await work();
  return performance.now() - started;
}

/** What the worker lowers its priority to: on a busy machine peers have to wait as long as it does. */
const WORKER_PRIORITY = '10';

/** Runs a program at the worker's priority; killed after `limitMs`, when given. Returns whether it ended by itself. */
function run(program, args, { limitMs } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn('nice', ['-n', WORKER_PRIORITY, program, ...args], {
      stdio: ['ignore', 'ignore', 'pipe'],
      timeout: limitMs,
    });
    let complaint = '';
    child.stderr.on('data', (chunk) => (complaint += chunk));
    child.on('error', reject);
    child.on('close', (code, signal) => {
      if (code === 0 || (signal && limitMs)) resolve(code === 0);
      else reject(new Error(`${program} failed (${code ?? signal}): ${complaint.trim()}`));
    });
  });
}

/** Bytes of a file, or of every file below a folder. */
function sizeOf(file) {
  const facts = statSync(file);
  if (!facts.isDirectory()) return facts.size;
  return readdirSync(file).reduce((sum, name) => sum + sizeOf(path.join(file, name)), 0);
}

/** Removes files, with the journals of databases. */
function remove(...files) {
  for (const file of files) {
    for (const suffix of ['', '-wal', '-shm', '-journal']) {
      rmSync(file + suffix, { recursive: true, force: true });
    }
  }
}

const sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

module.exports = { remove, run, settle, sizeOf, sleep, timed, warm };
