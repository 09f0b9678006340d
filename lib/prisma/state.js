'use strict';

// What the migrations, the database and Prisma's record of it say together.

const { tablesMadeBy } = require('./migrations.js');

const TABLE = 'snapshot';

/** The database as `inspectSchema` saw it; null when there is none or it was not looked at. */
class State {
  constructor(migrations, schema) {
    this.migrations = migrations;
    this.schema = schema;
    const names = schema ? [...schema.tables, ...(schema.hasCatalog ? [TABLE] : [])] : [];
    this.tables = new Set(names.map((name) => name.toLowerCase()));
  }

  /** Tables and no history: `migrate deploy` refuses with P3005. */
  get lacksHistory() {
    return this.tables.size > 0 && this.schema.migrations === null;
  }

  /** Migrations that were begun and not finished: `migrate deploy` refuses with P3009. */
  get failed() {
    return (this.schema?.migrations ?? []).filter(({ state }) => state === 'failed').map(({ name }) => name);
  }

  isRecorded(name) {
    return (this.schema?.migrations ?? []).some((row) => row.name === name && row.state === 'applied');
  }

  /** Those whose tables are there already, though nothing says so. */
  get unrecorded() {
    if (!this.lacksHistory) return this.madeTheTable.filter((migration) => this.wouldStumble(migration));
    return this.migrations.filter((migration) => {
      const made = tablesMadeBy(migration);
      if (made.some(({ ifNotExists }) => ifNotExists)) return false;
      return made.length === 0 || made.some(({ name }) => this.tables.has(name));
    });
  }

  get madeTheTable() {
    return this.migrations.filter((migration) => tablesMadeBy(migration).some(({ name }) => name === TABLE));
  }

  /** Whether it would make a table that is there. */
  wouldStumble(migration) {
    const clashes = ({ name, ifNotExists }) => !ifNotExists && this.tables.has(name);
    return !this.isRecorded(migration.name) && tablesMadeBy(migration).some(clashes);
  }

  /** Whether no migration that is still to be applied makes the table, and it is not there either. */
  get needsMigration() {
    const makers = this.madeTheTable;
    const isOurs = (migration) =>
      tablesMadeBy(migration).some(({ name, ifNotExists }) => name === TABLE && ifNotExists);
    if (makers.some(isOurs)) return false;
    if (makers.length === 0) return true;
    if (this.schema === null || this.schema.hasCatalog) return false;
    return makers.every((maker) => this.isRecorded(maker.name) || this.unrecorded.includes(maker));
  }

  get hasUnapplied() {
    return this.migrations.some(({ name }) => !this.isRecorded(name));
  }
}

module.exports = { State };
