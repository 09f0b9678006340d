'use strict';

// Tables for people; the words in them are in ../words.js.

const { stripVTControlCharacters } = require('node:util');
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

/** Columns that a terminal needs for a table in which names have a column of their own. */
const ROOM_FOR_NAMES = 110;
/** Some of these take two columns of a terminal, the others one. */
const WIDE = /[\u1100-\u115f\u2329\u232a\u2e80-\u{10ffff}]|\p{Emoji_Presentation}/u;

const terminalColumns = () => process.stdout.columns || 80;

/** Whether names go on a line of their own. */
function isNarrow() {
  return Boolean(process.stdout.isTTY) && terminalColumns() < ROOM_FOR_NAMES;
}

/**
 * The widths of a table that fills the terminal: those of the first columns, and what is left for
 * the last one. None through a pipe, where every row stays on its line.
 */
function widthsWithRest(...widths) {
  if (!process.stdout.isTTY) return undefined;
  const taken = widths.reduce((sum, width) => sum + width + GAP.length, 0);
  return [...widths, Math.max(NARROWEST, terminalColumns() - taken)];
}

/**
 * Columns without lines or colour; `rightAligned` counts from 0. Long cells wrap at `widths`,
 * between words where that is possible; nothing is cut off.
 */
function table(head, rows, { rightAligned = [], widths } = {}) {
  const grid = new Table({
    head,
    chars: { ...NO_LINES, middle: GAP },
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 0 },
    colAligns: head.map((_, column) => (rightAligned.includes(column) ? 'right' : 'left')),
    ...(widths && { colWidths: widths, wordWrap: true }),
  });
  const fitting = (cell, column) => (widths ? broken(String(cell), widths[column]) : cell);
  grid.push(...rows.map((row) => row.map(fitting)));
  return trimLines(grid.toString());
}

/** Names and values below each other, the values aligned. */
function facts(pairs) {
  const width = Math.max(...pairs.map(([name]) => name.length));
  return table([], pairs, { widths: widthsWithRest(width) });
}

/** A text that a terminal does not break within words. */
function paragraph(text) {
  return table([], [[text]], { widths: widthsWithRest() });
}

/** A text whose words fit a column: the table wraps between words, and would cut long ones off. */
function broken(text, width) {
  return text.replace(/\S+/g, (word) => (columns(word) <= width ? word : pieces(word, width).join('\n')));
}

function pieces(word, width) {
  const all = [];
  let piece = '';
  for (const char of word) {
    if (piece !== '' && columns(piece + char) > width) {
      // A path breaks at a folder rather than within a name.
      const slash = piece.lastIndexOf('/') + 1;
      const end = slash > piece.length / 2 ? slash : piece.length;
      all.push(piece.slice(0, end));
      piece = piece.slice(end);
    }
    piece += char;
  }
  return [...all, piece];
}

/** Columns that a text takes, at the most. */
function columns(text) {
  const width = (char) => (WIDE.test(char) ? 2 : 1);
  return [...stripVTControlCharacters(text)].reduce((sum, char) => sum + width(char), 0);
}

function trimLines(text) {
  return text
    .split('\n')
    .map((line) => line.trimEnd())
    .join('\n');
}

module.exports = { ...words, table, isNarrow, widthsWithRest, facts, paragraph };
