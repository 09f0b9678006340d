'use strict';

// A finding: what was looked at, how it is, what was seen, and what is to be done.

const VERDICTS = ['ok', 'unknown', 'warning', 'problem'];

const as =
  (verdict) =>
  (check, finding, advice = null) => ({ check, verdict, finding, advice });

const ok = as('ok');
const warning = as('warning');
const problem = as('problem');
/** It could not be looked at; the finding says why. */
const unknown = as('unknown');

/** The worst of the verdicts. */
function worst(findings) {
  return VERDICTS[Math.max(0, ...findings.map(({ verdict }) => VERDICTS.indexOf(verdict)))];
}

/**
 * What `judge` makes of a fact of the worker, or that it is unknown and why: `{ value }` or
 * `{ error }`, undefined when the worker has not told it.
 */
function judged(check, fact, judge) {
  if (fact === undefined) return unknown(check, 'The worker that looks at it could not be run.');
  return fact.error ? unknown(check, sentence(fact.error.message)) : judge(fact.value);
}

/** A text of the engine as a sentence. */
function sentence(text) {
  const trimmed = text.trim();
  const ended = /[.!?]$/.test(trimmed) ? trimmed : `${trimmed}.`;
  return ended[0].toUpperCase() + ended.slice(1);
}

/** `a, b and c`. */
function list(words) {
  return words.length < 2 ? words.join() : `${words.slice(0, -1).join(', ')} and ${words.at(-1)}`;
}

module.exports = { ok, warning, problem, unknown, worst, judged, sentence, list };
