'use strict';

// Node.js and what runs it.

const path = require('node:path');
const { ok, warning, problem, list } = require('./findings.js');

const OLDEST_NODE = 20;
/** PM2 kills a process this long after it asked it to end, unless told otherwise. */
const PM2_DEFAULT_MS = 1600;
const ENOUGH_MS = 10_000;

/** What the worker process needs under Node's permission model. */
const PERMISSIONS = [
  ['child', undefined, '--allow-child-process'],
  ['fs.read', path.join(__dirname, '..', '..', 'worker.cjs'), '--allow-fs-read for the package'],
];

function judgeRuntime(facts) {
  return [node(), ...[pm2(facts.processes)].filter(Boolean)];
}

function node() {
  const { node: version } = process.versions;
  if (Number(version.split('.')[0]) < OLDEST_NODE) {
    return problem('node', `This is Node.js ${version}.`, `Use Node.js ${OLDEST_NODE} or later.`);
  }
  const isMissing = ([scope, what]) => process.permission && !process.permission.has(scope, what);
  const flags = PERMISSIONS.filter(isMissing).map(([, , flag]) => flag);
  if (flags.length > 0) {
    return problem(
      'node',
      `Node.js ${version} runs under its permission model and forbids what the worker needs.`,
      `Start it with ${list(flags)}.`,
    );
  }
  return ok('node', `Node.js ${version}${process.permission ? ', under its permission model' : ''}.`);
}

/** This process, and those that have the database open. */
function pm2(processes) {
  const holders = (processes?.holders ?? []).filter(({ pm2: under }) => under !== null);
  const timeouts = holders.map(({ pid, pm2: { killTimeout } }) => [`pid ${pid}`, killTimeout]);
  if (process.env.pm_id !== undefined) {
    timeouts.unshift(['this process', Number(process.env.kill_timeout) || null]);
  }
  if (timeouts.length === 0) return null;
  const short = timeouts.filter(([, ms]) => (ms ?? PM2_DEFAULT_MS) < ENOUGH_MS);
  if (short.length === 0) return ok('pm2', 'PM2 gives a running snapshot time to finish (kill_timeout).');
  const told = short.map(
    ([who, ms]) => `${who} ${ms ?? PM2_DEFAULT_MS} ms${ms === null ? ' (its default)' : ''}`,
  );
  return warning(
    'pm2',
    `PM2 kills a process and its worker soon after asking it to end: ${list(told)}.`,
    'Set kill_timeout: 30000 in the ecosystem file, so that a snapshot that was begun can finish.',
  );
}

module.exports = { judgeRuntime };
