'use strict';

// What a command prints, without a process: on a writer of the test's own, on a terminal of any width.

/** Runs one command on a writer that has these methods; resolves with its text and exit code. */
async function run(command, writer, options = {}, ...args) {
  let text;
  const print = (value, describe) => {
    text = describe(value);
  };
  const exitCode = await command({ writer, options, print, confirm: async () => {} }, ...args);
  return { text, exitCode };
}

/** As if standard output were a terminal of that width. */
async function onTerminal(columns, action, { colours = false } = {}) {
  const { isTTY, columns: before, hasColors } = process.stdout;
  Object.assign(process.stdout, { isTTY: true, columns, hasColors: () => colours });
  try {
    return await action();
  } finally {
    Object.assign(process.stdout, { isTTY, columns: before, hasColors });
  }
}

/** Columns of the widest line, colours aside. */
function width(text) {
  // eslint-disable-next-line no-control-regex
  const lines = text.replace(/\x1b\[\d+m/g, '').split('\n');
  return Math.max(...lines.map((line) => line.length));
}

/** The text without line breaks and margins, in which a word is whole that went over several lines. */
function joined(text) {
  return text
    .split('\n')
    .map((line) => line.trim())
    .join('');
}

module.exports = { run, onTerminal, width, joined };
