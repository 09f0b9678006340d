'use strict';

// Disks, the repository, the bucket, and the clock.

const { size } = require('../words.js');
const { ok, warning, problem, unknown, judged, sentence, list } = require('./findings.js');

/** Left to others on every disk. */
const SPARE = 64 * 1024 * 1024;
/** Where even this share of what is needed is not there, the next snapshot may fail. */
const FAR_TOO_LITTLE = 0.1;
const OTHERS_MAY_READ = 0o044;
const OTHERS_MAY_WRITE = 0o002;
/** Signatures are refused from a quarter of an hour on. */
const REFUSED_AFTER_MS = 15 * 60 * 1000;
const TOLERATED_MS = 60 * 1000;
/** Older than this package: a clock that says so was never set. */
const FIRST_YEAR = 2026;

function judgeStorage(facts, places, now) {
  const findings = [];
  if (facts.disks) findings.push(space(facts));
  if (places.snapshotDir !== null) {
    findings.push(repository(facts, places));
    if (facts.disks) findings.push(...oneDisk(facts, places));
  }
  if (places.s3 !== null) findings.push(bucket(facts.storage, places.s3));
  findings.push(clock(facts, now));
  return findings;
}

/** What can be needed at once: a whole image in each place, and the rollback journal of a restore. */
function space({ disks, database }) {
  const needed = (database?.value?.size ?? 0) + SPARE;
  const shared = new Map();
  for (const disk of disks) {
    const key = disk.device ?? disk.folder;
    const need = disk.what === 'temporary' ? SPARE : needed;
    const known = shared.get(key);
    if (known) {
      known.need += need;
      known.folders.push(disk.folder);
    } else shared.set(key, { need, free: disk.free, folders: [disk.folder] });
  }
  const all = [...shared.values()];
  const seen = all.filter(({ free }) => free !== null);
  const short = seen.filter(({ need, free }) => free < need);
  const told = ({ need, free, folders }) =>
    `${size(free)} free, ${size(need)} may be needed for ${list(folders)}`;
  if (short.length > 0) {
    const verdict = short.some(({ need, free }) => free < need * FAR_TOO_LITTLE) ? problem : warning;
    return verdict(
      'space',
      `There is little room: ${list(short.map(told))}.`,
      'A full snapshot, a drill or a restore may not fit. Free some space, delete old snapshots, or move SNAPSHOT_DIR.',
    );
  }
  if (seen.length < all.length) return unknown('space', 'The system does not tell how much room is left.');
  return ok('space', `Enough room: ${list(seen.map(told))}.`);
}

/** A lost disk takes the snapshots with the database when both are on it and nowhere else. */
function oneDisk({ disks }, { s3 }) {
  const device = (what) => disks.find((disk) => disk.what === what)?.device ?? null;
  const isShared = device('database') !== null && device('database') === device('repository');
  if (!isShared || s3 !== null) return [];
  return [
    warning(
      'disk',
      'Database and snapshots are on one disk, and there is no bucket: losing the disk loses both.',
      'Set S3_BUCKET, or SNAPSHOT_DIR on another disk, or copy the folder away.',
    ),
  ];
}

