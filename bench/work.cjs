'use strict';

// One round of the work itself: snapshots and restores, each beside its peer.

const { change, changedPages } = require('./database.cjs');
const { remove, run, sizeOf, timed } = require('./steps.cjs');

const CHANGED_SHARE = 0.01;

/** One round; every step starts warm, on a settled disk. */
async function measureWork(bench, round) {
  await measureFull(bench);
  await measureIncrements(bench, round);
  await measureRestores(bench, round);
}

async function measureFull({ samples, files, tools, freshRepository }) {
  for (const check of ['none', 'quick']) {
    const writer = freshRepository(files.live, { check });
    samples.add(`full.${check}.time`, await timed([files.live], () => writer.createSnapshot()));
    samples.add(`full.${check}.bytes`, sizeOf(files.repository));
  }
  if (!tools.sqlite3 || !tools.zstd) return;
  remove(files.backup, files.compressed);
  const time = await timed([files.live], async () => {
    await backUp(files);
    await run('zstd', ['-q', '-1', '-T2', files.backup, '-o', files.compressed]);
  });
  samples.add('full.peer.time', time);
  samples.add('full.peer.bytes', sizeOf(files.compressed));
  samples.add('zstd.ratio', sizeOf(files.backup) / sizeOf(files.compressed));
}

const backUp = (files) => run('sqlite3', [files.live, `.backup '${files.backup}'`]);

/** The repository holds the live database already; snapshots of 1 % changed, then of none. */
async function measureIncrements({ samples, files, tools, repository }, round) {
  for (const check of ['none', 'quick']) {
    const writer = repository(files.live, { check });
    remove(files.before);
    await run('cp', [files.live, files.before]);
    change(files.live, CHANGED_SHARE, round * 10 + (check === 'none' ? 1 : 2));
    const { changed, pages } = changedPages(files.before, files.live, files.changed);
    samples.add('changed.share', changed / pages);
    const stored = sizeOf(files.repository);
    const warmed = [files.live, files.repository];
    samples.add(`changed.${check}.time`, await timed(warmed, () => writer.createSnapshot()));
    samples.add(`changed.${check}.bytes`, sizeOf(files.repository) - stored);
    if (tools.zstd) {
      remove(files.compressed);
      await run('zstd', ['-q', '-1', files.changed, '-o', files.compressed]);
      samples.add(`changed.${check}.peerBytes`, sizeOf(files.compressed));
    }
    const storedThen = sizeOf(files.repository);
    samples.add(`unchanged.${check}.time`, await timed(warmed, () => writer.createSnapshot()));
    samples.add(`unchanged.${check}.bytes`, sizeOf(files.repository) - storedThen);
  }
  remove(files.before, files.changed);
  if (!tools.sqlite3 || !tools.sha256sum) return;
  remove(files.backup);
  const time = await timed([files.live], async () => {
    await backUp(files);
    await run('sha256sum', [files.backup]);
  });
  samples.add('changed.peer.time', time);
}

async function measureRestores({ samples, files, tools, repository }, round) {
  const name = `to restore ${round}`;
  await repository(files.live).createSnapshot(name);

  remove(files.restored);
  const elsewhere = repository(files.restored);
  const time = await timed([files.repository], () => elsewhere.restoreFromSnapshot(name));
  samples.add('restore.new.time', time);

  remove(files.restored);
  if (tools.cp && tools.sha256sum) {
    const peer = await timed([files.live], async () => {
      await run('cp', [files.live, files.restored]);
      await run('sha256sum', [files.restored]);
    });
    samples.add('restore.peer.time', peer);
  }
  remove(files.restored);

  for (const check of ['none', 'quick']) {
    change(files.live, CHANGED_SHARE, round * 10 + (check === 'none' ? 3 : 4));
    const writer = repository(files.live, { check });
    const warmed = [files.live, files.repository];
    const inPlace = await timed(warmed, () => writer.restoreFromSnapshot(name));
    samples.add(`restore.inPlace.${check}.time`, inPlace);
  }
}

module.exports = { measureWork };
