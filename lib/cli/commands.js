'use strict';

// What each command does and how its outcome reads.

const { explainDatabase } = require('../config.js');
const { age, duration, facts, size, table, time, widthsWithRest } = require('./format.js');
const exitCodes = require('./exit-codes.js');

const moment = (date) => `${time(date)} (${age(date)} ago)`;

async function create({ writer, print }, name) {
  print(await writer.createSnapshot(name), created);
}

async function rescue({ writer, print }, name) {
  print(await writer.rescueDatabase(name), created);
}

function created({ snapshot, durationMs }) {
  return [
    `Created "${snapshot.name}" in ${duration(durationMs)}.`,
    facts([
      ['size', size(snapshot.size)],
      ['sha256', snapshot.checksum],
    ]),
  ].join('\n');
}

async function list({ writer, print, options }) {
  print(await writer.listSnapshots({ deleted: options.deleted }), (snapshots) => {
    if (snapshots.length === 0) return 'No snapshots.';
    const widths = widthsWithRest(16, 7, 7, 7);
    const rows = snapshots.map((snapshot) => [
      time(snapshot.createdAt),
      size(snapshot.size),
      size(snapshot.storedSize),
      place(snapshot),
      labelled(snapshot, widths?.at(-1) ?? Infinity),
    ]);
    return table(['CREATED', 'SIZE', 'STORED', 'TIER', 'NAME'], rows, { rightAligned: [1, 2], widths });
  });
}

/** Where a snapshot is complete; `pending` when it is not yet everywhere it should be. */
function place({ status, tiers }) {
  if (status === 'PENDING') return 'pending';
  return tiers.length === 2 ? 'both' : (tiers[0] ?? 'none');
}

/** The name, with whatever is unusual about the snapshot; on a line of its own where it does not fit. */
function labelled({ name, kind, status, isEmpty, pinned, deletedAt }, width) {
  const notes = [];
  if (kind !== 'snapshot') notes.push(kind);
  if (status === 'FAILED') notes.push('failed');
  if (isEmpty) notes.push('empty');
  if (pinned) notes.push('pinned');
  if (deletedAt) notes.push('in the trash');
  if (notes.length === 0) return name;
  const note = `(${notes.join(', ')})`;
  return `${name}${name.length + note.length < width ? ' ' : '\n'}${note}`;
}

async function show({ writer, print }, name) {
  print(await writer.getSnapshot(name), (snapshot) =>
    facts([
      ['name', snapshot.name],
      ['kind', snapshot.kind],
      ['status', snapshot.status],
      ['created', moment(snapshot.createdAt)],
      ['database', snapshot.databaseName],
      ['instance', snapshot.instance],
      ['size', `${size(snapshot.size)}${pages(snapshot)}`],
      ['stored', `${size(snapshot.storedSize)} added by this snapshot`],
      ['sha256', snapshot.checksum],
      ['pinned', snapshot.pinned ? 'yes' : 'no'],
      ['restored', snapshot.lastRestoredAt ? moment(snapshot.lastRestoredAt) : 'never'],
      ['id', snapshot.id],
      ['tier', `${snapshot.tiers.join(' and ') || 'none'}${pending(snapshot)}`],
      ['key', snapshot.s3Key],
    ]),
  );
}

const pages = ({ pageCount, pageSize }) =>
  pageCount === null ? '' : ` (${pageCount} pages of ${pageSize} bytes)`;

const pending = ({ status }) => (status === 'PENDING' ? '; not yet complete in the bucket: "sync"' : '');

async function verify({ writer, print, options }, name) {
  const result = await writer.verifySnapshot(name, { level: options.level, tier: options.tier });
  const indented = (lines) => lines.map((line) => `  ${line}`);
  print(result, ({ ok, level, problems, unjudged = [] }) =>
    [
      ok ? `"${name}" is good (level ${level}).` : `"${name}" has problems (level ${level}):`,
      ...indented(problems),
      ...(unjudged.length > 0 ? ['Not judged, or content against a rule of the schema; no damage:'] : []),
      ...indented(unjudged),
    ].join('\n'),
  );
  return result.ok ? exitCodes.OK : exitCodes.PROBLEMS;
}

async function restore({ writer, print, confirm, options }, name) {
  await confirm(async () => {
    const snapshot = await writer.getSnapshot(name);
    return [
      'What the database holds now is kept; "snapshot-writer undo" brings it back.',
      `Restore "${name}" of ${snapshot.databaseName ?? 'an old plain file'}, made ${moment(snapshot.createdAt)},`,
      `${size(snapshot.size)}, into ${explainDatabase(options)?.path ?? 'the database'}?`,
    ].join('\n');
  });
  const { tier, force, foreign } = options;
  print(await writer.restoreFromSnapshot(name, { tier, force, foreign }), restored);
}

async function undo({ writer, print, confirm }) {
  await confirm(() => 'Take the last restore back? The database becomes what it was before it.');
  print(await writer.undoRestore(), restored);
}

async function bootstrap({ writer, print, options }) {
  const result = await writer.bootstrapDatabase({ force: options.force });
  if (result.error) {
    throw Object.assign(new Error(result.error), { code: result.code });
  }
  const isEmpty = !result.bootstrapped && (await writer.isDatabaseEmpty());
  print(result, ({ bootstrapped, snapshot, passedOver = [] }) => {
    if (isEmpty) return 'The database is empty, and there is no snapshot to fill it from.';
    if (!bootstrapped) return 'The database is not empty; nothing was changed.';
    const filled = `Filled the empty database from "${snapshot.name}" of ${time(snapshot.timestamp)}.`;
    return [...passedOver.map((reason) => `passed over: ${reason}`), filled].join('\n');
  });
}

function restored({ snapshot, durationMs }) {
  return `Restored "${snapshot.name}" of ${time(snapshot.createdAt)} in ${duration(durationMs)}.`;
}

async function exportFile({ writer, print, options }, name, file) {
  print(await writer.exportSnapshot(name, file, { tier: options.tier }), (exported) =>
    facts([
      ['file', exported.path],
      ['size', size(exported.size)],
      ['sha256', exported.checksum],
    ]),
  );
}

async function remove({ writer, print, confirm }, name) {
  await confirm(async () => {
    const snapshot = await writer.getSnapshot(name);
    return `Delete "${name}" of ${moment(snapshot.createdAt)} for good?`;
  });
  print(
    await writer.deleteSnapshot(name),
    ({ freedBytes }) => `Deleted "${name}", ${size(freedBytes)} freed.`,
  );
}

module.exports = { create, rescue, list, show, verify, restore, undo, bootstrap, exportFile, remove };
