'use strict';

// Turns samples into the table and the notes, for the terminal and for results.md.

const Table = require('cli-table3');
const { PEER_LIMIT_MS } = require('./writers.cjs');
const { median } = require('./samples.cjs');
const { rows } = require('./rows.cjs');

const HEAD = ['work', 'ours', 'peer', 'measured against', 'ratio (range)', 'target', 'met'];

const digits = (value) => value.toFixed(value < 10 ? 2 : value < 100 ? 1 : 0);
const formats = {
  ms: (value) => (value >= 1000 ? `${digits(value / 1000)} s` : `${digits(value)} ms`),
  bytes: (value) =>
    Math.abs(value) >= 1 << 20 ? `${digits(value / 2 ** 20)} MB` : `${digits(value / 2 ** 10)} KB`,
  share: (value) => `${digits(value * 100)} %`,
};

/** A snapshot that was given up meets no target, whatever was measured meanwhile. */
function verdict(samples, row, seen) {
  if (row.rejected && samples.all(row.rejected).length > 0) return 'no (rejected)';
  if (row.peer && seen.peer === undefined) return '?';
  return row.target.check(seen) ? 'yes' : 'no';
}

/** The cells of a row; `null` when it was not measured at all. */
function cells(samples, row) {
  const ours = samples.median(row.ours);
  if (ours === undefined) return null;
  const peer = row.peer && samples.median(row.peer);
  const known = peer !== undefined;
  const ratios = row.unit === 'share' || !known ? [] : samples.ratios(row.ours, row.peer);
  const ratio = median(ratios);
  const met = row.target && verdict(samples, row, { ours, peer, ratio });
  return [
    row.work,
    formats[row.unit](ours),
    known ? formats[row.unit](peer) : '–',
    row.peerName ?? '–',
    ratio === undefined
      ? '–'
      : `${digits(ratio)} (${digits(Math.min(...ratios))}–${digits(Math.max(...ratios))})`,
    row.target?.text ?? '–',
    met ?? '–',
  ];
}

const table = (samples) => rows.map((row) => cells(samples, row)).filter((row) => row !== null);

function printTable(title, samples) {
  const printed = new Table({ head: HEAD, style: { head: [], border: [] } });
  printed.push(...table(samples));
  process.stdout.write(`\n${title}\n${printed}\n`);
}

function markdownTable(samples) {
  const line = (columns) => `| ${columns.join(' | ')} |`;
  return [line(HEAD), line(HEAD.map(() => '---')), ...table(samples).map(line)].join('\n');
}

/** What the numbers of one size do not say themselves. */
function remarks(samples) {
  const lines = [
    `\`zstd -1\` shrinks this database by ${digits(samples.median('zstd.ratio') ?? NaN)} ×; ` +
      `pages that differed for "1 % changed": ${formats.share(samples.median('changed.share') ?? NaN)}.`,
  ];
  for (const [mode, label] of [
    ['wal', 'WAL'],
    ['delete', 'rollback'],
  ]) {
    const patient = `writer.${mode}.patient`;
    const took = samples.median(`${patient}.ours.duration`);
    if (took === undefined) continue;
    const impatient = formats.ms(samples.median(`writer.${mode}.impatient.ours.duration`));
    lines.push(
      `Snapshot beside a writer, ${label}: ${formats.ms(took)} (busy_timeout 5000), ${impatient} (busy_timeout 0); ` +
        `median ${digits(samples.median(`${patient}.ours.commits`))} commits meanwhile.`,
    );
    for (const [name, timeout] of [
      ['patient', 5000],
      ['impatient', 0],
    ]) {
      const codes = samples.all(`writer.${mode}.${name}.ours.rejected`);
      if (codes.length === 0) continue;
      lines.push(
        `Snapshot beside a writer with busy_timeout ${timeout}, ${label}: rejected with ${[...new Set(codes)].join(', ')} in ${codes.length} of ${samples.all(`${patient}.ours.longest`).length} rounds.`,
      );
    }
    const peerTook = samples.median(`${patient}.backup.duration`);
    if (peerTook === undefined) continue;
    const rounds = samples.all(`${patient}.backup.duration`).length;
    const unfinished = samples.all(`${patient}.backup.unfinished`).length;
    lines.push(
      `\`.backup\` beside the same writer, ${label}: ` +
        (unfinished
          ? `not finished when stopped after ${formats.ms(PEER_LIMIT_MS)}, in ${unfinished} of ${rounds} rounds (it starts over at every commit).`
          : `${formats.ms(peerTook)}.`),
    );
  }
  const longest = ['idle', 'snapshot', 'backup'].map((work) => samples.median(`application.${work}.longest`));
  if (longest.every((value) => value !== undefined)) {
    const [idle, snapshot, backup] = longest.map(formats.ms);
    lines.push(
      `Longest event-loop delay: idle ${idle}, during a snapshot ${snapshot}, during better-sqlite3's \`.backup()\` ${backup}.`,
    );
  }
  return lines;
}

const list = (lines) => lines.map((line) => `- ${line}`).join('\n');

/** One size, as a section of the report. */
function section({ megabytes, rounds, load, samples }) {
  const title = `## ${megabytes} MB, ${rounds} rounds`;
  const [before, after] = load.map((value) => value.toFixed(1));
  const busy = `Measured on ${today()}; load average ${before} before, ${after} after.`;
  return `${title}\n\n${markdownTable(samples)}\n\n${list([busy, ...remarks(samples)])}\n`;
}

/** Sections of an earlier report whose sizes were not measured now: size → text. */
function earlierSections(report) {
  const sections = report.split(/^(?=## )/m).slice(1);
  const sized = sections.map((text) => [Number(/^## (\d+) MB/.exec(text)?.[1]), `${text.trimEnd()}\n`]);
  return sized.filter(([megabytes]) => megabytes > 0);
}

/** The report: sizes measured now, beside the sections of `earlier` for other sizes. */
function markdown(facts, notes, sizes, earlier) {
  const bySize = new Map([
    ...earlierSections(earlier),
    ...sizes.map((size) => [size.megabytes, section(size)]),
  ]);
  const sections = [...bySize].sort(([a], [b]) => a - b).map(([, text]) => text);
  const intro = 'Written by `npm run bench`; do not edit. A run replaces the sizes that it measures.';
  return `# Benchmark\n\n${intro}\n\n${list(facts)}\n\n${sections.join('\n')}\n## Notes\n\n${list(notes)}\n`;
}

const today = () => new Date().toISOString().slice(0, 10);

module.exports = { markdown, printTable, remarks };
