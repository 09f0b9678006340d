'use strict';

// What `prune` and its companions do and how their outcome reads.

const { InvalidArgumentError, Option } = require('commander');
const exitCodes = require('./exit-codes.js');
const { isNarrow, paragraph, size, table, time, widthsWithRest } = require('./format.js');

const LONGEST_NAME = 36;

const RULES = {
  '--keep-last <n>': 'the last n snapshots',
  '--keep-hourly <n>': 'the newest one of each of the last n hours (UTC) that have any',
  '--keep-daily <n>': 'likewise of days',
  '--keep-weekly <n>': 'likewise of weeks',
  '--keep-monthly <n>': 'likewise of months',
  '--keep-yearly <n>': 'likewise of years',
};

/** Adds the options of `prune` to its command. */
function withRules(command) {
  for (const [flags, description] of Object.entries(RULES)) {
    command.addOption(new Option(flags, description).argParser(wholeNumber));
  }
  return command.option('--keep-within <duration>', 'all within 36h, 7d, 2w, 6m or 1y of the newest one');
}

function wholeNumber(text) {
  if (!/^-?\d{1,15}$/.test(text)) throw new InvalidArgumentError('It is no whole number.');
  return Number(text);
}

async function prune({ writer, print, options }) {
  const { keepLast, keepHourly, keepDaily, keepWeekly, keepMonthly, keepYearly, keepWithin } = options;
  const policy = { keepLast, keepHourly, keepDaily, keepWeekly, keepMonthly, keepYearly, keepWithin };
  const { tier, dryRun, now } = options;
  const result = await writer.prune({ ...policy, tier, dryRun, now });
  print(result, describe);
  return result.bucketFailure === null ? exitCodes.OK : exitCodes.FAILED;
}

function describe(result) {
  const { kept, removed, collapse, bucketFailure } = result;
  if (kept.length + removed.length === 0) return 'No snapshots of this database.';
  return [
    lines(result),
    summary(result),
    collapse &&
      paragraph(
        `Nothing from before a loss of content is removed: ${collapse.reason}.\n` +
          'If that is as it should be, run "snapshot-writer acknowledge".',
      ),
    bucketFailure && paragraph(`The bucket was left out (${bucketFailure.code}): ${bucketFailure.message}.`),
  ]
    .filter(Boolean)
    .join('\n\n');
}

/** A line for each snapshot, newest first: what becomes of it, and why. */
function lines({ kept, removed }) {
  const all = [
    ...kept.map((line) => ({ ...line, what: 'keep' })),
    ...removed.map((line) => ({ ...line, what: 'remove' })),
  ].sort((one, other) => one.place - other.place);
  const narrow = isNarrow();
  const rows = all.map(({ createdAt, what, name, reasons }) => {
    const why = reasons.join('; ');
    return [time(createdAt), what, ...(narrow ? [`${name}\n${why}`] : [name, why])];
  });
  if (narrow) {
    return table(['CREATED', 'WHAT', 'NAME AND WHY'], rows, { widths: widthsWithRest(16, 6) });
  }
  const name = Math.min(LONGEST_NAME, Math.max(...all.map((line) => line.name.length)));
  const widths = widthsWithRest(16, 6, name);
  return table(['CREATED', 'WHAT', 'NAME', 'WHY'], rows, { widths });
}

function summary({ dryRun, kept, removed, swept, freedBytes, repacked }) {
  const counts = `${kept.length} to keep, ${removed.length} to remove`;
  if (dryRun) return `${counts}, ${swept.length} in the trash to delete for good. Nothing was changed.`;
  return [
    `${kept.length} kept, ${removed.length} removed.`,
    removed.some(({ name }) => !swept.includes(name)) &&
      'Until its grace is over, "snapshot-writer undelete <name>" brings one back.',
    swept.length > 0 && `Deleted for good: ${swept.join(', ')}.`,
    repacked && `Repacked ${repacked.packsBefore} packs into ${repacked.packsAfter}.`,
    freedBytes > 0 && `Freed ${size(freedBytes)}.`,
  ]
    .filter(Boolean)
    .join('\n');
}

async function pin({ writer, print }, name) {
  print(await writer.pinSnapshot(name), () => `Pinned "${name}": neither prune nor delete removes it.`);
}

async function unpin({ writer, print }, name) {
  print(await writer.unpinSnapshot(name), () => `"${name}" is no longer pinned.`);
}

async function undelete({ writer, print }, name) {
  print(await writer.undelete(name), () => `Brought "${name}" back.`);
}

async function acknowledge({ writer, print }) {
  print(await writer.acknowledge(), ({ acknowledged }) =>
    acknowledged
      ? `Acknowledged: ${acknowledged.reason}.\nWhat came before it may be pruned again.`
      : 'There is nothing to acknowledge.',
  );
}

module.exports = { withRules, prune, pin, unpin, undelete, acknowledge };
