'use strict';

// The commands for a Prisma project.

const { init } = require('../prisma/init.js');
const exitCodes = require('./exit-codes.js');
const { facts } = require('./format.js');

async function prismaInit({ print, options, signal, log }) {
  const result = await init(options, { signal, log });
  print(result, describe);
  return result.ok ? exitCodes.OK : exitCodes.PROBLEMS;
}

function describe(result) {
  const isIdle = result.model === 'present' && result.migration === 'present' && result.next.length === 0;
  return [
    facts([
      ['schema', result.schema],
      ['model', `${result.model} (${result.modelFile})`],
      ['migration', `${result.migration} (${result.migrationPath})`],
      ['database', databaseLine(result.database)],
    ]),
    ...result.problems.map(block),
    ...result.notes.map(wrapped),
    ...result.next.map(block),
    conclusion(result, isIdle),
  ]
    .filter(Boolean)
    .join('\n\n');
}

function databaseLine({ path, exists, reason }) {
  if (reason !== null) return `not looked at: ${reason}`;
  return exists ? path : `${path} (does not exist yet)`;
}

const indented = (lines = []) => lines.map((line) => `  ${line}`);

/** Between words, at the width of the terminal; through a pipe every sentence stays on its line. */
function wrapped(text) {
  if (text === undefined || !process.stdout.isTTY) return text;
  const width = process.stdout.columns || 80;
  const lines = [''];
  for (const word of text.split(' ')) {
    const longer = `${lines.at(-1)} ${word}`.trimStart();
    if (longer.length <= width) lines[lines.length - 1] = longer;
    else lines.push(word);
  }
  return lines.join('\n');
}

const block = ({ title, why, diff, commands }) =>
  [wrapped(title), wrapped(why), ...indented(diff), ...indented(commands)].filter(Boolean).join('\n');

function conclusion({ ok, dryRun }, isIdle) {
  if (!ok) return 'Nothing was written. Run this again afterwards.';
  if (isIdle) return 'Nothing to do.';
  return dryRun ? 'Nothing was written: this was a dry run.' : '';
}

module.exports = { prismaInit };
