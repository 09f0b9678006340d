'use strict';

// The rows of the table: which numbers, against which peer, to which target (docs/design.md).

const BACKUP_SUM = '`.backup` + `sha256sum`';
const BACKUP_ZSTD = '`.backup` + `zstd -1 -T2`';
const CP_SUM = '`cp` + `sha256sum`';
const KB = 1024;
const MB = 1024 * 1024;

/** A target: `check` gets ours, the peer's and the ratio, all medians. */
const atMost = (limit) => ({ text: `≤ ${limit} ×`, check: ({ ratio }) => ratio <= limit });
const below = (limit, text) => ({ text: `< ${text}`, check: ({ ours }) => ours < limit });

const ours = (name) => `${name}.ours`;

function writerRows(mode, label) {
  const patient = `writer.${mode}.patient`;
  const impatient = `writer.${mode}.impatient`;
  const wal = mode === 'wal';
  const against = (peer, peerName, target) => ({
    work: `longest commit delay, ${label}`,
    unit: 'ms',
    ours: `${ours(patient)}.longest`,
    rejected: `${ours(patient)}.rejected`,
    peer: `${patient}.${peer}.longest`,
    peerName,
    target,
  });
  return [
    against('idle', 'idle', wal ? { ...atMost(1), text: 'no worse than idle' } : undefined),
    against('backup', 'during `.backup`', wal ? undefined : atMost(0.3)),
    against('vacuum', 'during `VACUUM INTO`'),
    {
      work: `writes that fail with busy_timeout 0, ${label}`,
      unit: 'share',
      ours: `${ours(impatient)}.failed`,
      rejected: `${ours(impatient)}.rejected`,
      peer: `${impatient}.idle.failed`,
      peerName: 'idle',
      target: wal
        ? { text: 'none more', check: (seen) => seen.ours <= seen.peer }
        : { text: '≤ 10 %', check: (seen) => seen.ours <= 0.1 },
    },
  ];
}

const checks = (row) => [row('quick', ''), { ...row('none', ", `check: 'none'`"), target: undefined }];

const rows = [
  ...checks((check, suffix) => ({
    work: `first full snapshot${suffix}`,
    unit: 'ms',
    ours: `full.${check}.time`,
    peer: 'full.peer.time',
    peerName: BACKUP_ZSTD,
    target: atMost(0.6),
  })),
  {
    work: 'its bytes',
    unit: 'bytes',
    ours: 'full.quick.bytes',
    peer: 'full.peer.bytes',
    peerName: 'zstd file',
    target: atMost(1.05),
  },
  ...checks((check, suffix) => ({
    work: `snapshot, 1 % changed${suffix}`,
    unit: 'ms',
    ours: `changed.${check}.time`,
    peer: 'changed.peer.time',
    peerName: BACKUP_SUM,
    target: atMost(0.25),
  })),
  {
    work: 'its bytes',
    unit: 'bytes',
    ours: 'changed.quick.bytes',
    peer: 'changed.quick.peerBytes',
    peerName: '`zstd -1` of the pages',
    target: atMost(1.2),
  },
  ...checks((check, suffix) => ({
    work: `snapshot, unchanged${suffix}`,
    unit: 'ms',
    ours: `unchanged.${check}.time`,
    peer: 'changed.peer.time',
    peerName: BACKUP_SUM,
    target: atMost(0.2),
  })),
  { work: 'its bytes', unit: 'bytes', ours: 'unchanged.quick.bytes', target: below(64 * KB, '64 KB') },
  {
    work: 'restore to a new file',
    unit: 'ms',
    ours: 'restore.new.time',
    peer: 'restore.peer.time',
    peerName: CP_SUM,
    target: atMost(0.6),
  },
  ...checks((check, suffix) => ({
    work: `restore in place, 1 % different${suffix}`,
    unit: 'ms',
    ours: `restore.inPlace.${check}.time`,
    peer: 'restore.peer.time',
    peerName: CP_SUM,
    target: atMost(0.3),
  })),
  ...writerRows('wal', 'WAL'),
  ...writerRows('delete', 'rollback'),
  {
    work: 'event-loop delay (p99)',
    unit: 'ms',
    ours: 'application.snapshot.p99',
    peer: 'application.idle.p99',
    peerName: 'idle',
    target: { text: '≤ idle + 5 ms', check: (seen) => seen.ours <= seen.peer + 5 },
  },
  {
    work: 'event-loop delay (p99)',
    unit: 'ms',
    ours: 'application.snapshot.p99',
    peer: 'application.backup.p99',
    peerName: 'better-sqlite3 `.backup()`',
    target: atMost(0.2),
  },
  {
    work: 'growth of the application',
    unit: 'bytes',
    ours: 'application.snapshot.growth',
    peer: 'application.backup.growth',
    peerName: 'better-sqlite3 `.backup()`',
    target: below(20 * MB, '20 MB'),
  },
  {
    work: 'peak of the worker, snapshot',
    unit: 'bytes',
    ours: 'application.snapshot.workerPeak',
    target: below(200 * MB, '200 MB'),
  },
  {
    work: 'peak of the worker, restore',
    unit: 'bytes',
    ours: 'application.restore.workerPeak',
    target: below(200 * MB, '200 MB'),
  },
];

module.exports = { rows };
