'use strict';

// Tables for people; the words in them are in ../words.js.

const Table = require('cli-table3');
const words = require('../words.js');

const GAP = '  ';
const NARROWEST = 20;

const NO_LINES = Object.fromEntries(
  [
    ...['top', 'top-mid', 'top-left', 'top-right', 'bottom', 'bottom-mid', 'bottom-left', 'bottom-right'],
    ...['left', 'left-mid', 'mid', 'mid-mid', 'right', 'right-mid'],
  ].map((part) => [part, '']),
);

/**
 * The widths of a table that fills the terminal: those of the first columns, and what is left for
 * the last one. None through a pipe, where every row stays on its line.
 */
function widthsWithRest(...widths) {
  if (!process.stdout.isTTY) return undefined;
  const taken = widths.reduce((sum, width) => sum + width + GAP.length, 0);
  return [...widths, Math.max(NARROWEST, (process.stdout.columns || 80) - taken)];
}

/**
 * Columns without lines or colour; `rightAligned` counts from 0. Long cells wrap at `widths`,
 * anywhere or, with `prose`, between words.
 */
function table(head, rows, { rightAligned = [], widths, prose = false } = {}) {
  const grid = new Table({
    head,
    chars: { ...NO_LINES, middle: GAP },
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 0 },
    colAligns: head.map((_, column) => (rightAligned.includes(column) ? 'right' : 'left')),
    ...(widths && { colWidths: widths, wordWrap: true, wrapOnWordBoundary: prose }),
  });
  grid.push(...rows);
  return trimLines(grid.toString());
}

/** Names and values below each other, the values aligned. */
function facts(pairs) {
  const width = Math.max(...pairs.map(([name]) => name.length));
  return pairs.map(([name, value]) => `${name.padEnd(width)}  ${value}`).join('\n');
}

function trimLines(text) {
  return text
    .split('\n')
    .map((line) => line.trimEnd())
    .join('\n');
}

module.exports = { ...words, table, widthsWithRest, facts };
