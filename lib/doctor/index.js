'use strict';

// A diagnosis: looks at everything, changes nothing, and never fails as a whole.
//
// What can be told from configuration and names is looked at here. The database is opened in the
// worker alone, which sends facts; what they mean is judged here.

const { jobConfig } = require('../config.js');
const { judgeDatabase } = require('./database.js');
const { worst, problem, unknown, sentence } = require('./findings.js');
const { findPlaces } = require('./places.js');
const { judgeProcesses } = require('./processes.js');
const { judgeRuntime } = require('./runtime.js');
const { judgeStorage } = require('./storage.js');

/** `runJob(operation, config, args)` resolves with the facts of the worker. */
async function diagnose(options, runJob) {
  const places = findPlaces(options);
  const config = jobConfig(options, places);
  const { facts, failure } = await gather(places, config, runJob);
  const findings = [
    ...places.findings,
    ...(failure ? [failure] : []),
    ...attempt('database', () => (places.databasePath === null ? [] : judgeDatabase(facts, places, config))),
    ...attempt('processes', () => (places.databasePath === null ? [] : judgeProcesses(facts))),
    ...attempt('space', () => judgeStorage(facts, places, Date.now())),
    ...attempt('node', () => judgeRuntime(facts)),
  ];
  return { ok: worst(findings) !== 'problem', verdict: worst(findings), findings };
}

async function gather(places, config, runJob) {
  try {
    const facts = await runJob('doctor', config, { repository: places.snapshotDir !== null });
    return { facts };
  } catch (error) {
    if (error.code === 'ABORTED') throw error;
    // Nothing else of this package works either.
    const advice = `See docs/errors.md for ${error.code}.`;
    return { facts: {}, failure: problem('worker', sentence(error.message), advice) };
  }
}

/** A fault of our own must not hide the other findings. */
function attempt(check, judge) {
  try {
    return judge();
  } catch (error) {
    return [unknown(check, `It could not be judged: ${error.message}`)];
  }
}

module.exports = { diagnose };
