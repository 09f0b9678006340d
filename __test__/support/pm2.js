'use strict';

// A PM2 of the test's own, with the applications of examples/ecosystem.config.cjs.

const { execFile } = require('node:child_process');
const fs = require('node:fs');
const { promisify } = require('node:util');
const { readIfThere } = require('./processes.js');
const { environmentOf } = require('./scheduler.js');
const { apps } = require('../../examples/ecosystem.config.cjs');

const PM2 = require.resolve('pm2/bin/pm2');
const run = promisify(execFile);

/** Starts nothing yet: PM2's own process comes with the first command, and goes with the test. */
function makePm2(rig) {
  const home = rig.path('pm2');
  const log = rig.path('schedulers.log');
  fs.mkdirSync(home);
  const pm2 = async (...args) => {
    const env = { ...environmentOf(rig), PM2_HOME: home, PM2_DISABLE_VERSION_CHECK: '1' };
    const { stdout } = await run(process.execPath, [PM2, ...args], { env, cwd: rig.folder });
    return stdout;
  };
  rig.defer(() => pm2('kill'));
  return {
    command: pm2,
    /** Starts an application of the example, with some things changed. */
    async start(name, { env, ...changes }) {
      const app = apps.find((candidate) => candidate.name === name);
      const { databaseUrl: DATABASE_URL } = rig.options;
      const changed = { ...app, ...changes, env: { ...app.env, DATABASE_URL, ...env } };
      const file = rig.path('ecosystem.json');
      const logs = { out_file: log, error_file: log, merge_logs: true };
      fs.writeFileSync(file, JSON.stringify({ apps: [{ ...changed, ...logs }] }));
      await pm2('start', file);
    },
    /** `{ pid, status }` of each instance. */
    async instances() {
      const stdout = await pm2('jlist');
      const list = JSON.parse(stdout.slice(stdout.indexOf('[')));
      return list.map(({ pid, pm2_env: { status } }) => ({ pid, status }));
    },
    /** The process of PM2 itself. */
    pid: () => Number(fs.readFileSync(`${home}/pm2.pid`, 'utf8')),
    /** What all instances have said. */
    output: () => readIfThere(log),
  };
}

module.exports = { makePm2 };
