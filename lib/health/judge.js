'use strict';

// From facts to verdicts. Pure: everything that a verdict depends on is an argument.

const { size, age, span, time, count } = require('../words.js');
const { judgeBucket, judgeUpload } = require('./judge-bucket.js');
const { judgeAge, judgeClock, judgeDatabase, judgeNewest } = require('./judge-snapshots.js');
const { ok, warning, critical, worst, secondsSince, sentence } = require('./verdict.js');

const DAY_MS = 24 * 60 * 60 * 1000;
const DRILL_EVERY_MS = 7 * DAY_MS;

/**
 * The verdicts on the facts that the worker gathered. `schedule` is a Schedule, or the error that says
 * why there is none; `usesBucket` is whether S3 is on.
 */
function judge(facts, { now, schedule, usesBucket }) {
  const checks = [
    ...(facts.database ? [judgeDatabase(facts)] : []),
    judgeAge(facts, schedule, now),
    judgeNewest(facts, usesBucket),
    judgeClock(facts),
    ...(usesBucket ? [judgeUpload(facts, schedule, now), judgeBucket(facts, now)] : []),
    judgeDrill(facts, usesBucket, now),
    judgeIntegrity(facts, now),
    judgeCollapse(facts),
    judgeManifests(facts),
    judgeRestore(facts),
    judgeDisk(facts),
    judgeGrowth(facts, now),
  ];
  const { verdict } = worst(checks);
  return { healthy: verdict !== 'critical', verdict, checks };
}

/**
 * The last drill of each tier counts: a good local one says nothing about the bucket. How long ago it was is judged of
 * the bucket, where there is one: that is what a disaster leaves, and a restore takes from it what is missing here.
 */
function judgeDrill({ drills }, usesBucket, now) {
  const known = drills.filter(({ tier }) => usesBucket || tier !== 's3');
  const due = known.filter(({ tier }) => !usesBucket || tier === 's3');
  const newest = Math.max(...due.map(({ at }) => Date.parse(at)));
  const value = due.length === 0 ? null : secondsSince(newest, now);
  const judged = [
    judgeDrillAge(newest, value, usesBucket, now),
    ...known.map((drill) => judgeDrillOutcome(drill, value, now)),
  ];
  return worst(judged);
}

function judgeDrillAge(newest, value, usesBucket, now) {
  const [fromBucket, option] = usesBucket ? [' from the bucket', ' --tier s3'] : ['', ''];
  const howTo = `Run "snapshot-writer drill${option}", best on a schedule: a snapshot that nobody restores is a hope.`;
  if (value === null) {
    return warning('drill', `No restore${fromBucket} has been rehearsed yet. ${howTo}`, value);
  }
  const ago = `The last restore drill${fromBucket} was ${age(new Date(newest), now)} ago`;
  return now - newest > DRILL_EVERY_MS
    ? warning('drill', `${ago}, longer than a week. ${howTo}`, value)
    : ok('drill', `${ago} and passed.`, value);
}

function judgeDrillOutcome({ outcome, reason, tier, at }, value, now) {
  const ago = `${age(new Date(at), now)} ago`;
  const which = `The restore drill of ${time(new Date(at))} (${tier ? `${tier}, ` : ''}${ago})`;
  switch (outcome) {
    case 'passed':
      return ok('drill', `${which} passed.`, value);
    case 'failed':
      return critical(
        'drill',
        `${which} failed: ${sentence(reason ?? 'no reason is known')} ` +
          'Find a snapshot that is good with "snapshot-writer verify", mend the reason, ' +
          'and drill the newest one again.',
        value,
      );
    default:
      return warning(
        'drill',
        `${which} was inconclusive: ${sentence(reason ?? 'no reason is known')} Nothing is proven; drill again.`,
        value,
      );
  }
}

