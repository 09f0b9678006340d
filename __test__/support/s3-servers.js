'use strict';

// Real S3 servers for the tests, each in a folder and on ports of its own, gone with the test's process.

const { spawn } = require('node:child_process');
const fs = require('node:fs');
const net = require('node:net');
const os = require('node:os');
const path = require('node:path');
const { makeS3Client, CREDENTIALS } = require('./s3-client.js');
const { servers } = require('../../scripts/servers.cjs');

const GUARDIAN = path.join(__dirname, 'children', 'guardian.js');
const HOST = '127.0.0.1';
const START_TRIES = 3;
const ANSWER_TRIES = 600;
const PAUSE_MS = 50;
/** SeaweedFS opens a second port for each one, this much higher. */
const GRPC_OFFSET = 10_000;
/** The second ports, too, lie below those that systems give to clients (from 32768). */
const LOWEST_PORT = 12_000;
const HIGHEST_PORT = 22_000;

/** SeaweedFS: a complete server that checks signatures and permissions. */
function startWeed() {
  return start(5, (folder, [s3, master, volume, filer, admin]) => {
    const config = path.join(folder, 's3.json');
    const { accessKeyId: accessKey, secretAccessKey: secretKey } = CREDENTIALS;
    const actions = ['Admin', 'Read', 'Write', 'List', 'Tagging'];
    const identities = [{ name: 'tests', credentials: [{ accessKey, secretKey }], actions }];
    fs.writeFileSync(config, JSON.stringify({ identities }));
    const { program, args, env } = servers().weed;
    const options = [
      ...[`-dir=${folder}`, `-ip=${HOST}`, `-ip.bind=${HOST}`, `-s3.config=${config}`],
      ...[`-s3.port=${s3}`, `-master.port=${master}`, `-volume.port=${volume}`, `-filer.port=${filer}`],
      ...[`-admin.port=${admin}`, '-s3.port.iceberg=0', '-s3.port.lance=0'],
      ...['-admin.ui=false', '-webdav=false', '-master.telemetry=false'],
      // A bucket that is missing has to stay missing.
      '-s3.autoCreateBucket=false',
      // Each bucket takes a volume of its own, and every test a bucket.
      ...['-volume.max=500', '-master.volumeSizeLimitMB=64'],
    ];
    return {
      command: [program, ...args, 'mini', ...options],
      // Its log files go to the folder that is removed.
      env: { ...env, TMPDIR: folder },
      leftovers: [s3, master, volume, filer, admin].flatMap(socketsOf),
    };
  });
}

/** moto: precise about lists and conditions, but it accepts every signature and every checksum. */
function startMoto() {
  return start(1, (folder, [port]) => {
    const { program, args, env } = servers().moto;
    return { command: [program, ...args, '-H', HOST, '-p', String(port)], env, leftovers: [] };
  });
}

/** SeaweedFS leaves these behind, and not all of them can be moved. */
function socketsOf(port) {
  return ['s3', 'filer', 'master', 'volume', 'admin'].flatMap((name) => [
    `/tmp/seaweedfs-${name}-${port}.sock`,
    `/tmp/seaweedfs-${name}-grpc-${port + GRPC_OFFSET}.sock`,
  ]);
}

/** Starts what `describe` names; again with other ports when somebody else took one meanwhile. */
async function start(portCount, describe) {
  for (let tries = START_TRIES; ; tries -= 1) {
    const folder = fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), 'snapshot-writer-s3-')));
    const ports = await freePorts(portCount);
    const process = launch(folder, describe(folder, ports));
    const client = makeS3Client(`http://${HOST}:${ports[0]}`);
    try {
      await answers(client, process);
      return { ...client, stop: process.stop };
    } catch (error) {
      await process.stop();
      if (tries === 1) throw error;
    }
  }
}

function launch(folder, { command, env, leftovers }) {
  const log = path.join(folder, 'server.log');
  const removed = JSON.stringify([folder, ...leftovers]);
  const guardian = spawn(process.execPath, [GUARDIAN, removed, log, ...command], {
    stdio: ['pipe', 'ignore', 'inherit'],
    env: { ...process.env, ...env },
  });
  const state = { ended: false };
  const end = new Promise((resolve) => guardian.once('exit', resolve)).then(() => (state.ended = true));
  return {
    hasEnded: () => state.ended,
    log: () => fs.readFileSync(log, 'utf8'),
    async stop() {
      guardian.stdin.end();
      await end;
    },
  };
}

/** Resolves when the server stores an object. */
async function answers(client, process) {
  let reason;
  for (let tries = ANSWER_TRIES; tries > 0 && !process.hasEnded(); tries -= 1) {
    try {
      await client.makeBucket(`is-it-there-${tries}`);
      await client.bucket(`is-it-there-${tries}`).put('yes', 'yes');
      return;
    } catch (error) {
      reason = error;
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
  }
  throw new Error(`the S3 server at ${client.endpoint} did not come up`, { cause: reason });
}

/** Adjacent ports that nobody listens on, with those that SeaweedFS adds to them. */
async function freePorts(count) {
  for (;;) {
    const first = LOWEST_PORT + Math.floor(Math.random() * (HIGHEST_PORT - LOWEST_PORT - count));
    const ports = Array.from({ length: count }, (_, index) => first + index);
    const wanted = ports.flatMap((port) => [port, port + GRPC_OFFSET]);
    const free = await Promise.all(wanted.map(isFree));
    if (free.every(Boolean)) return ports;
  }
}

function isFree(port) {
  return new Promise((resolve) => {
    const server = net.createServer();
    server.once('error', () => resolve(false));
    server.listen(port, HOST, () => server.close(() => resolve(true)));
  });
}

module.exports = { startWeed, startMoto };
