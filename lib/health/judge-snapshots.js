'use strict';

// The verdicts on the database and on the snapshots of it.

const { size, age, span, time, count } = require('../words.js');
const { TOO_MANY, missedRuns } = require('./missed-runs.js');
const { ok, warning, critical, secondsSince, sentence } = require('./verdict.js');

const RESTORE =
  'Bring it back with "snapshot-writer restore <name>" ("snapshot-writer list" has the names); "snapshot-writer doctor" looks closer.';
const BOOTSTRAP =
  'See that DATABASE_URL names the right file; "snapshot-writer bootstrap" brings back the newest good snapshot.';

/** Whether there is a database to make snapshots of. */
function judgeDatabase({ database: { size: bytes, failure } }) {
  if (failure === null) {
    return bytes === 0
      ? critical('database', `The database is an empty file. ${BOOTSTRAP}`, 0)
      : ok('database', `The database is an SQLite file of ${size(bytes)}.`, bytes);
  }
  const story = sentence(failure.message);
  switch (failure.code) {
    case 'DATABASE_NOT_FOUND':
      return critical('database', `There is no database: ${story} ${BOOTSTRAP}`, null);
    case 'UNSETTLED':
      return critical(
        'database',
        'The database is being replaced by a restore, or that was cut off: it has no file at this moment. ' +
          'If no restore is going on, run "snapshot-writer create", which puts the old file back first.',
        null,
      );
    case 'DATABASE_READONLY':
      // Whoever looks need not be whoever makes snapshots.
      return warning(
        'database',
        `The database cannot be looked at: ${story} Let the user who asks read it, or ask as the one who makes snapshots.`,
        null,
      );
    default:
      return critical('database', `The database cannot be read: ${story} ${RESTORE}`, null);
  }
}

/** How old the newest snapshot is that can be relied on. */
function judgeAge({ newest, good, bad, ahead, counters: { lastFailure } }, schedule, now) {
  const failed = lastFailure
    ? ` The last attempt to make one failed ${age(new Date(lastFailure.at), now)} ago (${lastFailure.code}): docs/errors.md says what to do.`
    : '';
  if (good === null) {
    const lack =
      newest === null
        ? 'There is no snapshot of this database yet'
        : 'There is no snapshot of this database that can be relied on';
    return critical(
      'age',
      `${lack}: run "snapshot-writer create", and see that a scheduler runs.${failed}`,
      null,
    );
  }
  const seconds = secondsSince(good.createdAt, now);
  const old = `The newest ${bad.length > 0 ? 'good ' : ''}snapshot is ${age(new Date(good.createdAt), now)} old`;
  if (ahead !== null) {
    return critical(
      'age',
      `${old}, and ${ahead.name} is dated in the future (${time(new Date(ahead.createdAt))}): a clock is or was wrong. ` +
        `Set it right, and run "snapshot-writer create"; an old plain one stays the newest until you delete that snapshot.${failed}`,
      seconds,
    );
  }
  if (schedule instanceof Error) {
    return critical(
      'age',
      `${old}, and when the next is due is unknown: ${sentence(schedule.message)}${failed}`,
      seconds,
    );
  }
  const missed = missedRuns(schedule, new Date(good.createdAt), now);
  if (missed > 0) {
    return (missed < TOO_MANY ? warning : critical)(
      'age',
      `${old}: ${count(missed, 'run')} of the schedule ${schedule.text} brought none. ` +
        `See that the scheduler runs and what its log says, or run "snapshot-writer create".${failed}`,
      seconds,
    );
  }
  const due = span(schedule.next(new Date(now)) - now);
  return (failed ? warning : ok)(
    'age',
    `${old}; the next is due in ${due} (schedule ${schedule.text}).${failed}`,
    seconds,
  );
}

/** Whether something is known against the newest snapshot, without reading its pages. */
function judgeNewest({ newest, bad, olderBad }, usesBucket) {
  const value = bad.length + olderBad.length;
  const others = (all) => (all.length > 1 ? ` (and ${all.length - 1} more)` : '');
  if (bad.length > 0) {
    const mend = usesBucket
      ? ', "snapshot-writer sync --direction both" for what only one side has lost'
      : '';
    return critical(
      'newest',
      `The newest snapshot is damaged${others(bad)}: ${sentence(bad[0])} ` +
        `Run "snapshot-writer create" for a good one${mend}, and "snapshot-writer verify" for what is left.`,
      value,
    );
  }
  if (olderBad.length > 0) {
    return warning(
      'newest',
      `An older snapshot is damaged${others(olderBad)}: ${sentence(olderBad[0])} ` +
        'Newer ones may share the damaged part: verify them, and delete the damaged one.',
      value,
    );
  }
  const state = newest === null ? 'There is no snapshot yet' : 'Nothing is known against the newest snapshot';
  return ok('newest', `${state}.`, value);
}

/** Whether the dates go the way that the snapshots were made in. */
function judgeClock({ backwards }) {
  if (backwards === null) return ok('clock', 'No snapshot is dated before an older one.', 0);
  const [dated, older] = [backwards.snapshot, backwards.older].map(
    ({ name, createdAt }) => `${name} (${time(new Date(createdAt))})`,
  );
  return warning(
    'clock',
    `${dated} was made after ${older} and is dated before it: a clock is or was wrong. ` +
      'The order of the snapshots does not go by their dates and is right; see that the clock is ("snapshot-writer doctor").',
    1,
  );
}

module.exports = { judgeAge, judgeClock, judgeDatabase, judgeNewest };
