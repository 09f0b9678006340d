'use strict';

// A database that is a symbolic link: SQLite works beside the target. When the target is lost, the
// link still says where the database belongs.

const assert = require('node:assert/strict');
const { execFileSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { test } = require('node:test');
const { createDatabase, contentOf } = require('../support/database.js');
const { makeRig, refused } = require('../support/rig.js');

const RETURNS = {
  'a restore': (writer) => writer.restoreFromSnapshot('image'),
  bootstrapping: async (writer) => {
    const result = await writer.bootstrapDatabase();
    assert.equal(result.bootstrapped, true, result.error);
  },
};
/** Links to `volume/data.db`. */
const LINKS = {
  'a relative link': (rig, link) => fs.symlinkSync('../volume/data.db', link),
  'an absolute link': (rig, link) => fs.symlinkSync(rig.path('volume', 'data.db'), link),
  'a link to a link': (rig, link) => {
    fs.symlinkSync('../volume/data.db', rig.path('app', 'second'));
    fs.symlinkSync('second', link);
  },
  'a link through a linked folder': (rig, link) => {
    fs.symlinkSync('volume', rig.path('linked'));
    fs.symlinkSync('../linked/data.db', link);
  },
};

for (const [what, makeLink] of Object.entries(LINKS)) {
  for (const [how, bringBack] of Object.entries(RETURNS)) {
    test(`${how} brings back the lost target of ${what}, with the repository beside the target`, async (t) => {
      const { rig, link, target, writer } = linked(t, makeLink);
      createDatabase(target);
      const content = contentOf(target);
      await writer.createSnapshot('image');
      assert.ok(fs.existsSync(rig.path('volume', 'backups', 'repository.json')));
      fs.rmSync(target);

      assert.equal(await writer.isDatabaseEmpty(), true);
      assert.deepEqual(
        (await writer.listSnapshots()).map(({ name }) => name),
        ['image'],
      );
      await bringBack(writer);

      assert.ok(fs.lstatSync(link).isSymbolicLink(), 'the link is a link');
      assert.ok(fs.lstatSync(target).isFile());
      assert.equal(contentOf(link), content);
      await writer.createSnapshot('afterwards');
      const lineages = (await writer.listSnapshots()).map(({ lineage }) => lineage);
      assert.equal(new Set(lineages).size, 1);
    });
  }
}

test('the folder of a lost target is made again when it is lost as well', async (t) => {
  const { rig, link, target } = linked(t, LINKS['an absolute link']);
  const writer = rig.newWriter({ databaseUrl: link });
  createDatabase(target);
  const content = contentOf(target);
  await writer.createSnapshot('image');
  fs.rmSync(rig.path('volume'), { recursive: true });
  const result = await writer.bootstrapDatabase();
  assert.equal(result.bootstrapped, true, result.error);
  assert.equal(contentOf(target), content);
});

test('a relative URL means the link whose target is lost, not the other place that it fits', async (t) => {
  const rig = makeRig(t);
  fs.mkdirSync(rig.path('prisma'));
  fs.symlinkSync('nowhere.db', rig.path('prisma', 'dev.db'));
  const script =
    "const { explainDatabase } = require(process.argv[1] + '/lib/config.js');" +
    "console.log(explainDatabase({ databaseUrl: 'file:./dev.db' }).path)";
  const root = path.join(__dirname, '..', '..');
  const chosen = execFileSync(process.execPath, ['-e', script, root], { cwd: rig.folder, encoding: 'utf8' });
  assert.equal(chosen.trim(), rig.path('prisma', 'nowhere.db'));
});

test('links that go round in circles are refused by every call', async (t) => {
  const rig = makeRig(t);
  fs.symlinkSync('two.db', rig.path('one.db'));
  fs.symlinkSync('one.db', rig.path('two.db'));
  const writer = rig.newWriter({ databaseUrl: rig.path('one.db') });
  for (const call of [
    () => writer.createSnapshot(),
    () => writer.restoreFromSnapshot('image'),
    () => writer.isDatabaseEmpty(),
  ]) {
    const error = await refused(call(), 'DATABASE_NOT_A_FILE');
    assert.match(error.message, /links go round in circles/);
  }
  const { bootstrapped, code } = await writer.bootstrapDatabase();
  assert.deepEqual([bootstrapped, code], [false, 'DATABASE_NOT_A_FILE']);
  assert.deepEqual(fs.readdirSync(rig.folder).sort(), ['one.db', 'two.db']);
});

function linked(t, makeLink) {
  const rig = makeRig(t);
  fs.mkdirSync(rig.path('app'));
  fs.mkdirSync(rig.path('volume'));
  const link = rig.path('app', 'app.db');
  makeLink(rig, link);
  const target = rig.path('volume', 'data.db');
  // The default repository: beside the database.
  const writer = rig.newWriter({ databaseUrl: link, snapshotDir: undefined });
  return { rig, link, target, writer };
}
