'use strict';

// Runs one job in a worker process and turns its frames into an outcome.

// Captured here: a test may replace the global timers later.
const { setTimeout, clearTimeout } = require('node:timers');
const { spawn } = require('node:child_process');
const path = require('node:path');
const { SnapshotError, causeFromMessages } = require('./errors.js');
const { callSafely } = require('./callbacks.js');
const { encodeFrame, FrameDecoder } = require('./frames.js');
const { workerEnvironment } = require('./worker-environment.js');

const isSingleExecutable = (() => {
  try {
    return require('node:sea').isSea();
  } catch {
    // Node.js before 20.12 has no such module.
    return false;
  }
})();

const PROTOCOL = 1;
const WORKER = path.join(__dirname, '..', 'worker.cjs');
const STDERR_TAIL = 8 * 1024;
/** A child of the worker may keep its pipes open after it has ended; we do not wait longer for them. */
const PIPE_GRACE_MS = 2_000;

/**
 * Resolves with `{ value, items }` after the worker has ended; rejects with a SnapshotError.
 * `signal`, `onProgress` and `nodePath` may be absent.
 */
function runJob({ operation, config, args, log, onProgress, signal, nodePath }) {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      throw aborted(signal);
    }
    const child = startWorker(nodePath, config);
    const job = {
      child,
      log,
      onProgress,
      outcome: undefined,
      items: [],
      broken: undefined,
      stderr: Buffer.alloc(0),
    };

    const kill = () => child.kill('SIGKILL');
    signal?.addEventListener('abort', kill, { once: true });

    listen(job, (ended) => {
      signal?.removeEventListener('abort', kill);
      // What the worker has reported has happened, whether or not an abort came after it.
      if (job.outcome?.type === 'result') {
        resolve({ value: job.outcome.value, items: job.items });
      } else if (signal?.aborted) {
        reject(aborted(signal));
      } else {
        reject(failureOf(job, ended));
      }
    });

    // Kept open: its end tells the worker that the application is gone.
    child.stdin.write(encodeFrame({ version: PROTOCOL, operation, config, args }));
  });
}

function startWorker(nodePath, config) {
  if (nodePath === undefined && isSingleExecutable) {
    throw new SnapshotError(
      'WORKER_NOT_ALLOWED',
      'a single-executable application cannot start the worker with itself; pass the option nodePath (a Node.js executable)',
    );
  }
  try {
    return spawn(nodePath ?? process.execPath, [WORKER], {
      env: workerEnvironment(config),
      stdio: 'pipe',
      windowsHide: true,
    });
  } catch (error) {
    throw startFailure(error);
  }
}

function startFailure(error) {
  if (error.code === 'ERR_ACCESS_DENIED') {
    return notAllowed(error);
  }
  return new SnapshotError('WORKER_FAILED', 'the worker process could not be started', error);
}

/** The error for a process that runs under Node's permission model without what we need. */
function notAllowed(error) {
  return new SnapshotError(
    'WORKER_NOT_ALLOWED',
    "Node's permission model forbids the worker process; allow it with --allow-child-process, " +
      '--allow-addons and --allow-fs-read for the package, the database and the snapshots',
    error,
  );
}

/** Wires the child's streams to the job and calls `done` once, when it has ended. */
function listen(job, done) {
  const { child } = job;
  const decoder = new FrameDecoder();
  let grace;
  const finish = (ended) => {
    clearTimeout(grace);
    child.removeAllListeners();
    // A process that could not be killed or started may still report; nobody listens any more.
    child.on('error', () => {});
    done(ended);
  };

  child.once('error', (error) => {
    // Also raised when a signal could not be sent; then the end is still to come.
    if (child.pid === undefined) finish({ error });
  });
  child.once('exit', (code, killedBy) => {
    grace = setTimeout(() => {
      child.stdout.destroy();
      child.stderr.destroy();
      finish({ code, killedBy });
    }, PIPE_GRACE_MS);
  });
  child.once('close', (code, killedBy) => finish({ code, killedBy }));

  child.stdout.on('data', (chunk) => {
    if (job.broken) return;
    try {
      decoder.push(chunk).forEach((message) => receive(job, message));
    } catch (error) {
      // Keep draining, but there is nothing left to understand.
      job.broken = error;
      child.kill('SIGKILL');
    }
  });
  child.stderr.on('data', (chunk) => {
    job.stderr = Buffer.concat([job.stderr, chunk]).subarray(-STDERR_TAIL);
  });
  for (const stream of [child.stdin, child.stdout, child.stderr]) {
    // EPIPE and its like: the end of the process tells the story.
    stream.on('error', () => {});
  }
}

function receive(job, message) {
  switch (message.type) {
    case 'log':
      job.log(message.level, message.message, message.fields);
      break;
    case 'progress': {
      const { phase, done, total, unit } = message;
      if (job.onProgress) callSafely(job.onProgress, { phase, done, total, unit });
      break;
    }
    case 'items':
      job.items.push(...message.items);
      break;
    case 'result':
    case 'error':
      job.outcome = message;
      job.child.stdin.end();
      break;
    default:
      throw new Error(`a frame of unknown type "${message.type}"`);
  }
}

function failureOf(job, { error, code, killedBy }) {
  if (error) {
    return startFailure(error);
  }
  if (job.outcome) {
    return new SnapshotError(
      job.outcome.code,
      job.outcome.message,
      causeFromMessages(job.outcome.causes ?? []),
    );
  }
  return new SnapshotError('WORKER_FAILED', crashMessage(job, code, killedBy), crashCause(job));
}

function crashMessage({ broken }, code, killedBy) {
  if (broken) {
    return 'the worker process sent something that is not an answer';
  }
  const how = killedBy ? `was ended by the signal ${killedBy}` : `ended with exit code ${code}`;
  const hint = killedBy === 'SIGKILL' ? ' (out of memory?)' : '';
  return `the worker process ${how} without an answer${hint}`;
}

function crashCause({ broken, stderr }) {
  const said = stderr.toString('utf8').trim();
  return broken ?? (said === '' ? undefined : new Error(said));
}

function aborted(signal) {
  return new SnapshotError('ABORTED', 'the operation was aborted', signal.reason);
}

module.exports = { runJob, notAllowed };
