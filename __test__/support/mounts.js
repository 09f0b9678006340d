'use strict';

const { spawnSync } = require('node:child_process');
const fs = require('node:fs');

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

function mount(rig, folder, args) {
  const mounted = run('mount', args);
  if (mounted) rig.defer(() => run('umount', ['--lazy', folder]));
  return mounted;
}

function run(program, args) {
  return spawnSync(program, args).status === 0;
}

module.exports = { mountSmall, mountReadOnly, mountFile };
