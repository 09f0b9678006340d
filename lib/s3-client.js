'use strict';

// What stands where the application expects a client of the AWS SDK: its clean-up deletes the
// objects of old snapshots itself. The SDK is not needed here, commands are known by their class.

const { SnapshotError, withPrefix } = require('./errors.js');

const PREFIX = 'Failed to send command: ';

/** For each command that is served: the worker's operation, and the SDK's answer made of its result. */
const SERVED = {
  DeleteObjectCommand: ['deleteObject', () => ({ $metadata: { httpStatusCode: 204 } })],
  HeadObjectCommand: ['headObject', headOutput],
};

/**
 * What to run for a command: the worker's operation and arguments, and `answer`, which makes of
 * its result what the SDK would resolve with, or throws what it would reject with.
 */
function requestOf(command, bucket) {
  const name = command?.constructor?.name;
  if (!Object.hasOwn(SERVED, String(name))) {
    throw refused(`it serves ${Object.keys(SERVED).join(' and ')} of the AWS SDK, not ${name ?? command}`);
  }
  const { Bucket, Key, ...others } = command.input ?? {};
  if (Bucket !== bucket) {
    throw refused("the command's Bucket is not the configured one, which s3Bucket tells");
  }
  if (typeof Key !== 'string' || Key === '') {
    throw refused('the command needs a Key: the s3Key of a snapshot');
  }
  // A condition or a version that is not looked at would delete what was to stay.
  const unserved = Object.keys(others).find((field) => others[field] !== undefined);
  if (unserved) {
    throw refused(`it serves Bucket and Key of a command's input, not ${unserved}`);
  }
  const [operation, answer] = SERVED[name];
  return { operation, args: { key: Key }, answer };
}

function refused(why) {
  return new SnapshotError('INVALID_ARGUMENT', `this client cannot send that: ${why}`);
}

function headOutput({ found, contentLength, lastModified, etag, sha256 }) {
  if (!found) {
    throw notFound();
  }
  return {
    $metadata: { httpStatusCode: 200 },
    ContentLength: contentLength,
    LastModified: new Date(lastModified),
    ETag: etag,
    Metadata: sha256 == null ? {} : { sha256 },
  };
}

/** What the SDK rejects with, for code that looks at `name` or the status; `code` is ours. */
function notFound() {
  const error = withPrefix(PREFIX, new SnapshotError('SNAPSHOT_NOT_FOUND', 'there is no such object'));
  return Object.assign(error, { name: 'NotFound', $metadata: { httpStatusCode: 404 } });
}

module.exports = { requestOf, PREFIX };
