'use strict';

// A network that can be broken: an HTTP proxy in front of an S3 server. It leaves the Host header
// alone (signatures cover it), counts what passes, and does to chosen requests what a test asks for.
//
// A request is chosen by a pattern over its line, such as `PUT /bucket/snapshots/packs/<uuid>?partNumber=1`.
// A fault is for the first `times` requests that match (1 by default), or for `every` nth of them.

const http = require('node:http');
const { once } = require('node:events');
const { bodyFaults, through } = require('./s3-proxy-bodies.js');

const HOST = '127.0.0.1';
const ANY = /^/;
const HOP_BY_HOP = /^(connection|keep-alive)$/i;

/** Starts a proxy to `target` (an endpoint); it ends with `stop`. */
async function startProxy(target) {
  const upstream = new URL(target);
  const sockets = new Set();
  const requests = [];
  let faults = [];
  let latencyMs = 0;
  let isDown = false;

  const server = http.createServer((request, response) => {
    handle(request, response).catch(() => request.socket.destroy());
  });
  server.on('connection', (socket) => {
    socket.on('error', () => {});
    if (isDown) return void socket.destroy();
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });

  async function handle(request, response) {
    const record = {
      line: `${request.method} ${decodeURIComponent(request.url)}`,
      up: 0,
      down: 0,
      status: null,
    };
    requests.push(record);
    // A connection that breaks is what the client has to cope with, not we.
    for (const stream of [request, response]) stream.on('error', () => {});

    const active = faults.filter((fault) => fault.takes(record.line));
    if (latencyMs > 0) await new Promise((resolve) => setTimeout(resolve, latencyMs));
    for (const { hold } of active) await hold?.();
    if (active.some(({ blackhole }) => blackhole)) return;
    const answer = active.find((fault) => fault.answer)?.answer;
    if (answer) await answerItself(request, response, record, answer);
    else await forward(request, response, record, active);
  }

  /** The body is read to its end first: a client that still sends would not see the answer. */
  async function answerItself(request, response, record, { status, headers = {}, body = '' }) {
    for await (const chunk of request) record.up += chunk.length;
    record.status = status;
    response.writeHead(status, { 'content-length': Buffer.byteLength(body), ...headers });
    response.end(request.method === 'HEAD' ? undefined : body);
  }

  async function forward(request, response, record, active) {
    const outgoing = http.request({
      ...{ agent: false, host: upstream.hostname, port: upstream.port },
      ...{ method: request.method, path: request.url, headers: request.rawHeaders },
    });
    response.once('close', () => response.writableFinished || outgoing.destroy());
    outgoing.on('error', () => request.socket.destroy());
    request.pipe(through('up', request, record, active)).pipe(outgoing);

    const [incoming] = await once(outgoing, 'response');
    incoming.on('error', () => request.socket.destroy());
    record.status = incoming.statusCode;
    if (active.some(({ losesAnswer }) => losesAnswer)) return void request.socket.resetAndDestroy();
    response.writeHead(incoming.statusCode, withoutHopByHop(incoming.rawHeaders));
    incoming.pipe(through('down', request, record, active)).pipe(response);
  }

  /** Adds a fault; what is returned tells how often it took place. */
  function inject(fault, { match = ANY, times = 1, every = 1 } = {}) {
    let seen = 0;
    Object.assign(fault, { hits: 0 });
    fault.takes = (line) => {
      if (!match.test(line) || fault.hits >= times) return false;
      seen += 1;
      if (seen % every !== 0) return false;
      // Faults of bodies count when the byte they wait for has come.
      if (!fault.damage) fault.hits += 1;
      return true;
    };
    faults.push(fault);
    return fault;
  }

  server.listen(0, HOST);
  await once(server, 'listening');
  return {
    endpoint: `http://${HOST}:${server.address().port}`,
    /** `{ line, up, down, status }` of every request; `up` and `down` are the bytes of the bodies. */
    requests: (pattern = ANY) => requests.filter(({ line }) => pattern.test(line)),
    /** Bytes of all bodies in one direction: 'up' is what clients sent, 'down' what they got. */
    bytes: (direction, pattern = ANY) =>
      requests.reduce((sum, record) => sum + (pattern.test(record.line) ? record[direction] : 0), 0),
    /** Counts from here on. */
    forget: () => void requests.splice(0),

    /** Every request takes so much longer. */
    delay: (ms) => void (latencyMs = ms),
    /** Resets all connections and closes new ones as they come, until `up` or `mend`. */
    down() {
      isDown = true;
      for (const socket of sockets) socket.resetAndDestroy();
    },
    up: () => void (isDown = false),
    /** Answers in the server's place: `{ status, headers, body }`. */
    answer: (answer, options) => inject({ answer }, options),
    /** The server acts, but the client never hears of it. */
    loseAnswer: (options) => inject({ losesAnswer: true }, options),
    /** Takes the request and says nothing. */
    blackhole: (options) => inject({ blackhole: true }, options),
    ...bodyFaults(inject),
    /** Keeps the next matching request (with `every`, that one of them) until `release`; `reached` resolves when it is there. */
    hold(match, { every = 1 } = {}) {
      const [released, release] = signal();
      const [reached, arrive] = signal();
      inject({ hold: () => (arrive(), released) }, { match, every });
      return { reached, release };
    },
    /** Ends every fault. */
    mend() {
      faults = [];
      latencyMs = 0;
      isDown = false;
    },
    async stop() {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}

/** The answer of a server that fails with an S3 error code. */
function errorAnswer(status, code, headers = {}) {
  const body = `<?xml version="1.0" encoding="UTF-8"?><Error><Code>${code}</Code><Message>${code}, says the test</Message></Error>`;
  return { status, headers: { 'content-type': 'application/xml', ...headers }, body };
}

/** A promise, and the function that fulfils it. */
function signal() {
  let fulfil;
  const promise = new Promise((resolve) => (fulfil = resolve));
  return [promise, fulfil];
}

/** The connection to the server is another one than that to the client. */
function withoutHopByHop(rawHeaders) {
  return rawHeaders.filter((_, index) => !HOP_BY_HOP.test(rawHeaders[index - (index % 2)]));
}

module.exports = { startProxy, errorAnswer };
