'use strict';

// What a writer in another process notices of a snapshot: how long a commit takes, how many fail.

const { fork } = require('node:child_process');
const { copyFileSync } = require('node:fs');
const { once } = require('node:events');
const path = require('node:path');
const { setJournalMode } = require('./database.cjs');
const { remove, run, settle, sleep, warm } = require('./steps.cjs');

const WRITER = path.join(__dirname, 'writer-child.cjs');
/** A peer that restarts whenever somebody commits may never end. */
const PEER_LIMIT_MS = 10_000;
/** Without it the peers give up at the first lock. */
const PEER_PATIENCE = '.timeout 60000';
/** After a sync, which holds up the writer too. */
const CALM_MS = 300;
const LEAST_IDLE_MS = 2000;
const IMPATIENT = 0;
const PATIENT = 5000;

const now = () => performance.timeOrigin + performance.now();

/** Starts a writer; `during` runs work and returns its window, `stop` returns the commits. */
async function startWriter(file, busyTimeout) {
  const child = fork(WRITER, [file, String(busyTimeout)]);
  const died = once(child, 'exit').then(([code]) => {
    throw new Error(`the writer ended with ${code} before it was told to`);
  });
  died.catch(() => {});
  await Promise.race([once(child, 'message'), died]);
  return {
    async during(work) {
      settle();
      await sleep(CALM_MS);
      const from = now();
      const ended = await work();
      return { from, to: now(), ended };
    },
    async stop() {
      // A writer that died already has closed its channel.
      if (child.connected) child.send('stop');
      const [commits] = await Promise.race([once(child, 'message'), died]);
      await died.catch(() => {});
      return commits;
    },
  };
}

/** What the commits that started in a window look like. */
function seenIn(commits, { from, to }) {
  const inside = commits.filter(({ started }) => started >= from && started <= to);
  return {
    longest: Math.max(0, ...inside.map(({ took }) => took)),
    failedShare: inside.filter(({ failed }) => failed).length / Math.max(1, inside.length),
    commits: inside.length,
  };
}

/** One round in one journal mode. */
async function measureWriters(bench, mode) {
  const { samples, tools, files } = bench;
  const key = `writer.${mode}`;
  remove(files.busy);
  copyFileSync(files.base, files.busy);
  setJournalMode(files.busy, mode);
  // A snapshot that is given up is a result, not the end of the benchmark.
  const snapshot = () =>
    bench
      .freshRepository(files.busy)
      .createSnapshot()
      .catch((error) => error.code);
  const peers = {
    backup: () =>
      run('sqlite3', ['-cmd', PEER_PATIENCE, files.busy, `.backup '${files.backup}'`], {
        limitMs: PEER_LIMIT_MS,
      }),
    vacuum: () =>
      run('sqlite3', ['-cmd', PEER_PATIENCE, files.busy, `VACUUM INTO '${files.backup}'`], {
        limitMs: PEER_LIMIT_MS,
      }),
  };

  for (const [name, busyTimeout] of [
    ['patient', PATIENT],
    ['impatient', IMPATIENT],
  ]) {
    warm(files.busy);
    const writer = await startWriter(files.busy, busyTimeout);
    const windows = { ours: await writer.during(snapshot) };
    const took = windows.ours.to - windows.ours.from;
    const idle = Math.min(Math.max(LEAST_IDLE_MS, took), PEER_LIMIT_MS);
    windows.idle = await writer.during(() => sleep(idle));
    if (name === 'patient' && tools.sqlite3) {
      for (const [peer, work] of Object.entries(peers)) {
        remove(files.backup);
        windows[peer] = await writer.during(work);
      }
    }
    const commits = await writer.stop();
    for (const [who, window] of Object.entries(windows)) {
      const seen = seenIn(commits, window);
      samples.add(`${key}.${name}.${who}.longest`, seen.longest);
      samples.add(`${key}.${name}.${who}.failed`, seen.failedShare);
      samples.add(`${key}.${name}.${who}.commits`, seen.commits);
      samples.add(`${key}.${name}.${who}.duration`, window.to - window.from);
      if (typeof window.ended === 'string') samples.add(`${key}.${name}.${who}.rejected`, window.ended);
      if (window.ended === false) samples.add(`${key}.${name}.${who}.unfinished`, 1);
    }
  }
  remove(files.busy, files.backup);
}

module.exports = { PEER_LIMIT_MS, measureWriters };
