'use strict';

// What users do, one after the other, in the form that fast-check shrinks. Each command changes the model as
// a user would expect it of the world, and fails when the world does something else.

const assert = require('node:assert/strict');
const { basename } = require('node:path');
const fc = require('fast-check');
const { HOSTS, assertAgrees } = require('./model.js');

const DAY = 86_400;
const index = fc.nat(11);
/** The name of a link that leads to one database, then to another. */
const LINK = 'current.db';

/** How often each command has run, so that a test can tell whether it tried anything. */
const runs = new Map();

/** Makes a command of a name, its arguments, when it can be run, and what it does. */
function command(name, args, { check = () => true, run }) {
  runs.set(name, 0);
  return fc.tuple(...args).map((values) => ({
    check: (model) => check(model, ...values) !== undefined,
    run: async (model, world) => {
      runs.set(name, runs.get(name) + 1);
      await run(model, world, ...values);
      await assertAgrees(model, world);
    },
    toString: () => `${name}(${values.join(', ')})`,
  }));
}

const chosen = (model, at) => model.pick(model.present(), at);
const names = (database) => database.snapshots.map(({ name }) => name);

/** A row of another's snapshot is there only when it came with a copied file, or was restored on purpose. */
function assertOwnRows(world, database) {
  const rows = world.rows(database.host, database.slot);
  const isExpected = (row) => database.made.has(row) || database.brought.has(row);
  const foreign = rows.filter((row) => !isExpected(row));
  assert.deepEqual(foreign, [], `rows of other databases' snapshots in the table of ${database.slot}`);
}

async function create(model, world, database) {
  const name = model.newName();
  const { snapshot } = await world.writer(database.host, database.slot).createSnapshot(name);
  database.snapshots.push({ name, id: snapshot.id, value: database.value });
  database.made.add(name);
  assertOwnRows(world, database);
}

/** Each host has a database at the same path, with a snapshot. */
async function begin(model, world) {
  for (const host of HOSTS) {
    const value = model.newValue();
    world.make(host, 'a.db', value);
    await create(model, world, model.appear(host, 'a.db', value));
  }
}

