'use strict';

// Verdicts at a glance: a mark and, on a terminal, a colour.

const MARKS = { ok: '✓', warning: '!', critical: '✗' };
const ASCII = { ok: '+', warning: '!', critical: 'x' };
const COLOURS = { ok: '32', warning: '33', critical: '31' };

function mark(verdict) {
  return paint((isUtf8() ? MARKS : ASCII)[verdict], verdict);
}

/** The text in the colour of a verdict, where somebody sees it. NO_COLOR and dumb terminals are respected. */
function paint(text, verdict) {
  const hasColours = process.stdout.isTTY && process.stdout.hasColors();
  return hasColours ? `\x1b[${COLOURS[verdict]}m${text}\x1b[39m` : text;
}

/** As the C library decides: the first of these that is set. */
function isUtf8() {
  const locale = process.env.LC_ALL || process.env.LC_CTYPE || process.env.LANG || '';
  return /utf-?8/i.test(locale);
}

module.exports = { mark, paint };
