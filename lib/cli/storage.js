'use strict';

// The commands about the bucket.

const { facts, size, table, widthsWithRest } = require('./format.js');
const exitCodes = require('./exit-codes.js');

/** Actions that are granted on the bucket itself; all others are granted on its objects. */
const ON_THE_BUCKET = ['s3:ListBucket', 's3:ListBucketMultipartUploads'];

const WITHOUT_CONDITIONAL_WRITES = `\
This provider has no conditional writes. Snapshots are stored, verified and
restored all the same. Several hosts cannot delete safely without them, so
deleting from the bucket is refused with S3_UNSUPPORTED: let the bucket's own
lifecycle rules delete old objects, or change the provider.`;

async function sync({ writer, print, options }) {
  print(
    await writer.sync({ direction: options.direction }),
    (done) =>
      [
        moved('Uploaded', done.uploaded, done.bytesUploaded),
        moved('Downloaded', done.downloaded, done.bytesDownloaded),
        list(
          'Skipped',
          done.skipped.map(({ name, reason }) => `${name}: ${reason}`),
        ),
      ]
        .filter(Boolean)
        .join('\n') || 'Nothing to do.',
  );
}

const moved = (verb, names, bytes) => list(`${verb} (${size(bytes)})`, names);

const list = (title, lines) =>
  lines.length === 0 ? '' : [`${title}:`, ...lines.map((line) => `  ${line}`)].join('\n');

async function check({ writer, print }) {
  const result = await writer.checkStorage();
  print(result, describe);
  return result.ok ? exitCodes.OK : exitCodes.PROBLEMS;
}

function describe(result) {
  return [
    facts([
      ['bucket', result.bucket],
      ['prefix', result.prefix || 'none'],
      ['endpoint', result.endpoint ?? 'AWS'],
      ['region', result.region ?? 'none'],
      ['credentials', result.credentials ?? 'none found'],
    ]),
    checkTable(result.checks),
    permissions(result),
    result.conditionalWrites === false ? WITHOUT_CONDITIONAL_WRITES : '',
    result.ok ? 'The storage can be used.' : 'The storage cannot be used as it is.',
  ]
    .filter(Boolean)
    .join('\n\n');
}

function checkTable(checks) {
  const rows = checks.map((one) => [one.name, outcome(one), why(one)]);
  const nameWidth = Math.max(...rows.map(([name]) => name.length), 'CHECK'.length);
  return table(['CHECK', 'RESULT', 'DETAIL'], rows, { widths: widthsWithRest(nameWidth, 6) });
}

function outcome({ ok, required }) {
  if (ok) return 'ok';
  return required ? 'FAILED' : 'no';
}

function why({ ok, permission, detail }) {
  return [!ok && permission && `${permission}:`, detail].filter(Boolean).join(' ');
}

function permissions(result) {
  if (result.missingPermissions.length === 0) return '';
  return [
    `Missing permissions: ${result.missingPermissions.join(', ')}`,
    'On AWS this policy grants them:',
    JSON.stringify(policy(result), null, 2),
  ].join('\n');
}

/**
 * Grants what is missing. No condition on the prefix of ListBucket: with one, reading an object
 * that does not exist is answered with 403 instead of 404, and nobody could tell the two apart.
 */
function policy({ missingPermissions, bucket, prefix, region }) {
  const arn = `arn:${partition(region ?? '')}:s3:::${bucket}`;
  const statement = (actions, resource) =>
    actions.length === 0 ? [] : [{ Effect: 'Allow', Action: actions, Resource: resource }];
  const isOnBucket = (action) => ON_THE_BUCKET.includes(action);
  return {
    Version: '2012-10-17',
    Statement: [
      ...statement(missingPermissions.filter(isOnBucket), arn),
      ...statement(
        missingPermissions.filter((action) => !isOnBucket(action)),
        `${arn}/${prefix}*`,
      ),
    ],
  };
}

function partition(region) {
  if (region.startsWith('cn-')) return 'aws-cn';
  return region.startsWith('us-gov-') ? 'aws-us-gov' : 'aws';
}

module.exports = { sync, check };
