'use strict';

// `npm run torture`: every fault at every call of every operation. Options narrow it down.

const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { parseArgs } = require('node:util');
const { clearEnvironment } = require('../support/environment.js');
const { openCases } = require('./cases.js');
const { FAULTS, buildInjector } = require('./injector.js');
const { MODES, OPERATIONS } = require('./operations.js');
const { printReport } = require('./report.js');
const { torture } = require('./torture.js');

const HELP = `npm run torture -- [options]
  --operation A,B   of ${Object.keys(OPERATIONS).join(', ')}
  --mode A,B        of ${MODES.join(', ')}
  --fault A,B       of ${FAULTS.join(', ')}
  --n N             only the Nth call; or FROM-TO
  --sample S        only S calls of each operation, mode and fault, all over it; --seed N chooses others
  --jobs J          cases at a time, default 2
  --details FILE    a line of JSON for each case
  --list            only lists the calls of the operations`;

async function main() {
  const list = (text, all) => text?.split(',') ?? all;
  const { values } = parseArgs({
    options: {
      operation: { type: 'string' },
      mode: { type: 'string' },
      fault: { type: 'string' },
      n: { type: 'string' },
      sample: { type: 'string' },
      seed: { type: 'string', default: '1' },
      jobs: { type: 'string', default: '2' },
      details: { type: 'string' },
      list: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return console.log(HELP);
  clearEnvironment();
  const [from, to] = (values.n ?? '1-').split('-');
  const folder = fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), 'snapshot-writer-torture-')));
  const settings = {
    folder,
    injector: buildInjector(),
    operations: list(values.operation, Object.keys(OPERATIONS)),
    modes: list(values.mode, MODES),
    faults: list(values.fault, FAULTS),
    from: Number(from),
    to: to === undefined ? Number(from) : Number(to || Infinity),
    sample: values.sample && Object.fromEntries(FAULTS.map((fault) => [fault, Number(values.sample)])),
    seed: Number(values.seed),
    jobs: Number(values.jobs),
    onCase: (each) => values.details && fs.appendFileSync(values.details, `${JSON.stringify(each)}\n`),
  };
  try {
    if (values.list) return await listCalls(settings);
    const cases = await torture(settings);
    process.exitCode = printReport(cases) === 0 ? 0 : 1;
  } finally {
    fs.rmSync(folder, { recursive: true, force: true });
  }
}

async function listCalls({ folder, injector, operations, modes }) {
  for (const name of operations) {
    for (const mode of modes) {
      const series = await openCases({ folder, injector, name, mode });
      console.log(`${name} ${mode}`);
      for (const { n, name: call, path: file } of await series.calls()) console.log(`${n} ${call} ${file}`);
    }
  }
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
