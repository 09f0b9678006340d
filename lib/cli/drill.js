'use strict';

// The commands about restore drills.

const { age, duration, facts, isNarrow, table, time, widthsWithRest } = require('./format.js');
const exitCodes = require('./exit-codes.js');
const { mark, paint } = require('./marks.js');

const EXIT_CODES = { passed: exitCodes.OK, inconclusive: exitCodes.FAILED, failed: exitCodes.PROBLEMS };
/** In the words of the marks. */
const VERDICTS = { passed: 'ok', inconclusive: 'warning', failed: 'critical' };
const WORDS = { passed: 'ok', inconclusive: 'unknown', failed: 'FAILED' };
const PLACES = { local: 'the local repository alone', s3: 'the bucket alone' };
const BOTH = 'the local repository, and the bucket for what is missing there';
/** Longer names of checks wrap. */
const WIDEST_NAME = 28;

async function drill({ writer, print, options }, name) {
  const { tier, assertions: assertionsFile, maxDrift } = options;
  const report = await writer.drill({ name, tier, assertionsFile, maxDrift });
  print(report, () => describe(report, writer.s3Bucket));
  return EXIT_CODES[report.outcome];
}

function describe(report, bucket) {
  return [
    `${paint(report.outcome.toUpperCase(), VERDICTS[report.outcome])}  ${headline(report)}`,
    facts([
      ['snapshot', report.snapshot ? `${report.snapshot.name}, ${time(report.snapshot.createdAt)}` : 'none'],
      ['read from', PLACES[report.tier] ?? (bucket ? BOTH : 'the local repository')],
      [
        'recovery',
        report.rtoMs === null ? 'not measured' : `${duration(report.rtoMs)} until the database is back`,
      ],
      [
        'data loss',
        report.rpoMs === null ? 'not known' : `what was written in the last ${span(report.rpoMs)}`,
      ],
    ]),
    checkTable(report.checks),
  ].join('\n\n');
}

function headline({ outcome, checks }) {
  const failed = checks.filter((check) => check.outcome === 'failed').length;
  if (outcome === 'failed') return `${failed} of ${checks.length} checks failed.`;
  if (outcome === 'inconclusive') return 'The drill could not be carried out; nothing is known.';
  return 'This snapshot brings the database back.';
}

function checkTable(checks) {
  const rows = checks.map(({ name, outcome, detail }) => [
    mark(VERDICTS[outcome]),
    name,
    paint(WORDS[outcome], VERDICTS[outcome]),
    detail,
  ]);
  const nameWidth = Math.min(WIDEST_NAME, Math.max(...checks.map(({ name }) => name.length)));
  return table(['', 'CHECK', 'RESULT', 'DETAIL'], rows, {
    widths: widthsWithRest(1, nameWidth, 7),
  });
}

async function drills({ writer, print }) {
  print(await writer.drills(), (history) => {
    if (history.length === 0) return 'No restore drill yet. "snapshot-writer drill" makes one.';
    return isNarrow() ? narrowHistory(history) : wideHistory(history);
  });
}

function wideHistory(history) {
  const rows = history.map(({ at, outcome, tier, rtoMs, rpoMs, snapshot, reason }) => [
    time(at),
    paint(outcome, VERDICTS[outcome]),
    tier ?? 'both',
    rtoMs === null ? '-' : duration(rtoMs),
    rpoMs === null ? '-' : span(rpoMs),
    [snapshot?.name, reason].filter(Boolean).join(': '),
  ]);
  return table(['WHEN', 'OUTCOME', 'TIER', 'RECOVERY', 'LOSS', 'SNAPSHOT'], rows, {
    rightAligned: [3, 4],
    widths: widthsWithRest(16, 12, 5, 8, 6),
  });
}

/** Each drill in a few lines: a name that is cut in two cannot be told from the one above it. */
function narrowHistory(history) {
  const rows = history.map(({ at, outcome, tier, rtoMs, rpoMs, snapshot, reason }) => {
    const figures = [
      `tier ${tier ?? 'both'}`,
      rtoMs !== null && `recovery ${duration(rtoMs)}`,
      rpoMs !== null && `loss ${span(rpoMs)}`,
    ];
    const lines = [snapshot?.name, figures.filter(Boolean).join(', '), reason];
    return [time(at), paint(outcome, VERDICTS[outcome]), lines.filter(Boolean).join('\n')];
  });
  return table(['WHEN', 'OUTCOME', 'SNAPSHOT'], rows, { widths: widthsWithRest(16, 12) });
}

const span = (milliseconds) => age(new Date(0), milliseconds);

module.exports = { drill, drills };
