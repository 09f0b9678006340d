'use strict';

// The application's three routes over HTTP, with Express 5:
//
//   POST /snapshots                  {"name": "before-migration"}, or nothing for a name made of the time
//   GET  /snapshots
//   POST /snapshots/<name>/restore
//
//   DATABASE_URL=file:./prisma/dev.db PORT=3000 node examples/express.cjs
//
// Whoever may restore may overwrite the database: mount the router behind the application's own
// authentication. It opens no SQLite itself; every request is one operation of the package.

const express = require('express');
const defaultWriter = require('snapshot-writer/snapshotWriter.cjs');

/** What the client itself did. Such a message holds nothing but what it sent. */
const MISTAKES = {
  INVALID_ARGUMENT: 400,
  SNAPSHOT_NAME_INVALID: 400,
  SNAPSHOT_NOT_FOUND: 404,
  SNAPSHOT_EXISTS: 409,
};

/** What a client can know about. The messages name paths and processes of this host: they are for its log. */
const FAILURES = {
  UNDO_CONFLICT: [409, 'The database was written to after the restore, which therefore stays.'],
  UPLOAD_FAILED: [502, 'The snapshot is complete on this host, but not in the bucket yet.'],
  REPOSITORY_BUSY: [503, 'Another operation is under way.'],
  DATABASE_BUSY: [503, 'The database is locked.'],
  DATABASE_EXCLUSIVE: [503, 'The database is locked.'],
  WRITERS_TOO_BUSY: [503, 'The database is written to too much just now.'],
  REPOSITORY_FULL: [507, 'There is no space left for this.'],
};

function snapshotRoutes(writer = defaultWriter) {
  const router = express.Router();

  router.post('/snapshots', express.json(), async (request, response) => {
    const { snapshot, durationMs } = await writer.createSnapshot(request.body?.name);
    response.status(201).json({ snapshot, durationMs });
  });

  router.get('/snapshots', async (request, response) => {
    response.json({ snapshots: await writer.listSnapshots() });
  });

  router.post('/snapshots/:name/restore', async (request, response) => {
    const { snapshot, durationMs } = await writer.restoreFromSnapshot(request.params.name);
    response.json({ snapshot, durationMs });
  });

  // Express 5 brings rejections here. The fourth parameter is what makes it an error handler.
  // eslint-disable-next-line no-unused-vars
  router.use((error, request, response, next) => {
    const { status, message } = answerTo(error);
    if (status === 503) response.set('Retry-After', '5');
    response.status(status).json({ error: { code: error.code ?? 'BAD_REQUEST', message } });
  });
  return router;
}

function answerTo(error) {
  // `status` is Express's own, of a body that is no JSON.
  const mistake = MISTAKES[error.code] ?? error.status;
  if (mistake !== undefined) return { status: mistake, message: error.message };
  console.error(error);
  const [status, message] = FAILURES[error.code] ?? [500, 'The operation failed; the log has the reason.'];
  return { status, message };
}

function main() {
  const server = express()
    .disable('x-powered-by')
    .use(snapshotRoutes())
    .listen(Number(process.env.PORT ?? 3000), '127.0.0.1', (error) => {
      if (error) throw error;
      console.log(`Listening on http://127.0.0.1:${server.address().port}`);
    });
  // Requests that are under way are answered first. PM2 needs a kill_timeout for that.
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => server.close());
}

if (require.main === module) main();

module.exports = { snapshotRoutes };
