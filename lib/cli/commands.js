'use strict';

// What each command does and how its outcome reads.

const { age, duration, facts, size, table, time } = require('./format.js');
const exitCodes = require('./exit-codes.js');

const moment = (date) => `${time(date)} (${age(date)} ago)`;

// 80 columns less those of time, age, size and stored size, and of the gaps.
const NAME_WIDTH = 36;

async function create({ writer, print }, name) {
  print(await writer.createSnapshot(name), ({ snapshot, durationMs }) =>
    [
      `Created "${snapshot.name}" in ${duration(durationMs)}.`,
      facts([
        ['size', size(snapshot.size)],
        ['sha256', snapshot.checksum],
      ]),
    ].join('\n'),
  );
}

async function list({ writer, print }) {
  print(await writer.listSnapshots(), (snapshots) => {
    if (snapshots.length === 0) return 'No snapshots.';
    // Through a pipe a name stays on its line, however long.
    const nameWidth = process.stdout.isTTY ? NAME_WIDTH : Infinity;
    const widths = process.stdout.isTTY ? [16, 6, 7, 7, NAME_WIDTH] : undefined;
    const rows = snapshots.map((snapshot) => [
      time(snapshot.createdAt),
      age(snapshot.createdAt),
      size(snapshot.size),
      size(snapshot.storedSize),
      labelled(snapshot, nameWidth),
    ]);
    return table(['CREATED', 'AGE', 'SIZE', 'STORED', 'NAME'], rows, { rightAligned: [1, 2, 3], widths });
  });
}

/** The name, with whatever is unusual about the snapshot; on a line of its own where it does not fit. */
function labelled({ name, kind, status, isEmpty }, width) {
  const notes = [];
  if (kind !== 'snapshot') notes.push(kind);
  if (status !== 'COMPLETED') notes.push(status.toLowerCase());
  if (isEmpty) notes.push('empty');
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
      ['size', `${size(snapshot.size)} (${snapshot.pageCount} pages of ${snapshot.pageSize} bytes)`],
      ['stored', `${size(snapshot.storedSize)} added by this snapshot`],
      ['sha256', snapshot.checksum],
      ['restored', snapshot.lastRestoredAt ? moment(snapshot.lastRestoredAt) : 'never'],
      ['id', snapshot.id],
      ['file', snapshot.s3Key],
    ]),
  );
}

async function verify({ writer, print, options }, name) {
  const result = await writer.verifySnapshot(name, { level: options.level });
  print(result, ({ ok, level, problems }) =>
    ok
      ? `"${name}" is good (level ${level}).`
      : [`"${name}" has problems (level ${level}):`, ...problems.map((problem) => `  ${problem}`)].join('\n'),
  );
  return result.ok ? exitCodes.OK : exitCodes.PROBLEMS;
}

async function restore({ writer, print, confirm }, name) {
  await confirm(async () => {
    const snapshot = await writer.getSnapshot(name);
    return [
      'What the database holds now is kept; "snapshot-writer undo" brings it back.',
      `Restore "${name}" of ${moment(snapshot.createdAt)}, ${size(snapshot.size)}?`,
    ].join('\n');
  });
  print(await writer.restoreFromSnapshot(name), restored);
}

async function undo({ writer, print, confirm }) {
  await confirm(() => 'Take the last restore back? The database becomes what it was before it.');
  print(await writer.undoRestore(), restored);
}

function restored({ snapshot, durationMs }) {
  return `Restored "${snapshot.name}" of ${time(snapshot.createdAt)} in ${duration(durationMs)}.`;
}

async function exportFile({ writer, print }, name, file) {
  print(await writer.exportSnapshot(name, file), (exported) =>
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

async function status({ writer, print }) {
  print(await writer.status(), (now) =>
    facts([
      ['database', now.databasePath ?? 'not configured'],
      ['repository', now.snapshotDir],
      ['snapshots', String(now.snapshots)],
      ['stored', size(now.storedBytes)],
      ['latest', now.latest ? `${now.latest.name}, ${moment(now.latest.createdAt)}` : 'none'],
      ['restore', now.unfinishedRestore ? 'unfinished: the next operation completes it' : 'none under way'],
    ]),
  );
}

module.exports = { create, list, show, verify, restore, undo, exportFile, remove, status };
