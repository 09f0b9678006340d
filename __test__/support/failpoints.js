'use strict';

// Named steps of the engine at which a test kills, fails or pauses the worker (src/failpoint.rs).

const fs = require('node:fs');
const path = require('node:path');
const { filesBelow } = require('./files.js');
const { eventually } = require('./rig.js');

const VARIABLE = 'SNAPSHOT_WRITER_FAILPOINT';
const SOURCES = path.join(__dirname, '..', '..', 'src');

/** Steps that only a bucket brings about: s3-kill.test.js kills the worker there, kill.test.js at all others. */
const OF_THE_BUCKET = /^(upload|sync|bucket-delete|bucket-repack|bucket-claim)\./;

/** Steps of a file that SQLite cannot read, which moves as a set: exchange-kill.test.js kills the worker there. */
const OF_A_SET = /^aside\./;

/** Every step that the engine's source names, so that none can be forgotten. */
function knownFailpoints() {
  const names = new Set();
  for (const file of filesBelow(SOURCES)) {
    if (!file.endsWith('.rs')) continue;
    for (const [, name] of fs.readFileSync(file, 'utf8').matchAll(/failpoint::reached\(\s*"([^"]+)"/g)) {
      names.add(name);
    }
  }
  return [...names].sort();
}

/** Runs `call` with one step armed, as in `create.captured=kill`. */
async function withFailpoint(armed, call) {
  process.env[VARIABLE] = armed;
  try {
    return await call();
  } finally {
    delete process.env[VARIABLE];
  }
}

/**
 * Runs `call`, waits until the worker stands at the step `name`, does `meanwhile`, lets it go on.
 * Returns how the call ended, as `Promise.allSettled` tells it.
 */
async function whilePaused(rig, name, call, meanwhile) {
  const { armed, isReached, release } = pauseAt(rig, name);
  let ended = false;
  const [outcome] = await withFailpoint(armed, async () => {
    const running = Promise.allSettled([call()]).finally(() => (ended = true));
    try {
      await eventually(() => ended || isReached(), `the worker to reach ${name}`);
      // Workers that are started now are not to be held, too.
      delete process.env[VARIABLE];
      await meanwhile();
    } finally {
      release();
    }
    return running;
  });
  return outcome;
}

/** The parts of a pause, for a worker that another process starts. */
function pauseAt(rig, name) {
  const file = rig.path(`pause-${name}`);
  fs.writeFileSync(file, '');
  return {
    armed: `${name}=pause:${file}`,
    env: { [VARIABLE]: `${name}=pause:${file}` },
    isReached: () => fs.existsSync(`${file}.reached`),
    release: () => fs.rmSync(file, { force: true }),
  };
}

module.exports = { OF_THE_BUCKET, OF_A_SET, knownFailpoints, withFailpoint, whilePaused, pauseAt };
