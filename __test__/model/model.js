'use strict';

// What a user believes: a database is what lies at a path, whatever its content; snapshots belong to the
// database that made them. Plain objects and no look at how the package does it.

const assert = require('node:assert/strict');

/** The paths at which a host may have a database. Two of them share their file name. */
const SLOTS = ['a.db', 'b.db', 'sub/a.db'];
const HOSTS = [0, 1];

class Model {
  constructor({ sharesBucket = false } = {}) {
    this.sharesBucket = sharesBucket;
    this.lastName = 0;
    this.lastValue = 0;
    /** By host and slot; a lost database stays, because its path still stands for it. */
    this.databases = new Map();
  }

  newValue() {
    this.lastValue += 1;
    return `value ${this.lastValue}`;
  }

  newName() {
    this.lastName += 1;
    return `s${this.lastName}`;
  }

  at(host, slot) {
    return this.databases.get(`${host} ${slot}`);
  }

  /** Puts a database at a path: the one that the path stands for, or one that nobody has seen yet. */
  appear(host, slot, value) {
    const known = this.at(host, slot);
    if (known) {
      Object.assign(known, { value, beforeRestore: undefined });
      return known;
    }
    const made = {
      host,
      slot,
      value,
      snapshots: [],
      made: new Set(),
      brought: new Set(),
      beforeRestore: undefined,
    };
    this.databases.set(`${host} ${slot}`, made);
    return made;
  }

  rename(database, slot) {
    this.databases.delete(`${database.host} ${database.slot}`);
    database.slot = slot;
    this.databases.set(`${database.host} ${slot}`, database);
  }

  /** The journal of restores goes by paths: what was restored under another one is not undone. */
  forgetRestores(isMeant) {
    for (const database of this.all().filter(isMeant)) database.beforeRestore = undefined;
  }

  all() {
    return [...this.databases.values()];
  }

  /** Those whose file is there. */
  present() {
    return this.all().filter((database) => database.value !== null);
  }

  pick(list, index) {
    return list.length === 0 ? undefined : list[index % list.length];
  }

  freeSlots(host) {
    return SLOTS.filter((slot) => (this.at(host, slot)?.value ?? null) === null);
  }

  /** Slots that stand for no database at all. */
  unknownSlots(host) {
    return SLOTS.filter((slot) => !this.at(host, slot));
  }

  /** Every snapshot that a host can reach, with the database that it belongs to. */
  reachable(host) {
    const owners = this.all().filter((database) => this.sharesBucket || database.host === host);
    return owners.flatMap((owner) => owner.snapshots.map((snapshot) => ({ owner, snapshot })));
  }
}

/** Fails when anything on disk is not as the model has it, whatever operation came last. */
async function assertAgrees(model, world, { lists = false } = {}) {
  for (const database of model.all()) {
    const { host, slot, value } = database;
    assert.equal(world.read(host, slot), value, `what ${slot} of host ${host} holds`);
  }
  for (const host of HOSTS) {
    const there = world.manifests(host);
    for (const { host: of, slot, snapshots } of model.all()) {
      if (of !== host) continue;
      for (const { name, id } of snapshots) {
        assert.ok(there.has(id), `snapshot ${name} of ${slot} on host ${host} is gone from the folder`);
      }
    }
    if (lists) await assertListed(model, world, host);
  }
}

/** Every snapshot in reach is listed, and its name still means it. */
async function assertListed(model, world, host) {
  const reachable = model.reachable(host);
  if (reachable.length === 0) return;
  const listed = new Map(
    (await world.writer(host, SLOTS[0]).listSnapshots()).map(({ name, id }) => [name, id]),
  );
  for (const { snapshot } of reachable) {
    assert.equal(listed.get(snapshot.name), snapshot.id, `what ${snapshot.name} means on host ${host}`);
  }
}

module.exports = { HOSTS, Model, SLOTS, assertAgrees };
