'use strict';

// The metrics, from the facts that the worker gathered. Their names are what dashboards read.

const { exposition } = require('./exposition.js');
const { missedRuns, overdueFrom } = require('./missed-runs.js');
const { behindFrom, lastSeenInBucket } = require('./off-site.js');

const OUTCOMES = ['passed', 'failed', 'inconclusive'];

/** `bounds` divide the histogram of durations, in milliseconds; `schedule` as for the verdicts. */
function metricsText(facts, { bounds, now, schedule, usesBucket }) {
  return exposition([
    ...creation(facts, bounds),
    ...runs(facts, { now, schedule }),
    ...storage(facts, usesBucket),
    ...uploads(facts, { schedule, usesBucket }),
    ...restores(facts),
    ...drills(facts),
    ...state(facts),
  ]);
}

const one = (type) => (name, help, value) => ({ name, type, help, samples: [{ value }] });
const counter = one('counter');
const gauge = one('gauge');
const many = (type) => (name, help, samples) => ({ name, type, help, samples });
const counters = many('counter');
const gauges = many('gauge');

function creation({ counters: counted, newest }, bounds) {
  return [
    counter('snapshot_created_total', 'Calls of createSnapshot that succeeded.', counted.created),
    counter('snapshot_failed_total', 'Calls of createSnapshot that failed or were killed.', counted.failed),
    counter(
      'snapshot_creation_failures_total',
      'The same as snapshot_failed_total, under the name that other dashboards use.',
      counted.failed,
    ),
    gauge(
      'snapshot_last_created_timestamp',
      'When the newest snapshot was made, in seconds since 1970; in the bucket or not yet.',
      seconds(latest(newest?.createdAt, counted.lastCreated)),
    ),
    histogram(
      'snapshot_duration_seconds',
      'Duration of the calls of createSnapshot that succeeded.',
      counted,
      bounds,
    ),
    gauge(
      'snapshot_size_bytes',
      'Bytes of the database image in the newest snapshot.',
      newest?.size ?? counted.lastSize,
    ),
    counter(
      'snapshot_added_bytes_total',
      'Bytes that snapshots added to the local repository.',
      counted.addedBytes,
    ),
  ];
}

function histogram(name, help, { durations, durationMs }, bounds) {
  let sum = 0;
  const buckets = [...bounds.map((bound) => bound / 1000), Infinity].map((le, index) => {
    sum += durations[index] ?? 0;
    return { suffix: '_bucket', labels: { le: le === Infinity ? '+Inf' : String(le) }, value: sum };
  });
  const samples = [
    ...buckets,
    { suffix: '_sum', value: durationMs / 1000 },
    { suffix: '_count', value: sum },
  ];
  return { name, type: 'histogram', help, samples };
}

function runs({ good }, { now, schedule }) {
  const isKnown = good !== null && !(schedule instanceof Error);
  const since = isKnown ? new Date(good.createdAt) : null;
  return [
    gauge(
      'snapshot_missed_runs',
      'Runs of the schedule since the newest good snapshot that brought none, at most 100.',
      isKnown ? missedRuns(schedule, since, now) : null,
    ),
    gauge(
      'snapshot_overdue_timestamp',
      'From when on two runs of the schedule will have brought no good snapshot, in seconds since 1970.',
      isKnown ? inSeconds(overdueFrom(schedule, since)) : null,
    ),
  ];
}

function storage({ counters: { inBucket }, kept, storedBytes, freeBytes, imageBytes }, usesBucket) {
  const inTiers = (local, s3) => [
    { labels: { tier: 'local' }, value: local },
    { labels: { tier: 's3' }, value: usesBucket ? s3 : null },
  ];
  return [
    gauges(
      'snapshot_kept',
      'Snapshots of every kind in a tier; for the bucket as last seen.',
      inTiers(kept, inBucket?.snapshots),
    ),
    gauges(
      'snapshot_stored_bytes',
      'Bytes of packs and manifests in a tier; for the bucket as last seen.',
      inTiers(storedBytes, inBucket?.bytes),
    ),
    gauge('snapshot_disk_free_bytes', 'Free bytes on the disk of the local repository.', freeBytes),
    gauge('database_size_bytes', 'Bytes of the database file, or of its newest image.', imageBytes),
  ];
}

