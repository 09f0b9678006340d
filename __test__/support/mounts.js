'use strict';

const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');

/** Mounts a small file system in memory on `folder`; false where that is not permitted. */
function mountSmall(rig, folder, size) {
  fs.mkdirSync(folder, { recursive: true });
  return mount(rig, folder, ['-t', 'tmpfs', '-o', `size=${size}`, 'tmpfs', folder]);
}

/** Makes `folder` read-only for everybody, root included; false where that is not permitted. */
function mountReadOnly(rig, folder) {
  return mount(rig, folder, ['--bind', folder, folder]) && run('mount', ['-o', 'remount,bind,ro', folder]);
}

/** Gives a file a second name as a container does that mounts the file alone; false where that is not permitted. */
function mountFile(rig, file, name) {
  fs.writeFileSync(name, '');
  return mount(rig, name, ['--bind', file, name]);
}

/** Why nothing can be mounted here; false where it can. */
function cannotMount() {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'snapshot-writer-mount-'));
  try {
    const mounted = run('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', folder]);
    return !(mounted && run('umount', ['--lazy', folder])) && 'mounting is not permitted here';
  } finally {
    fs.rmdirSync(folder);
  }
}

/** Leaves not a byte of a file system. */
function fillUp(folder) {
  const file = fs.openSync(path.join(folder, 'full'), 'w');
  try {
    for (const size of [1 << 20, 4096, 512]) writeUntilFull(file, Buffer.alloc(size));
  } finally {
    fs.closeSync(file);
  }
}

function writeUntilFull(file, chunk) {
  for (;;) {
    try {
      fs.writeSync(file, chunk);
    } catch (error) {
      if (error.code === 'ENOSPC') return;
      throw error;
    }
  }
}

function mount(rig, folder, args) {
  const mounted = run('mount', args);
  if (mounted) rig.defer(() => run('umount', ['--lazy', folder]));
  return mounted;
}

function run(program, args) {
  return spawnSync(program, args).status === 0;
}

module.exports = { mountSmall, mountReadOnly, mountFile, cannotMount, fillUp };
