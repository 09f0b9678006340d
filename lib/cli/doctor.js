'use strict';

// The diagnosis as a screen.

const { count, table, widthsWithRest } = require('./format.js');
const exitCodes = require('./exit-codes.js');
const { mark, paint } = require('./marks.js');

/** In the words of the marks; what is unknown has none of them. */
const MARKS = { ok: 'ok', warning: 'warning', problem: 'critical' };
/** What the headline counts. */
const PLURALS = { problem: 'problems', warning: 'warnings', unknown: 'unknown' };

async function doctor({ writer, print }) {
  const diagnosis = await writer.doctor();
  print(diagnosis, describe);
  return diagnosis.ok ? exitCodes.OK : exitCodes.PROBLEMS;
}

function describe({ verdict, findings }) {
  const nameWidth = Math.max(...findings.map(({ check }) => check.length));
  const widths = widthsWithRest(1, nameWidth);
  const rows = findings.map(({ check, verdict: how, finding, advice }) => [
    how in MARKS ? mark(MARKS[how]) : '?',
    check,
    // Below what it is about; the arrow tells the two apart.
    advice === null ? finding : `${finding}\n-> ${advice}`,
  ]);
  return [headline(verdict, findings), table(['', 'CHECK', 'FINDING'], rows, { widths })].join('\n\n');
}

function headline(verdict, findings) {
  const number = (how) => findings.filter((finding) => finding.verdict === how).length;
  const found = Object.entries(PLURALS)
    .filter(([how]) => number(how) > 0)
    .map(([how, plural]) => count(number(how), how, plural));
  const text = found.length === 0 ? 'Everything is in order.' : `Found ${found.join(', ')}.`;
  return paint(text, MARKS[verdict] ?? 'warning');
}

module.exports = { doctor };
