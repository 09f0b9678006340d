'use strict';

const { SnapshotError } = require('./errors.js');

/** Stands where the application expects an S3 client while a bucket is configured. */
const s3Client = {
  async send() {
    throw new SnapshotError(
      'S3_NOT_AVAILABLE',
      'This version of snapshot-writer stores snapshots locally only; delete one with deleteSnapshot(name)',
    );
  },
};

module.exports = { s3Client };
