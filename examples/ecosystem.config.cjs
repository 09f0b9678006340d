'use strict';

// Scheduled snapshots under PM2: take ONE of the first two applications below, and the drill.
//
//   pm2 start ecosystem.config.cjs --only snapshot-cron
//   pm2 start ecosystem.config.cjs --only snapshot-daemon
//   pm2 start ecosystem.config.cjs --only snapshot-drill
//
// No credentials here: the AWS SDK finds them (an instance role, AWS_PROFILE, or variables that the
// shell had when PM2 was started).

const common = {
  script: require.resolve('snapshot-writer/runSnapshotCron.cjs'),
  // A snapshot that is going on when PM2 stops the process may take this long, upload included.
  // PM2's default is 1.6 seconds.
  kill_timeout: 60_000,
  // Without PM2's own metrics, which keep every process from ending for three seconds.
  pmx: false,
  env: {
    DATABASE_URL: 'file:./prisma/dev.db',
    // S3_BUCKET: 'my-bucket',
    // SNAPSHOT_KEEP_LAST: '10',
  },
};

module.exports = {
  apps: [
    {
      ...common,
      name: 'snapshot-cron',
      // PM2 starts it at these times, in the time zone of PM2's own process, and once at `pm2 start`.
      cron_restart: '0 */6 * * *',
      // It is expected to end after each run.
      autorestart: false,
    },
    {
      ...common,
      name: 'snapshot-daemon',
      args: '--daemon',
      // Two, so that one is there while the other one restarts. Of both, one makes each run.
      instances: 2,
      exec_mode: 'fork',
      wait_ready: true,
      env: { ...common.env, SNAPSHOT_CRON_SCHEDULE: '0 */6 * * *', SNAPSHOT_CRON_TZ: 'UTC' },
    },
    {
      ...common,
      name: 'snapshot-drill',
      // Once a week: does the newest snapshot bring the database back? `status` and the metrics tell.
      script: require.resolve('snapshot-writer/bin/snapshot-writer.cjs'),
      // With a bucket: 'drill --tier s3'. With assertions: 'drill --assertions drill.json'.
      args: 'drill',
      cron_restart: '0 4 * * 0',
      autorestart: false,
    },
  ],
};
