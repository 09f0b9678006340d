'use strict';

// Builds the injector and runs a worker behind it. This is the one place that knows by which option
// the worker's program is chosen.

const { spawnSync } = require('node:child_process');
const { createHash } = require('node:crypto');
const fs = require('node:fs');
const path = require('node:path');

const SOURCES = ['injector.c', 'calls.h'].map((name) => path.join(__dirname, name));
const BUILT = path.join(__dirname, '..', '..', 'target', 'torture');

/** Writing calls are cut short, calls that need space meet a full disk; anything may fail or be the last. */
const FAULTS = ['eio', 'enospc', 'short', 'kill'];

/** Compiles the injector unless that was done; throws with the reason where it cannot work. */
function buildInjector() {
  if (process.platform !== 'linux') throw new Error('the injector needs Linux: seccomp user notification');
  const hash = createHash('sha256');
  for (const file of SOURCES) hash.update(fs.readFileSync(file));
  const injector = path.join(BUILT, `injector-${hash.digest('hex').slice(0, 16)}`);
  if (!fs.existsSync(injector)) {
    fs.mkdirSync(BUILT, { recursive: true });
    // Another process may do the same: what has its name is complete.
    const unfinished = `${injector}.${process.pid}`;
    run('cc', ['-O2', '-Wall', '-Wextra', '-Werror', '-o', unfinished, SOURCES[0]]);
    fs.renameSync(unfinished, injector);
  }
  run(injector, [path.join(BUILT, `report.${process.pid}`), BUILT, 'none', '0', process.execPath, '-e', '0']);
  fs.rmSync(path.join(BUILT, `report.${process.pid}`));
  return injector;
}

function run(program, args) {
  const { status, error, stderr } = spawnSync(program, args, { encoding: 'utf8' });
  if (error || status !== 0) throw new Error(`${program} failed: ${error?.message ?? stderr}`);
}

/**
 * A worker whose `n`th call on files below `watched` meets the fault; `'none'` lists all calls. `folder`
 * takes the injector's own files. Spread `options` into those of a writer; `report` tells what happened.
 */
function faultyWorker({ injector, folder, watched, fault, n }) {
  const program = path.join(folder, 'worker');
  const reportFile = path.join(folder, 'report');
  const scratch = path.join(watched, 'tmp');
  fs.rmSync(reportFile, { force: true });
  const command = [injector, reportFile, watched, fault, n, process.execPath].map((word) => `'${word}'`);
  // SQLite's temporary files count, too.
  fs.writeFileSync(program, `#!/bin/sh\nTMPDIR='${scratch}' exec ${command.join(' ')} "$@"\n`, {
    mode: 0o755,
  });
  return { options: { nodePath: program }, report: () => readReport(reportFile) };
}

function readReport(file) {
  const calls = [];
  let counted;
  for (const line of fs.readFileSync(file, 'utf8').split('\n')) {
    const [word, number, name, ...paths] = line.split(' ');
    if (word === 'call') calls.push({ n: Number(number), name, path: paths.join(' ') });
    if (word === 'counted') counted = Number(number);
  }
  return { calls, counted };
}

module.exports = { FAULTS, buildInjector, faultyWorker };