function judgeIntegrity({ newest, counters: { integrity } }, now) {
  if (!integrity) return ok('integrity', 'No image of the database has been checked by SQLite yet.', null);
  const ago = `${age(new Date(integrity.imageOf), now)} ago`;
  const howToSettle =
    integrity.level === 'full'
      ? ' Then make a snapshot and drill it: the check of a new snapshot alone would not find such damage.'
      : '';
  const unjudged = newest?.unjudged ?? [];
  const sound = `SQLite found no damage in the database as it was ${ago}`;
  if (integrity.healthy && unjudged.length > 0) {
    const others = unjudged.length > 1 ? ` (and ${unjudged.length - 1} more)` : '';
    return warning(
      'integrity',
      `${sound}, but could not judge everything, or found content that breaks a rule of the schema${others}: ` +
        `${sentence(unjudged[0])} What only the application has, such as a collation or a function, it can judge itself: ` +
        'let it run "PRAGMA integrity_check".',
      1,
    );
  }
  return integrity.healthy
    ? ok('integrity', `${sound}.`, 1)
    : critical(
        'integrity',
        `SQLite found damage in the database as it was ${ago}: ` +
          'stop writing to it, and restore the newest snapshot that "snapshot-writer verify --level database" finds good.' +
          howToSettle,
        0,
      );
}

function judgeCollapse({ collapse }) {
  if (collapse === null) return ok('collapse', 'No snapshot lost the content of the one before it.', 0);
  return critical(
    'collapse',
    `The database seems to have lost its content: ${sentence(collapse.reason)} Older snapshots are kept. ` +
      'Restore a good one, or run "snapshot-writer acknowledge" when the loss is meant.',
    1,
  );
}

function judgeManifests({ damaged }) {
  if (damaged.length === 0) return ok('manifests', 'Every manifest can be read.', 0);
  return critical(
    'manifests',
    `${count(damaged.length, 'manifest')} cannot be read, the first is ${sentence(damaged[0])} ` +
      'Move such a file away and bring it back from the bucket or another copy ("snapshot-writer sync --direction down").',
    damaged.length,
  );
}

function judgeRestore({ unfinishedRestore }) {
  return unfinishedRestore
    ? warning(
        'restore',
        'A restore is going on, or was cut off: the next operation that writes settles it, such as "snapshot-writer create".',
        1,
      )
    : ok('restore', 'No restore was cut off.', 0);
}

function judgeDisk({ freeBytes, imageBytes }) {
  if (freeBytes === null) return warning('disk', 'The free space of the disk cannot be found out.', null);
  const free = `${size(freeBytes)} are free on the disk of the snapshots`;
  if (imageBytes === null) return ok('disk', `${free}.`, freeBytes);
  const need = `the database has ${size(imageBytes)}`;
  const remedy = 'free space, or move SNAPSHOT_DIR to a larger disk.';
  if (freeBytes < imageBytes) {
    return critical(
      'disk',
      `${free}, and ${need}: a restore or a full snapshot does not fit; ${remedy}`,
      freeBytes,
    );
  }
  if (freeBytes < 2 * imageBytes) {
    return warning('disk', `${free}, less than twice what is needed, for ${need}: ${remedy}`, freeBytes);
  }
  return ok('disk', `${free}, and ${need}.`, freeBytes);
}

/** For information: how fast the repository grows is nobody's fault. */
function judgeGrowth({ growth, freeBytes }, now) {
  const spanMs = growth ? new Date(growth.to) - new Date(growth.from) : 0;
  if (spanMs < 60 * 60 * 1000) {
    return ok('growth', 'The snapshots of the last days are too few to tell how fast they grow.', null);
  }
  const perDay = Math.round((growth.bytes * DAY_MS) / spanMs);
  const since = age(new Date(growth.from), now);
  const lasts =
    perDay > 0 && freeBytes !== null ? `; at that pace the disk is full in ${days(freeBytes / perDay)}` : '';
  return ok('growth', `Snapshots of the last ${since} added ${size(perDay)} a day${lasts}.`, perDay);
}

const days = (number) => span(number * DAY_MS);

module.exports = { judge };