function uploads(facts, { schedule, usesBucket }) {
  const { counters: counted, pending } = facts;
  const inBucket = lastSeenInBucket(facts);
  return [
    gauge(
      'snapshot_newest_in_bucket_timestamp',
      'When the newest snapshot in the bucket was made, as last seen, in seconds since 1970.',
      usesBucket ? seconds(inBucket?.createdAt) : null,
    ),
    gauge(
      'snapshot_bucket_overdue_timestamp',
      'From when on the bucket lacks the snapshots of two runs, in seconds since 1970; absent while it has the newest.',
      usesBucket ? inSeconds(behindFrom(facts, inBucket, schedule)) : null,
    ),
    gauge('snapshot_pending_uploads', 'Snapshots that wait for their upload.', pending.count),
    gauge(
      'snapshot_oldest_pending_timestamp',
      'When the oldest snapshot that waits for its upload was made, in seconds since 1970.',
      seconds(pending.oldest),
    ),
    gauge(
      'snapshot_last_uploaded_timestamp',
      'When the last upload was completed, in seconds since 1970.',
      seconds(counted.lastUploaded),
    ),
    counter('snapshot_uploads_total', 'Snapshots that were uploaded.', counted.uploads),
    counter(
      'snapshot_upload_failures_total',
      'Calls of createSnapshot whose upload failed.',
      counted.uploadFailures,
    ),
    counter('snapshot_uploaded_bytes_total', 'Bytes that were uploaded.', counted.uploadedBytes),
  ];
}

function restores({ counters: counted }) {
  return [
    counter('snapshot_restores_total', 'Restores that took place.', counted.restores),
    counter('snapshot_restore_failures_total', 'Restores that failed.', counted.restoreFailures),
    counters('snapshot_verifications_total', 'Verifications by result.', [
      { labels: { result: 'good' }, value: counted.verifiedGood },
      { labels: { result: 'bad' }, value: counted.verifiedBad },
    ]),
  ];
}

function drills({ counters: counted, drills: newest }) {
  const ofEach = (value) =>
    newest.map((drill) => ({ labels: { tier: drill.tier ?? 'any' }, value: value(drill) }));
  return [
    counters(
      'snapshot_drills_total',
      'Restore drills by result.',
      OUTCOMES.map((result) => ({ labels: { result }, value: counted.drills[result] ?? 0 })),
    ),
    gauges(
      'snapshot_last_drill_timestamp',
      'When the last restore drill of a tier took place, in seconds since 1970.',
      ofEach(({ at }) => seconds(at)),
    ),
    gauges(
      'snapshot_last_drill_result',
      '1 for the result of the last restore drill of a tier, 0 for the others.',
      newest.flatMap(({ tier, outcome }) =>
        OUTCOMES.map((result) => ({
          labels: { tier: tier ?? 'any', result },
          value: Number(outcome === result),
        })),
      ),
    ),
    gauges(
      'snapshot_drill_rto_seconds',
      'How long the last restore drill of a tier took until the database was there.',
      ofEach(({ rtoMs }) => inSeconds(rtoMs)),
    ),
    gauges(
      'snapshot_drill_rpo_seconds',
      'Age of the data in the last restore drill of a tier.',
      ofEach(({ rpoMs }) => inSeconds(rpoMs)),
    ),
  ];
}

function state({ counters: { integrity }, bad, collapse, damaged, unfinishedRestore }) {
  return [
    gauge(
      'database_integrity_healthy',
      '1 when SQLite found the newest image that it checked whole, 0 when damaged.',
      integrity ? Number(integrity.healthy) : null,
    ),
    gauge(
      'snapshot_collapse',
      '1 when the database seems to have lost its content and nobody acknowledged that.',
      Number(collapse !== null),
    ),
    gauge(
      'snapshot_newest_damaged',
      '1 when the newest snapshot lacks packs, or a verification found it damaged.',
      Number(bad.length > 0),
    ),
    gauge('snapshot_damaged_manifests', 'Manifests that cannot be read.', damaged.length),
    gauge(
      'snapshot_unfinished_restore',
      '1 when a restore is going on or was cut off.',
      Number(unfinishedRestore),
    ),
  ];
}

const latest = (...dates) =>
  dates
    .filter(Boolean)
    .sort((one, other) => Date.parse(one) - Date.parse(other))
    .at(-1);
const seconds = (date) => (date ? Date.parse(date) / 1000 : null);
const inSeconds = (ms) => (typeof ms === 'number' ? ms / 1000 : null);

module.exports = { metricsText };