const commands = [
  command('make', [fc.constantFrom(...HOSTS), index], {
    check: (model, host, at) => model.pick(model.freeSlots(host), at),
    run: async (model, world, host, at) => {
      const slot = model.pick(model.freeSlots(host), at);
      const value = model.newValue();
      world.make(host, slot, value);
      await create(model, world, model.appear(host, slot, value));
    },
  }),
  command('write', [index], {
    check: chosen,
    run: (model, world, at) => {
      const database = chosen(model, at);
      database.value = model.newValue();
      database.beforeRestore = undefined;
      world.write(database.host, database.slot, database.value);
    },
  }),
  command('create', [index], {
    check: chosen,
    run: (model, world, at) => create(model, world, chosen(model, at)),
  }),
  command('copy', [index, index], {
    check: (model, at, to) => chosen(model, at) && model.pick(model.freeSlots(chosen(model, at).host), to),
    run: async (model, world, at, to) => {
      const from = chosen(model, at);
      const slot = model.pick(model.freeSlots(from.host), to);
      world.copy(from.host, from.slot, slot);
      const copied = model.appear(from.host, slot, from.value);
      for (const row of world.rows(from.host, slot)) copied.brought.add(row);
      await create(model, world, copied);
    },
  }),
  command('rename', [index, index], {
    check: (model, at, to) => chosen(model, at) && model.pick(model.unknownSlots(chosen(model, at).host), to),
    run: async (model, world, at, to) => {
      const database = chosen(model, at);
      const slot = model.pick(model.unknownSlots(database.host), to);
      world.rename(database.host, database.slot, slot);
      model.rename(database, slot);
      model.forgetRestores((other) => other === database);
      await create(model, world, database);
    },
  }),
  command('rewrite', [index], {
    check: chosen,
    run: (model, world, at) => world.rewrite(chosen(model, at).host, chosen(model, at).slot),
  }),
  command('create by a link', [index], {
    check: chosen,
    run: async (model, world, at) => {
      const { host, slot, value, snapshots, made } = chosen(model, at);
      const name = model.newName();
      world.link(host, slot, LINK);
      const { snapshot } = await world.writer(host, LINK).createSnapshot(name);
      world.lose(host, LINK);
      // A link to a database that is known by its own name is another way to it.
      snapshots.push({ name, id: snapshot.id, value });
      made.add(name);
    },
  }),
  command('move the folder', [fc.constantFrom(...HOSTS)], {
    run: (_, world, host) => world.moveFolder(host),
  }),
  command('set the clock', [fc.constantFrom(0, -2 * DAY, 2 * DAY)], {
    run: (_, world, shift) => (world.shift = shift),
  }),
  command('restore', [index, index], {
    check: (model, at, which) => model.pick(chosen(model, at)?.snapshots ?? [], which),
    run: async (model, world, at, which) => {
      const database = chosen(model, at);
      const { name, value } = model.pick(database.snapshots, which);
      await world.writer(database.host, database.slot).restoreFromSnapshot(name);
      Object.assign(database, { beforeRestore: database.value, value });
      assertOwnRows(world, database);
    },
  }),
  command('restore across', [index, index, fc.boolean()], {
    check: (model, at, which) => model.pick(foreign(model, chosen(model, at)), which),
    run: async (model, world, at, which, foreignIsMeant) => {
      const database = chosen(model, at);
      const { owner, snapshot } = model.pick(foreign(model, database), which);
      // One without snapshots, under the same name, may be the owner on a new host.
      const maySuit = names(database).length === 0 && basename(owner.slot) === basename(database.slot);
      if (!foreignIsMeant && maySuit) return;
      const restoring = world
        .writer(database.host, database.slot)
        .restoreFromSnapshot(snapshot.name, { foreign: foreignIsMeant });
      if (foreignIsMeant) {
        await restoring;
        Object.assign(database, { beforeRestore: database.value, value: snapshot.value });
        database.brought.add(snapshot.name);
        assertOwnRows(world, database);
      } else {
        await assert.rejects(restoring, { name: 'SnapshotError' }, `${snapshot.name} is of another database`);
      }
    },
  }),
  command('undo', [index], {
    check: (model, at) => restored(model, at),
    run: async (model, world, at) => {
      const database = restored(model, at);
      await world.writer(database.host, database.slot).undoRestore();
      Object.assign(database, { value: database.beforeRestore, beforeRestore: undefined });
    },
  }),
  command('prune', [index, fc.integer({ min: 1, max: 3 })], {
    check: chosen,
    run: async (model, world, at, keepLast) => {
      const database = chosen(model, at);
      const { removed } = await world.writer(database.host, database.slot).prune({ keepLast });
      const gone = new Set(removed.map(({ name }) => name));
      const stays = names(database).slice(-keepLast);
      assert.deepEqual(
        stays.filter((name) => gone.has(name)),
        [],
        'the last ones stay',
      );
      database.snapshots = database.snapshots.filter(({ name }) => !gone.has(name));
    },
  }),
  command('delete', [index, index], {
    check: (model, at, which) => model.pick(chosen(model, at)?.snapshots ?? [], which),
    run: async (model, world, at, which) => {
      const database = chosen(model, at);
      const { name } = model.pick(database.snapshots, which);
      await world.writer(database.host, database.slot).deleteSnapshot(name);
      database.snapshots = database.snapshots.filter((snapshot) => snapshot.name !== name);
    },
  }),
  command("delete another's", [index, index], {
    check: (model, at, which) => model.pick(foreign(model, chosen(model, at)), which),
    run: async (model, world, at, which) => {
      const database = chosen(model, at);
      const { snapshot } = model.pick(foreign(model, database), which);
      await assert.rejects(
        world.writer(database.host, database.slot).deleteSnapshot(snapshot.name),
        { name: 'SnapshotError' },
        `${snapshot.name} is of another database`,
      );
    },
  }),
  command('ask for the status', [index], {
    check: chosen,
    run: async (model, world, at) => {
      const database = chosen(model, at);
      const { latest } = await world.writer(database.host, database.slot).status();
      if (latest)
        assert.ok(names(database).includes(latest.name), `${latest.name} vouches for ${database.slot}`);
    },
  }),
  command('lose and bootstrap', [index], {
    check: chosen,
    run: async (model, world, at) => {
      const database = chosen(model, at);
      world.lose(database.host, database.slot);
      const outcome = await world.writer(database.host, database.slot).bootstrapDatabase();
      const newest = database.snapshots.at(-1);
      if (newest) {
        assert.equal(outcome.bootstrapped, true, `bootstrapping ${database.slot}: ${outcome.error}`);
        database.value = newest.value;
      } else {
        // It may begin as a copy of the only other one of its name; that makes it no other database.
        database.value = world.read(database.host, database.slot);
        if (database.value !== null) {
          for (const row of world.rows(database.host, database.slot)) database.brought.add(row);
        }
      }
      database.beforeRestore = undefined;
    },
  }),
];

/** Snapshots that a database can reach and that are not its own. */
function foreign(model, database) {
  if (!database) return [];
  return model.reachable(database.host).filter(({ owner }) => owner !== database);
}

function restored(model, at) {
  return model.pick(
    model.present().filter(({ beforeRestore }) => beforeRestore !== undefined),
    at,
  );
}

module.exports = { begin, commands, runs };
