'use strict';

// The verdicts on the bucket and on what should be in it.

const { age, count } = require('../words.js');
const { DAY_MS, behindFrom, isBehind, lastSeenInBucket } = require('./off-site.js');
const { ok, warning, critical, sentence } = require('./verdict.js');

function judgeUpload(facts, schedule, now) {
  const { pending, newestInBucket, bucketFailure } = facts;
  if (pending.count > 0) {
    return (isOld(pending, now) ? critical : warning)(
      'upload',
      `${count(pending.count, 'snapshot')} ${pending.count === 1 ? 'waits' : 'wait'} for the upload, ` +
        `the oldest for ${age(new Date(pending.oldest), now)}: run "snapshot-writer sync", which says what is wrong.`,
      pending.count,
    );
  }
  const inBucket = bucketFailure ? lastSeenInBucket(facts) : newestInBucket;
  const from = behindFrom(facts, inBucket, schedule);
  if (from !== null && now >= from) {
    return critical(
      'upload',
      `${behind(inBucket, now)}: run "snapshot-writer sync", and give whoever makes the snapshots S3_BUCKET and the credentials.`,
      0,
    );
  }
  if (bucketFailure) {
    const last = facts.counters.lastUploaded;
    return ok(
      'upload',
      `No snapshot waits for its upload; the last upload was ${last ? `${age(new Date(last), now)} ago` : 'never'}.`,
      0,
    );
  }
  if (isBehind(facts, inBucket)) {
    return warning('upload', `${behind(inBucket, now)}: run "snapshot-writer sync".`, 0);
  }
  const there = inBucket
    ? `the newest is ${age(new Date(inBucket.createdAt), now)} old`
    : 'there is none yet';
  return ok('upload', `Every snapshot that is made is in the bucket; ${there}.`, 0);
}

const isOld = ({ oldest }, now) => oldest !== null && now - new Date(oldest) > DAY_MS;

const behind = (inBucket, now) =>
  inBucket
    ? `The newest snapshot in the bucket is ${age(new Date(inBucket.createdAt), now)} old, and newer ones are here alone`
    : 'No snapshot of this database is in the bucket';

function judgeBucket({ bucketFailure, pending }, now) {
  if (bucketFailure === null) return ok('bucket', 'The bucket answers.', 1);
  const { code, message } = bucketFailure;
  return (isOld(pending, now) ? critical : warning)(
    'bucket',
    `The bucket cannot be asked (${code}): ${sentence(message)} ` +
      'Snapshots stay on this disk alone until it can; run "snapshot-writer check-storage".',
    0,
  );
}

module.exports = { judgeUpload, judgeBucket };