function repository({ repository: place, snapshots, database, user }, { snapshotDir }) {
  if (place === undefined) return unknown('repository', 'The worker that looks at it could not be run.');
  if (place.leadsNowhere !== null) {
    return problem(
      'repository',
      `${snapshotDir} is reached by a link to ${place.leadsNowhere}, where there is nothing.`,
      'Mount the disk of the snapshots, or point SNAPSHOT_DIR elsewhere.',
    );
  }
  if (place.unwritable.length > 0) {
    return problem(
      'repository',
      `User ${user} may not write ${list(place.unwritable)}.`,
      'Give the folder to the user that the application runs as, or point SNAPSHOT_DIR elsewhere.',
    );
  }
  if (snapshots?.error) {
    return problem(
      'repository',
      sentence(snapshots.error.message),
      'See docs/errors.md for ' + snapshots.error.code + '.',
    );
  }
  if (!place.exists) {
    return ok('repository', `${snapshotDir} does not exist yet; the first snapshot makes it.`);
  }
  const mode = place.mode.toString(8).padStart(3, '0');
  if (place.mode & OTHERS_MAY_WRITE) {
    return problem(
      'repository',
      `Everybody may write to it (mode ${mode}).`,
      `Take that away: chmod o-w ${snapshotDir}`,
    );
  }
  const dbMode = database?.value?.mode;
  if (dbMode !== undefined && place.mode & ~dbMode & OTHERS_MAY_READ && place.mode & 0o055) {
    return warning(
      'repository',
      `More users may read the snapshots (mode ${mode}) than the database (mode ${dbMode.toString(8)}).`,
      `Snapshots hold everything that the database holds: chmod ${(place.mode & ~0o077).toString(8)} ${snapshotDir}`,
    );
  }
  return ok('repository', `It belongs to user ${place.owner} (mode ${mode}) and can be written.`);
}

function bucket(storage, { bucket: name }) {
  if (!storage) return unknown('bucket', 'The bucket could not be tried out.');
  const { probe } = storage;
  const checks = probe.checks ?? [];
  const failed = checks.filter(({ ok: isGood, required }) => required && !isGood);
  if (!probe.ok) {
    const [first] = failed;
    return problem(
      'bucket',
      `The bucket ${name} cannot be used: ${first ? sentence(`${first.name}: ${first.detail}`) : 'a check failed.'}`,
      'Run "snapshot-writer check-storage": it lists every permission that is missing.',
    );
  }
  if (probe.conditionalWrites === false) {
    return warning(
      'bucket',
      `The bucket ${name} can be used, but its provider has no conditional writes: several hosts cannot delete safely.`,
      'Let rules of the bucket delete old objects, or change the provider.',
    );
  }
  return ok('bucket', `The bucket ${name} can be used; every check passed.`);
}

function clock({ storage, snapshots, backwards }, now) {
  const time = moment(now);
  const SET = 'Set the clock, and keep it right with NTP.';
  if (new Date(now).getUTCFullYear() < FIRST_YEAR) {
    return problem('clock', `This machine believes that it is ${time}.`, SET);
  }
  const newest = snapshots?.value ? Date.parse(snapshots.value) : -Infinity;
  if (newest > now + TOLERATED_MS) {
    return problem(
      'clock',
      `The newest snapshot is of ${moment(newest)}, which is in the future: it is ${time} here.`,
      `${SET} The next snapshot is dated right.`,
    );
  }
  if (backwards) {
    const [dated, older] = [backwards.snapshot, backwards.older].map(
      ({ name, createdAt }) => `${name} (${moment(createdAt)})`,
    );
    return warning(
      'clock',
      `${dated} was made after ${older} and is dated before it: the clock was set, or is wrong.`,
      `${SET} The order of the snapshots does not go by their dates.`,
    );
  }
  if (!storage) return ok('clock', `It is ${time}; there is no bucket to compare with.`);
  return judged('clock', storage.clock, (ahead) => {
    const off = Math.abs(ahead);
    if (off <= TOLERATED_MS) return ok('clock', "It agrees with the bucket's.");
    const verdict = off >= REFUSED_AFTER_MS ? problem : warning;
    return verdict(
      'clock',
      `It is ${Math.round(off / 1000)} s ${ahead > 0 ? 'ahead of' : 'behind'} the bucket's.`,
      `${SET} From 15 minutes on, the bucket refuses every request.`,
    );
  });
}

/** To the second, in UTC: clocks are compared across time zones. */
const moment = (time) =>
  new Date(time)
    .toISOString()
    .replace('T', ' ')
    .replace(/\.\d+Z$/, ' UTC');

module.exports = { judgeStorage };
