'use strict';

// A server like the application: restores itself at start, snapshots on a timer, and takes a
// last snapshot when it is told to end.

const http = require('node:http');
const { SnapshotWriter } = require('../../../index.js');

const silent = { debug() {}, info() {}, warn() {}, error() {} };
const writer = new SnapshotWriter({ log: silent, ...JSON.parse(process.argv[2]) });
const note = (note) => process.connected && process.send({ note });

const server = http.createServer(async (request, response) => {
  const snapshots = await writer.listSnapshots();
  response.setHeader('content-type', 'application/json');
  response.end(JSON.stringify(snapshots.map(({ name, size }) => ({ name, size }))));
});

let timer;
let isEnding = false;

function snapshotAgain() {
  writer
    .createSnapshot()
    .then(({ snapshot }) => note({ made: snapshot.name }))
    .catch((error) => note({ failed: error.message }))
    .finally(() => {
      if (!isEnding) timer = setTimeout(snapshotAgain, 50);
    });
}

async function shutDown() {
  if (isEnding) return;
  isEnding = true;
  note({ ending: true });
  clearTimeout(timer);
  await writer
    .createSnapshot('last words')
    .then(({ snapshot }) => note({ last: snapshot }))
    .catch((error) => note({ failed: error.message }));
  server.close();
  server.closeAllConnections();
  process.disconnect();
}

process.on('SIGTERM', shutDown);
process.on('SIGINT', shutDown);

writer.bootstrapDatabase().then((result) => {
  server.listen(0, '127.0.0.1', () => {
    timer = setTimeout(snapshotAgain, 50);
    note({ port: server.address().port, bootstrapped: result.bootstrapped, error: result.error });
  });
});
