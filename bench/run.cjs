'use strict';

// The benchmark: `npm run bench`. Measures this package beside the usual tools and writes results.md.
//
//   BENCH_SIZES   megabytes, default "256,1024"
//   BENCH_ROUNDS  rounds per size, default 5, and 3 from 1 GB on
//   BENCH_DIR     where the databases are made, default the system's temporary folder
//   BENCH_OUT     the report, default bench/results.md

const { copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { SnapshotWriter } = require('..');
const { measureApplication } = require('./application.cjs');
const { build } = require('./database.cjs');
const { facts, tools } = require('./machine.cjs');
const { markdown, printTable, remarks } = require('./report.cjs');
const { Samples } = require('./samples.cjs');
const { remove } = require('./steps.cjs');
const { measureWork } = require('./work.cjs');
const { measureWriters } = require('./writers.cjs');

const SIZES = (process.env.BENCH_SIZES ?? '256,1024').split(',').map(Number);
const OUT = process.env.BENCH_OUT ?? path.join(__dirname, 'results.md');
const LARGE_MB = 1024;

const NOTES = [
  'Every value is a median over the rounds; a ratio is the median of the ratios within a round, its range in brackets. Ours and the peers take turns within each round.',
  'Warm: every file is read once before each step. Earlier writes are synced before each step, outside the clock.',
  '"Ours" includes the start of the worker process, verification, `fsync` of everything published, and the row in the `Snapshot` table. `sqlite3 .backup` syncs its copy; `zstd`, `cp` and `sha256sum` do not.',
  'The working threads of the worker run at CPU priority 10 (`nice`), the one that reads under a lock at 0; the peers here run at 10, so that on a machine that others use too both wait alike. better-sqlite3 and the writers run at 0.',
  'Databases are in rollback mode `delete` where nothing else is said. "Unchanged": only the row of the snapshot before is new.',
  'The repository and the peers write to the same disk. Bytes are what the whole repository grew by, page-hash cache and manifests included.',
  'The writer is another process that commits a row, with `synchronous=FULL` in rollback mode and better-sqlite3’s default in WAL mode, and waits 5 ms. Its snapshots are first full ones; idle is the same writer alone, for as long as our snapshot took, at most 10 s.',
  'Event-loop delays are without the interval of the clock (1 ms). The peak of the worker is its VmHWM, Node.js included.',
];

const quiet = { info() {}, warn: (message) => console.warn(message), error() {}, debug() {} };
const say = (line) => process.stdout.write(`${line}\n`);

function roundsFor(megabytes) {
  return Number(process.env.BENCH_ROUNDS ?? (megabytes >= LARGE_MB ? 3 : 5));
}

/** What the measurements share: files, tools, samples, and writers of our own. */
function prepare(folder, found) {
  const at = (name) => path.join(folder, name);
  const files = {
    base: at('base.db'),
    live: at('live.db'),
    busy: at('busy.db'),
    before: at('before.db'),
    changed: at('changed.pages'),
    backup: at('backup.db'),
    compressed: at('compressed.zst'),
    restored: at('restored.db'),
    repository: at('snapshots'),
  };
  const repository = (database, options = {}) =>
    new SnapshotWriter({
      databaseUrl: database,
      snapshotDir: files.repository,
      s3: false,
      log: quiet,
      ...options,
    });
  const freshRepository = (database, options) => {
    remove(files.repository);
    return repository(database, options);
  };
  return { samples: new Samples(), tools: found, files, repository, freshRepository };
}

async function measureSize(folder, megabytes, found) {
  const bench = prepare(folder, found);
  const { files } = bench;
  say(`\nMaking a database of ${megabytes} MB`);
  remove(...Object.values(files));
  build(files.base, megabytes);
  const rounds = roundsFor(megabytes);
  const [load] = os.loadavg();
  for (let round = 1; round <= rounds; round += 1) {
    const started = performance.now();
    remove(files.repository, files.live);
    copyFileSync(files.base, files.live);
    await measureWork(bench, round);
    await measureApplication(bench);
    remove(files.live);
    await measureWriters(bench, 'wal');
    await measureWriters(bench, 'delete');
    say(`Round ${round} of ${rounds}: ${Math.round((performance.now() - started) / 1000)} s`);
  }
  return { megabytes, rounds, load: [load, os.loadavg()[0]], samples: bench.samples };
}

async function main() {
  const found = tools();
  for (const name of Object.keys(found).filter((tool) => !found[tool])) {
    say(`${name} is missing; its rows are left out`);
  }
  const folder = mkdtempSync(path.join(process.env.BENCH_DIR ?? os.tmpdir(), 'snapshot-writer-bench-'));
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
    process.once(signal, () => {
      console.error(`Stopped by ${signal}; sizes that were not finished are not in the report`);
      process.exit(1);
    });
  }
  const machine = facts(folder, found);
  const sizes = [];
  for (const megabytes of SIZES) {
    const size = await measureSize(folder, megabytes, found);
    sizes.push(size);
    printTable(`${megabytes} MB, ${size.rounds} rounds`, size.samples);
    remarks(size.samples).forEach(say);
    const earlier = existsSync(OUT) ? readFileSync(OUT, 'utf8') : '';
    writeFileSync(OUT, markdown(machine, NOTES, sizes, earlier));
  }
  say(`\nWritten: ${path.relative(process.cwd(), OUT)}`);
}

main().catch((error) => {
  console.error(error);
  // Children end when their channel closes.
  process.exit(1);
});
