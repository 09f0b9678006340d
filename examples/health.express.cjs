'use strict';

// Health and metrics over HTTP, for a monitor and for Prometheus. Both tell paths and names: keep them
// inside. Run: DATABASE_URL=file:./prisma/dev.db PORT=3001 node examples/health.express.cjs

const express = require('express');
const { snapshotWriter } = require('snapshot-writer');

const PROMETHEUS_TEXT = 'text/plain; version=0.0.4; charset=utf-8';

const app = express();

// Each answer is the work of a short-lived process. However many ask, there is one at a time, and what
// it said is repeated for a while.
const status = remembered(30_000, () => snapshotWriter.status());
const metrics = remembered(10_000, () => snapshotWriter.metrics());

app.get('/health', async (request, response) => {
  const { healthy, verdict, checks } = await status();
  response.status(healthy ? 200 : 503).json({ healthy, verdict, checks });
});

app.get('/metrics', async (request, response) => {
  response.type(PROMETHEUS_TEXT).send(await metrics());
});

// Not being able to find out is not healthy either.
app.use((error, request, response, next) => {
  if (response.headersSent) return next(error);
  return response.status(500).json({ healthy: false, code: error.code, error: error.message });
});

/** A function that asks at most once in `ms`. A failure is not remembered. */
function remembered(ms, ask) {
  let answer;
  let until = 0;
  return () => {
    if (Date.now() >= until) {
      until = Date.now() + ms;
      answer = ask();
      answer.catch(() => (until = 0));
    }
    return answer;
  };
}

if (require.main === module) {
  const server = app.listen(process.env.PORT ?? 3001, '127.0.0.1', () => {
    console.log(`http://127.0.0.1:${server.address().port}/health and /metrics`);
  });
}

module.exports = app;
