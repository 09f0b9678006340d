'use strict';

// The diagnosis as a screen.

const { table, widthsWithRest } = require('./format.js');
const exitCodes = require('./exit-codes.js');
const { mark, paint } = require('./marks.js');

/** In the words of the marks; what is unknown has none of them. */
const MARKS = { ok: 'ok', warning: 'warning', problem: 'critical' };

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
  return [headline(verdict, findings), table(['', 'CHECK', 'FINDING'], rows, { widths, prose: true })].join(
    '\n\n',
  );
}

function headline(verdict, findings) {
  const count = (how, noun) => {
    const number = findings.filter((finding) => finding.verdict === how).length;
    return number === 0 ? [] : [`${number} ${noun}${number === 1 ? '' : 's'}`];
  };
  const found = [
    ...count('problem', 'problem'),
    ...count('warning', 'warning'),
    ...count('unknown', 'unknown'),
  ];
  const text =
    found.length === 0
      ? 'Everything is in order.'
      : `Found ${found.join(', ').replace(/unknowns$/, 'unknown')}.`;
  return paint(text, MARKS[verdict] ?? 'warning');
}

module.exports = { doctor };
