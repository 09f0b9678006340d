'use strict';

// Whoever needs the runbook believes what it shows: every command of it runs here, in the situation
// that it is for, and prints what the document says.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const { after, before, describe, test } = require('node:test');
const { ID, RUNBOOK, masked, play, sectionsOf } = require('../support/runbook.js');
const { SITUATIONS } = require('../support/runbook-situations.js');
const { startWeed } = require('../support/s3-servers.js');

const TEXT = fs.readFileSync(RUNBOOK, 'utf8');
const SECTIONS = sectionsOf(TEXT);

test('every situation has its section, and every section its situation and commands', () => {
  assert.deepEqual(
    SECTIONS.map(({ title }) => title),
    Object.keys(SITUATIONS),
  );
  for (const { title, steps } of SECTIONS) assert.ok(steps.length >= 3, `${title} has steps`);
});

test('a command stands nowhere but in a console block below a section', () => {
  const blocks = SECTIONS.flatMap(({ steps }) => steps).length;
  assert.equal([...TEXT.matchAll(/^\s*```\w/gm)].length, blocks, 'blocks that nobody runs');
  const prose = TEXT.replace(/^```console\n[\s\S]*?^```$/gm, '');
  assert.doesNotMatch(prose, /npx |sqlite3 |^\s*\$ /m);
});

test('an id in a command was printed above it', () => {
  for (const { steps } of SECTIONS) {
    let printed = '';
    for (const { command, output } of steps) {
      for (const [id] of command.matchAll(ID)) assert.ok(printed.includes(id), `$ ${command}`);
      printed += output;
    }
  }
});

describe('what the runbook says to type', () => {
  let server;
  before(async () => (server = await startWeed()));
  after(() => server.stop());

  for (const section of SECTIONS) {
    test(section.title, { skip: SITUATIONS[section.title]?.skip?.() }, async () => {
      const played = await play(section, server);
      section.steps.forEach(({ command, output }, index) => {
        assert.equal(masked(played[index].output), masked(output), `$ ${command}`);
      });
    });
  }
});
