'use strict';

const http = require('node:http');
const { heartbeat } = require('../../lib/health/heartbeat.js');

const SECRET = 'f00dfeed-0000-secret';
let server;
let requests;
let answer;

beforeEach(async () => {
  requests = [];
  answer = (request, response) => response.end('OK');
  server = http.createServer((request, response) => {
    requests.push(`${request.method} ${request.url}`);
    answer(request, response);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
});

afterEach(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

const address = (path = `/${SECRET}`) => `http://127.0.0.1:${server.address().port}${path}`;

/** Sends one and returns the warnings. */
async function warningsOf(url, outcome) {
  const warnings = [];
  await heartbeat(url, outcome, { warn: (message) => warnings.push(message) });
  expect(warnings.join()).not.toContain(SECRET);
  return warnings;
}

test.each([
  ['success', `/${SECRET}`, `GET /${SECRET}`],
  ['failure', `/${SECRET}`, `GET /${SECRET}/fail`],
  ['failure', `/${SECRET}/`, `GET /${SECRET}/fail`],
  ['failure', `/ping/${SECRET}?rid=7`, `GET /ping/${SECRET}/fail?rid=7`],
  ['success', `/ping/${SECRET}?rid=7`, `GET /ping/${SECRET}?rid=7`],
])('a %s at %s asks for %s', async (outcome, path, request) => {
  expect(await warningsOf(address(path), outcome)).toEqual([]);
  expect(requests).toEqual([request]);
});

test.each([[undefined], [''], ['  ']])('without a URL (%j) nothing is sent', async (url) => {
  expect(await warningsOf(url, 'success')).toEqual([]);
});

test('a server that refuses is a warning with its answer', async () => {
  answer = (request, response) => response.writeHead(404).end(SECRET);
  expect(await warningsOf(address(), 'success')).toEqual([
    expect.stringContaining('the server answered 404'),
  ]);
});

test('a server that is not there is a warning', async () => {
  const url = address();
  await new Promise((resolve) => server.close(resolve));
  expect(await warningsOf(url, 'failure')).toEqual([expect.stringContaining('ECONNREFUSED')]);
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
});

test('a server that never answers is given up', async () => {
  answer = () => {};
  const timeout = jest.spyOn(AbortSignal, 'timeout');
  timeout.mockImplementation((ms) => {
    expect(ms).toBe(10_000);
    const controller = new AbortController();
    setTimeout(() => controller.abort(new DOMException('late', 'TimeoutError')), 50);
    return controller.signal;
  });
  expect(await warningsOf(address(), 'success')).toEqual([expect.stringContaining('no answer within 10 s')]);
  timeout.mockRestore();
});

test('once a stop was asked for, a server that never answers is given up soon', async () => {
  answer = () => {};
  const warnings = [];
  const log = { warn: (message) => warnings.push(message) };
  await heartbeat(address(), 'success', log, AbortSignal.abort());
  expect(warnings).toEqual([expect.stringContaining('no answer within 1 s')]);
  expect(requests).toHaveLength(1);
});

test.each([
  [`no address ${SECRET}`],
  [`ftp://127.0.0.1/${SECRET}`],
  [`http://user:${SECRET}@127.0.0.1/`],
  [`file:///${SECRET}`],
])('%s is refused without being repeated', async (url) => {
  expect(await warningsOf(url, 'success')).toEqual([expect.stringContaining('http or https URL')]);
  expect(requests).toEqual([]);
});

test('a logger that throws, or none, changes nothing', async () => {
  answer = (request, response) => response.writeHead(500).end();
  const warn = () => {
    throw new Error('full');
  };
  await expect(heartbeat(address(), 'success', { warn })).resolves.toBeUndefined();
  await expect(heartbeat(address(), 'success')).resolves.toBeUndefined();
});
