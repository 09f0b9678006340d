'use strict';

// Counts and violations, as tables.

const Table = require('cli-table3');
const { FAULTS } = require('./injector.js');
const { steady } = require('./steady.js');

/** Prints what was found; returns the number of cases with a violation. */
function printReport(cases) {
  const violating = cases.filter(({ findings }) => findings.length > 0);
  console.log(countsOf(cases));
  for (const line of endingsOf(cases)) console.log(line);
  console.log(`${cases.filter(({ hit }) => hit).length} faults hit, ${violating.length} violations`);
  for (const examples of groupsOf(violating)) {
    console.log(`\n${examples.length} times:\n${describe(examples[0])}`);
  }
  return violating.length;
}

/** A case with a violation, and how to see it again. */
function describe({ operation, mode, fault, n, hit, ending, findings }) {
  return [
    `${operation} (${mode}), ${fault} at call ${n}, ${hit}: ${ending}`,
    ...findings.map((finding) => `  ${finding}`),
    `  npm run torture -- --operation ${operation} --mode ${mode} --fault ${fault} --n ${n}`,
  ].join('\n');
}

/** Operation by operation: faults that hit, and violations where there are any. */
function countsOf(cases) {
  const table = new Table({ head: ['operation', 'mode', ...FAULTS], style: { head: [], border: [] } });
  const rows = new Map();
  for (const each of cases) {
    const key = `${each.operation} ${each.mode}`;
    if (!rows.has(key)) rows.set(key, []);
    rows.get(key).push(each);
  }
  for (const [key, of] of rows) {
    const cell = (fault) => {
      const hit = of.filter((each) => each.fault === fault && each.hit);
      const bad = of.filter((each) => each.fault === fault && each.findings.length > 0);
      return bad.length > 0 ? `${hit.length} (${bad.length} bad)` : hit.length;
    };
    table.push([...key.split(' '), ...FAULTS.map(cell)]);
  }
  return table.toString();
}

/** By fault: how calls ended that it hit. */
function endingsOf(cases) {
  return FAULTS.map((fault) => {
    const counts = {};
    for (const each of cases)
      if (each.fault === fault && each.hit) counts[each.ending] = (counts[each.ending] ?? 0) + 1;
    return `${fault}: ${Object.entries(counts)
      .map(([ending, count]) => `${ending} ${count}`)
      .join(', ')}`;
  });
}

/** Violations of one kind: the same rules broken by the same fault of the same operation. */
function groupsOf(violating) {
  const groups = new Map();
  for (const each of violating) {
    const { operation, mode, fault, ending, findings } = each;
    const kind = steady([operation, mode, fault, ending, ...findings].join());
    if (!groups.has(kind)) groups.set(kind, []);
    groups.get(kind).push(each);
  }
  return [...groups.values()].sort((one, other) => other.length - one.length);
}

module.exports = { printReport, describe };
