'use strict';

// The commands that monitors and the people behind them use.

const { age, facts, size, table, time, widthsWithRest } = require('./format.js');
const exitCodes = require('./exit-codes.js');
const { paint, mark } = require('./marks.js');

const HEADLINES = {
  ok: 'Everything is in order.',
  warning: 'There are warnings.',
  critical: 'Something needs to be done.',
};

async function status({ writer, print }) {
  const now = await writer.status();
  print(now, describe);
  return now.healthy ? exitCodes.OK : exitCodes.PROBLEMS;
}

function describe(now) {
  return [paint(HEADLINES[now.verdict], now.verdict), checkTable(now.checks), summary(now)].join('\n\n');
}

function checkTable(checks) {
  const nameWidth = Math.max(...checks.map(({ name }) => name.length));
  const rows = checks.map(({ name, verdict, reason }) => [mark(verdict), name, reason]);
  return table(['', 'CHECK', 'FINDING'], rows, { widths: widthsWithRest(1, nameWidth) });
}

function summary(now) {
  const { latest } = now;
  return facts([
    ['database', now.databasePath ?? 'not configured'],
    ['repository', now.snapshotDir],
    ['bucket', now.bucket ?? 'none, S3 is off'],
    ['snapshots', `${now.snapshots}, ${size(now.storedBytes)} stored here`],
    ['latest', latest ? `${latest.name}, ${time(latest.createdAt)} (${age(latest.createdAt)} ago)` : 'none'],
  ]);
}

async function metrics({ writer, print }) {
  print(await writer.metrics(), (text) => text.trimEnd());
}

module.exports = { status, metrics };
