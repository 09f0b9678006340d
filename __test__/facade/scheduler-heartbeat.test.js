'use strict';

// What a monitor that listens hears of a run.

const http = require('node:http');
const { clearEnvironment } = require('../support/environment.js');
const { SnapshotError } = require('../../lib/errors.js');
const { runOnce } = require('../../runSnapshotCron.cjs');

const TICK = { schedule: '0 * * * *', due: new Date('2026-03-01T10:00:00Z') };
let server;
let heard;
let status;

beforeEach(async () => {
  clearEnvironment();
  heard = [];
  status = 200;
  server = http.createServer((request, response) => {
    heard.push(request.url);
    response.writeHead(status).end();
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  process.env.SNAPSHOT_HEARTBEAT_URL = `http://127.0.0.1:${server.address().port}/secret`;
});

afterEach(async () => {
  clearEnvironment();
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

/** Runs once with a writer that only pretends; resolves with the outcome and the lines of the log. */
async function run({ createSnapshot, claimed = true, pruned = {}, ...options } = {}) {
  const lines = [];
  const say = (message) => lines.push(message);
  const snapshot = { id: 'new', name: 'new', size: 1, checksum: 'ab' };
  const writer = {
    _generateTimestamp: () => 'now',
    _claimTick: async () => ({ claimed, by: { pid: 7, host: 'elsewhere' }, tick: 'then', finished: true }),
    _finishTick: async () => {},
    createSnapshot: createSnapshot ?? (async () => ({ snapshot, durationMs: 5 })),
    prune: async () => ({ removed: [], collapse: null, ...pruned }),
  };
  const log = { info: say, warn: say, error: say, debug() {} };
  const { ok } = await runOnce({ writer, log, keep: { keepLast: 10 }, ...options });
  expect(lines.join('\n')).not.toContain('secret');
  return { ok, lines };
}

const full = async () => {
  throw new SnapshotError('REPOSITORY_FULL', 'no space left');
};

test('a run that went well, and one that did not', async () => {
  expect((await run()).ok).toBe(true);
  expect((await run({ tick: TICK })).ok).toBe(true);
  expect((await run({ createSnapshot: full })).ok).toBe(false);
  expect(heard).toEqual(['/secret', '/secret', '/secret/fail']);
});

test('a run of a database that has lost its content', async () => {
  const pruned = { collapse: { name: 'empty', reason: 'it is empty' } };
  expect((await run({ pruned })).ok).toBe(true);
  expect(heard).toEqual(['/secret/fail']);
});

test('a run whose retention could not empty the bucket', async () => {
  const pruned = { bucketFailure: { code: 'S3_ACCESS_DENIED', message: 's3:DeleteObject is missing' } };
  expect((await run({ pruned })).ok).toBe(false);
  expect(heard).toEqual(['/secret/fail']);
});

test('a run that could not even begin', async () => {
  process.env.SNAPSHOT_KEEP_LAST = 'all';
  expect((await run({ keep: undefined })).ok).toBe(false);
  expect(heard).toEqual(['/secret/fail']);
});

test('nothing of a run that somebody else makes', async () => {
  expect((await run({ tick: TICK, claimed: false })).ok).toBe(true);
  expect(heard).toEqual([]);
});

test('who stops the scheduler does not wait for a monitor that is silent', async () => {
  const stop = new AbortController();
  server.removeAllListeners('request');
  server.on('request', () => stop.abort());
  const { ok, lines } = await run({ signal: stop.signal });
  expect(ok).toBe(true);
  expect(lines.at(-1)).toMatch(/SNAPSHOT_HEARTBEAT_URL: no answer within 1 s$/);
});

test('a monitor that cannot be reached changes no outcome', async () => {
  status = 500;
  const { ok, lines } = await run();
  expect(ok).toBe(true);
  expect(lines.at(-1)).toBe(
    'The heartbeat could not be sent to SNAPSHOT_HEARTBEAT_URL: the server answered 500',
  );
});
