'use strict';

// What the migrations, the database and Prisma's record of it say together.

const { tablesMadeBy } = require('./migrations.js');

const TABLE = 'snapshot';

/** The database as `inspectSchema` saw it; null when there is none or it was not looked at. */
class State {
  constructor(migrations, schema) {
    this.migrations = migrations;
    this.schema = schema;
  }

  get hasTables() {
    return this.schema !== null && (this.schema.tables.length > 0 || this.schema.hasCatalog);
  }

  /** Tables and no history: `migrate deploy` refuses with P3005. */
  get lacksHistory() {
    return this.hasTables && this.schema.migrations === null;
  }

  /** Migrations that were begun and not finished: `migrate deploy` refuses with P3009. */
  get failed() {
    return (this.schema?.migrations ?? []).filter(({ state }) => state === 'failed').map(({ name }) => name);
  }

  isRecorded(name) {
    return (this.schema?.migrations ?? []).some((row) => row.name === name && row.state === 'applied');
  }

  /** Those that the database has had, though nothing says so. */
  get unrecorded() {
    return this.migrations.filter(({ name }) => this.schema?.already.includes(name));
  }

  /** Why it cannot be told which these are; null when it can. */
  get unclear() {
    return this.schema?.unclear ?? null;
  }

  get madeTheTable() {
    return this.migrations.filter((migration) => tablesMadeBy(migration).some(({ name }) => name === TABLE));
  }

  /** Whether no migration that is still to be applied makes the table, and it is not there either. */
  get needsMigration() {
    const makers = this.madeTheTable;
    const isOurs = (migration) =>
      tablesMadeBy(migration).some(({ name, ifNotExists }) => name === TABLE && ifNotExists);
    if (makers.some((maker) => isOurs(maker) && !this.unrecorded.includes(maker))) return false;
    if (makers.length === 0) return true;
    if (this.schema === null || this.schema.hasCatalog) return false;
    return makers.every((maker) => this.isRecorded(maker.name) || this.unrecorded.includes(maker));
  }

  get hasUnapplied() {
    return this.migrations.some(({ name }) => !this.isRecorded(name));
  }
}

module.exports = { State };
