'use strict';

// A plain client of the S3 servers: what a test looks at or damages behind the engine's back.

const sdk = require('@aws-sdk/client-s3');

const REGION = 'us-east-1';
/** What the servers of the tests accept. */
const CREDENTIALS = { accessKeyId: 'test', secretAccessKey: 'testtest' };

// The SDK prints a note about future versions of Node.js into every test's output.
process.env.AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED = 'true';

function makeS3Client(endpoint) {
  const client = new sdk.S3Client({
    endpoint,
    region: REGION,
    credentials: CREDENTIALS,
    forcePathStyle: true,
    maxAttempts: 1,
    // What is damaged has to be seen as it is, not refused.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
  });
  return {
    endpoint,
    makeBucket: (Bucket) => client.send(new sdk.CreateBucketCommand({ Bucket })),
    bucket: (name) => makeBucketClient(client, name),
  };
}

function makeBucketClient(client, Bucket) {
  const send = (Command, input) => client.send(new Command({ Bucket, ...input }));
  return {
    name: Bucket,
    /** The keys below a prefix, in order. */
    async list(Prefix = '') {
      const keys = [];
      for await (const page of sdk.paginateListObjectsV2({ client }, { Bucket, Prefix })) {
        keys.push(...(page.Contents ?? []).map(({ Key }) => Key));
      }
      return keys;
    },
    async get(Key) {
      const { Body } = await send(sdk.GetObjectCommand, { Key });
      return Buffer.from(await Body.transformToByteArray());
    },
    put: (Key, Body, Metadata) => send(sdk.PutObjectCommand, { Key, Body, Metadata }),
    delete: (Key) => send(sdk.DeleteObjectCommand, { Key }),
    /** `undefined` when there is no such object. */
    head: (Key) =>
      send(sdk.HeadObjectCommand, { Key }).catch((error) => {
        if (error.$metadata?.httpStatusCode === 404) return undefined;
        throw error;
      }),
    /** The keys of multipart uploads that were neither completed nor aborted. */
    async uploads() {
      const { Uploads = [] } = await send(sdk.ListMultipartUploadsCommand, {});
      return Uploads.map(({ Key }) => Key);
    },
  };
}

module.exports = { makeS3Client, CREDENTIALS, REGION };
