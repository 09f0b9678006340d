'use strict';

// Processes of the tests: each is started with a channel, answers requests, and is ended by its pid.

const { fork, spawnSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');

const CHILDREN = path.join(__dirname, 'children');
const NOBODY = 65534;
const POLL_MS = 20;

/** Starts `children/<script>`; it ends with the test at the latest. */
function startChild(rig, script, args = [], options = {}) {
  const child = fork(path.join(CHILDREN, script), args, {
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    execArgv: [],
    ...options,
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text) => (output += text));
  }
  const exited = new Promise((resolve) => {
    child.once('exit', (code, signal) => resolve({ code, signal }));
    child.once('error', (error) => resolve({ error }));
  });
  const waiting = new Map();
  const notes = [];
  let lastId = 0;
  child.on('message', ({ id, value, error, note }) => {
    if (note !== undefined) {
      notes.push(note);
    } else if (error) {
      waiting.get(id)?.reject(Object.assign(new Error(error.message), { code: error.code }));
    } else {
      waiting.get(id)?.resolve(value);
    }
    waiting.delete(id);
  });
  exited.then((end) => {
    const reason = new Error(`${script} ended (${JSON.stringify(end)}): ${output}`);
    for (const { reject } of waiting.values()) reject(reason);
    waiting.clear();
  });

  const kill = async (signal = 'SIGKILL') => {
    child.kill(signal);
    return exited;
  };
  rig.defer(() => (child.exitCode === null && child.signalCode === null ? kill() : exited));
  return {
    pid: child.pid,
    exited,
    kill,
    notes,
    output: () => output,
    request: (method, ...rest) =>
      new Promise((resolve, reject) => {
        lastId += 1;
        waiting.set(lastId, { resolve, reject });
        child.send({ id: lastId, method, args: rest }, (error) => error && reject(error));
      }),
  };
}

/** A connection to a database in another process; see children/connection.js. */
async function startConnection(rig, library, file, { user, ...settings } = {}) {
  const child = startChild(rig, 'connection.js', [], user);
  await child.request('open', library, file, settings);
  return {
    pid: child.pid,
    kill: child.kill,
    all: (sql) => child.request('all', sql),
    exec: (sql) => child.request('exec', sql),
    step: (sql) => child.request('step', sql),
    drain: () => child.request('drain'),
    close: () => child.request('close'),
  };
}

/** A SnapshotWriter in another process, which is the application there. */
function startWriter(rig, { options = {}, user = {}, env = {} } = {}) {
  const child = startChild(rig, 'writer.js', [JSON.stringify({ ...rig.options, ...options })], {
    env: { ...process.env, ...env },
    ...user,
  });
  return { ...child, call: (method, ...args) => child.request(method, ...args) };
}

/** A user whom permission bits bind: nobody when we are root, ourselves otherwise. */
function ordinaryUser() {
  return process.getuid() === 0 ? { uid: NOBODY, gid: NOBODY } : {};
}

/** How to start a child that sees no process but its own; null where that is not permitted. */
function inAnotherContainer() {
  const execArgv = ['--pid', '--fork', '--kill-child', '--mount-proc', process.execPath];
  const tried = spawnSync('unshare', [...execArgv, '-e', '0']);
  return tried.status === 0 ? { execPath: 'unshare', execArgv } : null;
}

/** Ids of the processes that `parent` has started and that still live. */
function childrenOf(parent = process.pid) {
  return fs
    .readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry))
    .filter((pid) => {
      const stat = readIfThere(`/proc/${pid}/stat`);
      // The name in parentheses may hold spaces; the fields after it may not.
      const [state, ppid] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      return Number(ppid) === parent && state !== 'Z';
    })
    .map(Number);
}

function isAlive(pid) {
  const stat = readIfThere(`/proc/${pid}/stat`);
  return stat !== '' && !['Z', 'X'].includes(stat.slice(stat.lastIndexOf(')') + 2)[0]);
}

/** Highest resident set, in KB, of the children of this process that live while `operation` runs. */
async function peakOfChildren(operation) {
  let peak = 0;
  const look = () => {
    for (const pid of childrenOf()) {
      const [, highWater] = /^VmHWM:\s+(\d+) kB$/m.exec(readIfThere(`/proc/${pid}/status`)) ?? [];
      peak = Math.max(peak, Number(highWater ?? 0));
    }
  };
  const timer = setInterval(look, POLL_MS);
  try {
    await operation();
  } finally {
    clearInterval(timer);
  }
  return peak;
}

function readIfThere(file) {
  try {
    return fs.readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}

module.exports = {
  startChild,
  startConnection,
  startWriter,
  ordinaryUser,
  inAnotherContainer,
  childrenOf,
  isAlive,
  peakOfChildren,
  readIfThere,
};
