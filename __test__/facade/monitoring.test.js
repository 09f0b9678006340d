'use strict';

// The metrics are in the format of Prometheus, and dashboard and alerts read none that is not there.

const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { exposition } = require('../../lib/health/exposition.js');
const { metricsText } = require('../../lib/health/metrics.js');
const { scheduleFrom } = require('../../lib/scheduler/settings.js');
const { NOW, HOUR, DAY, ago, goodFacts, drill } = require('../support/facts.js');
const { samplesOf: samples } = require('../support/health.js');
const { makeFolder, removeFolder } = require('../support/folders.js');

const MONITORING = path.join(__dirname, '..', '..', 'monitoring');
const BOUNDS = [100, 500, 1_000, 5_000, 15_000, 60_000, 300_000, 1_800_000];
const SCHEDULE = scheduleFrom({ SNAPSHOT_CRON_TZ: 'UTC' });

function text(facts, others) {
  return metricsText(goodFacts(facts), {
    bounds: BOUNDS,
    now: NOW,
    schedule: SCHEDULE,
    usesBucket: true,
    ...others,
  });
}

/** Facts that leave no metric out. */
const EVERYTHING = {
  pending: { count: 2, oldest: ago(HOUR) },
  counters: { inBucket: { snapshots: 9, bytes: 80_000_000, newest: ago(10 * HOUR) } },
};

const typesOf = (exposed) =>
  Object.fromEntries([...exposed.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, ...pair]) => pair));

test('the metrics of the application have their names and values', () => {
  expect(samples(text())).toMatchObject({
    snapshot_created_total: 12,
    snapshot_failed_total: 1,
    snapshot_creation_failures_total: 1,
    snapshot_last_created_timestamp: (NOW - 4 * HOUR) / 1000,
    database_integrity_healthy: 1,
  });
});

test('the others follow the facts', () => {
  const facts = { ...EVERYTHING, drills: [drill(HOUR, 'failed'), drill(2 * HOUR, 'passed', { tier: null })] };
  expect(samples(text(facts))).toMatchObject({
    snapshot_missed_runs: 0,
    // Runs are due at 0, 6, 12 and 18 o'clock; the newest snapshot is of 6.
    snapshot_overdue_timestamp: Date.parse('2026-01-10T18:10:00Z') / 1000,
    snapshot_newest_in_bucket_timestamp: Date.parse('2026-01-10T00:00:00Z') / 1000,
    snapshot_bucket_overdue_timestamp: Date.parse('2026-01-10T12:10:00Z') / 1000,
    snapshot_newest_damaged: 0,
    snapshot_size_bytes: 58_344_448,
    snapshot_pending_uploads: 2,
    snapshot_oldest_pending_timestamp: (NOW - HOUR) / 1000,
    snapshot_last_uploaded_timestamp: (NOW - 4 * HOUR) / 1000,
    'snapshot_kept{tier="local"}': 10,
    'snapshot_kept{tier="s3"}': 9,
    'snapshot_stored_bytes{tier="local"}': 81_000_000,
    'snapshot_stored_bytes{tier="s3"}': 80_000_000,
    'snapshot_last_drill_result{tier="local",result="failed"}': 1,
    'snapshot_last_drill_result{tier="local",result="passed"}': 0,
    'snapshot_last_drill_result{tier="any",result="passed"}': 1,
    'snapshot_last_drill_timestamp{tier="local"}': (NOW - HOUR) / 1000,
    'snapshot_drill_rto_seconds{tier="local"}': 1.5,
    'snapshot_drills_total{result="passed"}': 4,
    'snapshot_drills_total{result="failed"}': 0,
    snapshot_disk_free_bytes: 50_000_000_000,
    database_size_bytes: 60_000_000,
    snapshot_collapse: 0,
    snapshot_damaged_manifests: 0,
    snapshot_unfinished_restore: 0,
  });
});

test('the histogram is cumulative', () => {
  const histogram = Object.fromEntries(
    Object.entries(samples(text())).filter(([name]) => name.startsWith('snapshot_duration_seconds')),
  );
  expect(histogram).toEqual({
    'snapshot_duration_seconds_bucket{le="0.1"}': 0,
    'snapshot_duration_seconds_bucket{le="0.5"}': 3,
    'snapshot_duration_seconds_bucket{le="1"}': 7,
    'snapshot_duration_seconds_bucket{le="5"}': 12,
    'snapshot_duration_seconds_bucket{le="15"}': 12,
    'snapshot_duration_seconds_bucket{le="60"}': 12,
    'snapshot_duration_seconds_bucket{le="300"}': 12,
    'snapshot_duration_seconds_bucket{le="1800"}': 12,
    'snapshot_duration_seconds_bucket{le="+Inf"}': 12,
    snapshot_duration_seconds_sum: 21.5,
    snapshot_duration_seconds_count: 12,
  });
});

test('what is not known is left out', () => {
  const unknown = text({
    newest: null,
    good: null,
    newestHere: null,
    oldestHere: null,
    drills: [],
    freeBytes: null,
    imageBytes: null,
    counters: {
      lastCreated: null,
      lastSize: null,
      lastUploaded: null,
      integrity: null,
      inBucket: null,
      durations: [],
    },
  });
  for (const name of [
    'snapshot_last_created_timestamp',
    'snapshot_size_bytes',
    'snapshot_missed_runs',
    'overdue_timestamp',
    'snapshot_newest_in_bucket_timestamp',
    'database_integrity_healthy',
    'database_size_bytes',
    'snapshot_disk_free_bytes',
    'snapshot_last_drill_result',
  ]) {
    expect(unknown).not.toContain(name);
  }
  expect(unknown).not.toMatch(/null|undefined|NaN|tier="s3"/);
  expect(samples(unknown).snapshot_duration_seconds_count).toBe(0);
});

