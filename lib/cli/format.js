'use strict';

// Numbers, times and tables for people.

const Table = require('cli-table3');

const UNITS = ['kB', 'MB', 'GB', 'TB', 'PB'];
const AGES = [
  ['s', 60],
  ['min', 60],
  ['h', 24],
  ['d', 365],
  ['y', Infinity],
];

/** Bytes in decimal units with three digits: `58.3 MB`. */
function size(bytes) {
  if (bytes < 1000) return `${bytes} B`;
  let value = bytes;
  let unit = -1;
  while (value >= 999.5 && unit < UNITS.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${value.toPrecision(3)} ${UNITS[unit]}`;
}

/** How long ago: `3 h`. */
function age(date, now = Date.now()) {
  let value = Math.max(0, (now - date.getTime()) / 1000);
  for (const [unit, limit] of AGES) {
    if (value < limit) return `${Math.floor(value)} ${unit}`;
    value /= limit;
  }
  return '';
}

/** Local time to the minute: `2026-01-02 03:04`. */
function time(date) {
  const two = (number) => String(number).padStart(2, '0');
  const day = [date.getFullYear(), two(date.getMonth() + 1), two(date.getDate())].join('-');
  return `${day} ${two(date.getHours())}:${two(date.getMinutes())}`;
}

function duration(milliseconds) {
  return milliseconds < 1000 ? `${milliseconds} ms` : `${(milliseconds / 1000).toFixed(1)} s`;
}

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

module.exports = { size, age, time, duration, table, widthsWithRest, facts };
