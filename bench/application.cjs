'use strict';

// What the application itself notices: the delay of its event loop, its memory, and how much
// memory the worker takes beside it.

const { fork } = require('node:child_process');
const { readFileSync, readdirSync } = require('node:fs');
const path = require('node:path');
const { remove, settle, warm } = require('./steps.cjs');

const APPLICATION = path.join(__dirname, 'application-child.cjs');
const SAMPLE_MS = 10;

/** Highest resident memory of the children of a process so far, in bytes; 0 where /proc is missing. */
function peakOfChildren(pid) {
  try {
    const children = readdirSync(`/proc/${pid}/task`).flatMap((task) =>
      readFileSync(`/proc/${pid}/task/${task}/children`, 'utf8').split(' ').filter(Boolean),
    );
    const peaks = children.map((child) => {
      const [, kilobytes] = /^VmHWM:\s+(\d+) kB/m.exec(readFileSync(`/proc/${child}/status`, 'utf8')) ?? [];
      return Number(kilobytes ?? 0) * 1024;
    });
    return Math.max(0, ...peaks);
  } catch {
    return 0;
  }
}

/** Runs one application; what it saw, and the peak of its worker. */
function runApplication(job) {
  return new Promise((resolve, reject) => {
    const child = fork(APPLICATION, [JSON.stringify(job)]);
    let seen;
    let workerPeak = 0;
    const watch = setInterval(() => {
      workerPeak = Math.max(workerPeak, peakOfChildren(child.pid));
    }, SAMPLE_MS);
    child.on('message', (message) => (seen = message));
    child.on('exit', (code) => {
      clearInterval(watch);
      if (seen) resolve({ ...seen, workerPeak });
      else reject(new Error(`the application ended with ${code} while it did: ${job.work}`));
    });
  });
}

async function measureApplication({ samples, files }) {
  remove(files.repository, files.backup);
  const job = {
    database: files.live,
    snapshotDir: files.repository,
    backup: files.backup,
    snapshot: 'of the application',
  };
  for (const work of ['idle', 'snapshot', 'backup', 'restore']) {
    settle();
    warm(files.live);
    const seen = await runApplication({ ...job, work });
    samples.add(`application.${work}.p99`, seen.p99);
    samples.add(`application.${work}.longest`, seen.longest);
    samples.add(`application.${work}.growth`, seen.growth);
    if (seen.workerPeak > 0) samples.add(`application.${work}.workerPeak`, seen.workerPeak);
  }
  remove(files.backup);
}

module.exports = { measureApplication };
