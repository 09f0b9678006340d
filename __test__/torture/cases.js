'use strict';

// Runs one case after the other: an operation in a journal mode, hit by a fault at its nth call.

const { judge, told } = require('./judge.js');
const { faultyWorker } = require('./injector.js');
const { OPERATIONS, prepare } = require('./operations.js');
const { makePlace } = require('./place.js');
const { steady } = require('./steady.js');

/** A call that takes longer hangs. */
const HANGS_AFTER_MS = 60_000;

/** A folder with the template of one operation in one journal mode; `runCase` makes cases of it. */
async function openCases({ folder, injector, name, mode }) {
  const place = makePlace(folder);
  const operation = OPERATIONS[name];
  const states = await prepare(place, operation, mode);

  async function callWith(fault, n) {
    place.reset();
    const worker = faultyWorker({ injector, folder, watched: place.data, fault, n });
    const signal = AbortSignal.timeout(HANGS_AFTER_MS);
    const outcome = await operation.call(place.writer({ ...worker.options, signal }), place).then(
      (value) => ({ value }),
      (error) => ({ error }),
    );
    return { outcome, ...worker.report() };
  }

  const again = () => operation.call(place.writer(), place);

  return {
    place,
    operation,
    states,
    again,
    /** Every call that the operation makes when nothing happens. */
    calls: async () => (await callWith('none', 0)).calls,
    /** How many calls of the operation the fault could hit. */
    count: async (fault) => (await callWith(fault, 0)).counted,
    async runCase(fault, n) {
      const { outcome, calls, counted } = await callWith(fault, n);
      const call = calls[0];
      const killed = fault === 'kill' && call !== undefined;
      const findings = await judge({ place, operation, states, outcome, killed, again });
      if (outcome.error?.code === 'ABORTED') findings.push('a call ends: it was stopped after a minute');
      if (outcome.error?.code === 'WORKER_FAILED' && !killed)
        findings.push(`the worker answers: ${told(outcome.error)}`);
      if (fault === 'short' && outcome.error)
        findings.push(`a write that is cut short fails nothing: ${told(outcome.error)}`);
      if (!call && outcome.error) findings.push(`without a fault the call resolves: ${told(outcome.error)}`);
      return {
        fault,
        n,
        counted,
        hit: call && relative(place, call),
        ending: endingOf(outcome, killed),
        findings,
      };
    },
  };
}

function endingOf({ error }, killed) {
  if (!error) return 'resolved';
  return killed ? 'killed' : error.code;
}

/** The call, with paths as they are below the place. */
function relative(place, { name, path }) {
  return steady(`${name} ${path.replaceAll(`${place.data}/`, '').replaceAll(place.data, '.')}`);
}

module.exports = { openCases };