test('a deleted snapshot was made all the same, and a schedule that is wrong has missed nothing that is known', () => {
  const after = samples(text({ newest: null }, { schedule: new Error('no cron expression') }));
  expect(after.snapshot_last_created_timestamp).toBe((NOW - 4 * HOUR) / 1000);
  expect(samples(text({}, { schedule: new Error('no cron expression') }))).not.toHaveProperty(
    'snapshot_missed_runs',
  );
});

test('a damaged newest snapshot is told, and the one before it counts', () => {
  const told = samples(
    text({ bad: ['newest: packs/x is missing'], good: { name: 'a', createdAt: ago(11 * HOUR), size: 1 } }),
  );
  expect(told).toMatchObject({ snapshot_newest_damaged: 1, snapshot_missed_runs: 2 });
});

test('the bucket is overdue only while it is behind', () => {
  expect(samples(text())).not.toHaveProperty('snapshot_bucket_overdue_timestamp');
  expect(samples(text(EVERYTHING, { usesBucket: false }))).not.toHaveProperty(
    'snapshot_bucket_overdue_timestamp',
  );
  const never = samples(text({ counters: { inBucket: null, lastUploaded: null } }));
  expect(never).not.toHaveProperty('snapshot_newest_in_bucket_timestamp');
  // A day after the first one was made.
  expect(never.snapshot_bucket_overdue_timestamp).toBe((NOW - 29 * DAY) / 1000);
});

test('text is escaped as the format wants it', () => {
  const labels = { path: 'C:\\a "b"\nc' };
  const family = {
    name: 'x',
    type: 'gauge',
    help: 'back\\slash\nand "quotes"',
    samples: [{ labels, value: 1 }],
  };
  expect(exposition([family])).toBe(
    '# HELP x back\\\\slash\\nand "quotes"\n# TYPE x gauge\nx{path="C:\\\\a \\"b\\"\\nc"} 1\n',
  );
});

describe('dashboard and alerts', () => {
  const dashboard = JSON.parse(fs.readFileSync(path.join(MONITORING, 'grafana-dashboard.json'), 'utf8'));
  const rules = fs.readFileSync(path.join(MONITORING, 'prometheus-alerts.yml'), 'utf8');
  const ruleExpressions = [...rules.matchAll(/^\s+expr: (.+)$/gm)].map(([, expression]) => expression);
  const expressions = dashboard.panels.flatMap(({ targets }) => targets.map(({ expr }) => expr));

  /** Names of samples that there are. */
  function known() {
    return Object.entries(typesOf(text(EVERYTHING))).flatMap(([name, type]) =>
      type === 'histogram' ? ['_bucket', '_sum', '_count'].map((suffix) => name + suffix) : [name],
    );
  }

  test.each([
    ['dashboard', [...expressions, dashboard.templating.list[1].query]],
    ['alerts', ruleExpressions],
  ])('the %s read only metrics that there are', (_, all) => {
    const read = all.flatMap((expression) => expression.match(/\b(?:snapshot|database)_\w+/g) ?? []);
    expect(read.length).toBeGreaterThan(15);
    expect([...new Set(read)].filter((name) => !known().includes(name))).toEqual([]);
  });

  test('every panel has a place of its own and asks for something', () => {
    const cells = dashboard.panels.flatMap(({ gridPos: { x, y, w, h } }) =>
      Array.from({ length: w * h }, (_, cell) => `${x + (cell % w)},${y + Math.floor(cell / w)}`),
    );
    expect(new Set(cells).size).toBe(cells.length);
    expect(Math.max(...dashboard.panels.map(({ gridPos: { x, w } }) => x + w))).toBeLessThanOrEqual(24);
    expect(new Set(dashboard.panels.map(({ id }) => id)).size).toBe(dashboard.panels.length);
    expect(dashboard.panels.filter(({ targets }) => targets.length === 0)).toEqual([]);
  });
});

describe('promtool', () => {
  const isThere = spawnSync('promtool', ['--version']).status === 0;
  if (!isThere)
    process.stderr.write('promtool is not installed (Debian: prometheus): its checks are skipped\n');
  const promtest = isThere ? test : test.skip;

  function promtool(args, input) {
    const { status, stdout, stderr } = spawnSync('promtool', args, { encoding: 'utf8', input });
    return { status, said: stdout + stderr };
  }
  const content = { status: 0, said: expect.any(String) };

  promtest('finds nothing to say about the metrics', () => {
    expect(promtool(['check', 'metrics'], text(EVERYTHING))).toEqual({ status: 0, said: '' });
    expect(promtool(['check', 'metrics'], text({ newest: null, drills: [] }))).toEqual({
      status: 0,
      said: '',
    });
  });

  promtest('understands the alerts, which fire when they should', () => {
    expect(promtool(['check', 'rules', path.join(MONITORING, 'prometheus-alerts.yml')])).toEqual(content);
    const cases = path.join(__dirname, '..', 'support', 'prometheus-alerts.test.yml');
    expect(promtool(['test', 'rules', cases])).toEqual(content);
  });

  promtest('understands every expression of the dashboard', () => {
    const { panels } = JSON.parse(fs.readFileSync(path.join(MONITORING, 'grafana-dashboard.json'), 'utf8'));
    const targets = panels.flatMap((panel) => panel.targets);
    const rules = targets.map(({ expr }, index) => ({ record: `x${index}`, expr }));
    const folder = makeFolder();
    const file = path.join(folder, 'rules.yml');
    // JSON is YAML.
    fs.writeFileSync(file, JSON.stringify({ groups: [{ name: 'dashboard', rules }] }));
    expect(promtool(['check', 'rules', file])).toEqual(content);
    removeFolder(folder);
  });
});
