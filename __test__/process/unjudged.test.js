'use strict';

// What SQLite cannot judge here, because only the application has what it takes, and content that breaks a rule of the
// schema: both are stored and told, and never taken for damage.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { test } = require('node:test');
const Database = require('better-sqlite3');
const LibSql = require('libsql');
const { damageFiller, fill, withDatabase } = require('../support/database.js');
const { verdicts } = require('../support/health.js');
const { makeRecoveryRig } = require('../support/recovery.js');
const { refused } = require('../support/rig.js');

const ROWS = "INSERT INTO m(s) VALUES ('A'), ('b')";
const TABLE = 'CREATE TABLE m(id INTEGER PRIMARY KEY, s TEXT';

/** Opens the database as the application does that has functions of its own. */
function withApplication(file, use) {
  const db = new Database(file);
  try {
    db.function('fold', { deterministic: true }, (text) => String(text).toLowerCase());
    db.function('regexp', { deterministic: true }, (pattern, text) => Number(new RegExp(pattern).test(text)));
    return use(db);
  } finally {
    db.close();
  }
}

const bySql = (sql) => (file) => withApplication(file, (db) => db.exec(sql));

/** By an SQLite that has something under another name: `from` becomes `to` in the schema. */
const renamed = (sql, from, to) => (file) =>
  withApplication(file, (db) => {
    db.exec(sql);
    db.unsafeMode();
    db.pragma('writable_schema = ON');
    db.prepare('UPDATE sqlite_schema SET sql = replace(sql, ?, ?)').run(from, to);
  });

const byLibSql = (sql) => (file) => {
  const db = new LibSql(file);
  db.exec(sql);
  db.close();
};

/** Databases in which nothing is damaged: how they are made, and what is told of them at the latest by a full check. */
const SITUATIONS = {
  'a CHECK that calls a function': [bySql(`${TABLE} CHECK (fold(s) = lower(s))); ${ROWS}`), null],
  'a CHECK with REGEXP': [bySql(`${TABLE} CHECK (s REGEXP '.')); ${ROWS}`), null],
  'a generated column': [bySql(`${TABLE}, g TEXT AS (fold(s))); ${ROWS}`), /fold/],
  'a stored generated column': [bySql(`${TABLE}, g TEXT AS (fold(s)) STORED); ${ROWS}`), null],
  'an index over a function': [bySql(`${TABLE}); CREATE INDEX i ON m(fold(s)); ${ROWS}`), /fold/],
  'a partial index': [bySql(`${TABLE}); CREATE INDEX i ON m(s) WHERE fold(s) = 'a'; ${ROWS}`), /fold/],
  'a view, a trigger and a default with a function': [
    bySql(`${TABLE} DEFAULT (fold('X'))); CREATE TABLE l(x); CREATE VIEW v AS SELECT fold(s) FROM m;
      CREATE TRIGGER t AFTER INSERT ON m BEGIN INSERT INTO l VALUES (fold(new.s)); END; ${ROWS}`),
    null,
  ],
  'a collation': [
    renamed(`${TABLE} COLLATE BINARY); CREATE INDEX i ON m(s); ${ROWS}`, 'BINARY', 'LOCALIZED'),
    /LOCALIZED/,
  ],
  'a collation of ICU in a primary key': [
    renamed(
      `${TABLE}); CREATE TABLE k(s TEXT COLLATE BINARY PRIMARY KEY) WITHOUT ROWID; ${ROWS}`,
      'BINARY',
      'tr_TR',
    ),
    /tr_TR/,
  ],
  'an fts5 table with an unknown tokenizer': [
    renamed(
      `${TABLE}); CREATE VIRTUAL TABLE w USING fts5(body, tokenize=porter); INSERT INTO w VALUES ('x'); ${ROWS}`,
      'porter',
      'jieba',
    ),
    /w could not be judged/,
  ],
  'an fts4 table with an unknown tokenizer': [
    renamed(
      `${TABLE}); CREATE VIRTUAL TABLE w USING fts4(body, tokenize=porter); INSERT INTO w VALUES ('x'); ${ROWS}`,
      'porter',
      'icu',
    ),
    /icu/,
  ],
  'a vector index of libSQL': [
    byLibSql(`${TABLE}, e F32_BLOB(3)); CREATE INDEX i ON m(libsql_vector_idx(e));
      INSERT INTO m(s, e) VALUES ('A', vector32('[1,2,3]')), ('b', vector32('[4,5,6]'))`),
    /index i|libsql_vector_idx/,
  ],
  'a NULL that an ALTER of libSQL has left': [
    byLibSql(`${TABLE}, n TEXT); ${ROWS}; ALTER TABLE m ALTER COLUMN n TO n TEXT NOT NULL DEFAULT 'x'`),
    /NULL value in m\.n/,
  ],
  'a row that breaks a CHECK': [
    renamed(
      `${TABLE}, n INTEGER CHECK (n < 9)); INSERT INTO m(s, n) VALUES ('A', 5), ('b', 5)`,
      'n < 9',
      'n < 1',
    ),
    null,
  ],
};

const rowsOf = (file) => withApplication(file, (db) => db.prepare('SELECT count(*) FROM m').pluck().get());

for (const [what, [make, told]] of Object.entries(SITUATIONS)) {
  test(`${what} is no damage`, async (t) => {
    const rig = makeRecoveryRig(t);
    make(rig.database);
    const { snapshot } = await rig.writer.createSnapshot('a');
    assert.equal(snapshot.status, 'COMPLETED');
    const listed = await rig.writer.getSnapshot('a');
    const warnings = rig.log.warnings().map(({ message, fields }) => `${message} ${JSON.stringify(fields)}`);
    assert.equal(
      warnings.some((line) => /could not judge everything/.test(line)),
      Boolean(listed.unjudged),
    );

    // The same image again: what was not judged then is not judged now.
    await rig.writer.createSnapshot('b');
    assert.deepEqual((await rig.writer.getSnapshot('b')).unjudged, listed.unjudged);

    const { healthy, checks } = await rig.writer.status();
    assert.equal(healthy, true, JSON.stringify(checks));
    const integrity = checks.find(({ name }) => name === 'integrity');
    assert.equal(integrity.verdict, listed.unjudged ? 'warning' : 'ok', integrity.reason);

    const { ok, problems, unjudged } = await rig.writer.verifySnapshot('a', { level: 'database' });
    assert.deepEqual([ok, problems], [true, []]);
    if (told) assert.match(unjudged.join('\n'), told);
    else assert.equal(unjudged, undefined);

    const validity = await rig.recovery.validateDatabaseIntegrity();
    assert.deepEqual([validity.valid, validity.damaged, validity.problems], [true, false, []]);
    assert.deepEqual(validity.unjudged, unjudged);

    const drill = await rig.writer.drill();
    assert.equal(drill.outcome, 'passed', JSON.stringify(drill));
    const check = drill.checks.find(({ name }) => name === 'integrity_check');
    assert.deepEqual(check.unjudged, unjudged);
    assert.equal((await verdicts(rig.writer)).drill, 'ok');

    await rig.recovery.createPreOperationBackup('x');
    const before = rowsOf(rig.database);
    const recovered = await rig.recovery.recoverFromFailedRestore('a', new Error('it failed'));
    assert.equal(recovered.state, 'unchanged');
    assert.deepEqual(recovered.unjudged, unjudged);
    assert.equal(rowsOf(rig.database), before);

    const plain = 'snapshot_2020-01-02T03-04-05-678Z';
    fs.copyFileSync(rig.database, path.join(rig.snapshotDir, `${plain}.db`));
    for (const name of ['a', plain]) {
      await rig.writer.restoreFromSnapshot(name);
      assert.equal(rowsOf(rig.database), before);
    }

    assert.equal(await rig.writer.isDatabaseEmpty(), false);
    assert.deepEqual((await rig.writer.bootstrapDatabase()).bootstrapped, false);
    fs.rmSync(rig.database);
    const bootstrap = await rig.writer.bootstrapDatabase();
    assert.equal(bootstrap.bootstrapped, true, JSON.stringify(bootstrap));
    assert.equal(rowsOf(rig.database), before);
  });
}

for (const [what, [make]] of Object.entries(SITUATIONS)) {
  test(`real damage beside ${what} is found`, async (t) => {
    const rig = makeRecoveryRig(t);
    make(rig.database);
    withDatabase(rig.database, (db) => fill(db, 1));
    await rig.writer.createSnapshot('sound');
    const before = rowsOf(rig.database);
    damageFiller(rig.database);
    await refused(rig.writer.createSnapshot('damaged'), 'CHECK_FAILED');
    assert.equal((await rig.writer.status()).healthy, false);
    assert.equal((await rig.recovery.validateDatabaseIntegrity()).damaged, true);
    const { state, snapshot } = await rig.recovery.recoverFromFailedRestore('x', new Error('it failed'));
    assert.deepEqual([state, snapshot.name], ['rolledBack', 'sound']);
    assert.equal(rowsOf(rig.database), before);
  });
}

test('a row without its parent is a problem of the data, and no damage of the snapshot', async (t) => {
  const rig = makeRecoveryRig(t);
  bySql(`CREATE TABLE m(id INTEGER PRIMARY KEY, s TEXT REFERENCES p(id)); CREATE TABLE p(id TEXT PRIMARY KEY);
    PRAGMA foreign_keys=OFF; ${ROWS}`)(rig.database);
  await rig.writer.createSnapshot('a');
  const { ok, problems } = await rig.writer.verifySnapshot('a', { level: 'database' });
  assert.equal(ok, false);
  assert.match(problems.join(), /row 1 of m points to a missing row of p/);
  assert.equal((await rig.writer.status()).healthy, true);
  const { newest, integrity } = await verdicts(rig.writer);
  assert.deepEqual([newest, integrity], ['ok', 'ok']);
});

for (const coreTables of [undefined, ['notes']]) {
  test(`rows in a table that cannot be read are not overwritten (core tables: ${coreTables ?? 'default'})`, async (t) => {
    const rig = makeRecoveryRig(t);
    const writer = rig.newWriter(coreTables && { coreTables });
    withDatabase(rig.database, (db) => {
      db.exec(
        "CREATE VIRTUAL TABLE notes USING fts4(body, tokenize=porter); INSERT INTO notes VALUES ('january')",
      );
    });
    await writer.createSnapshot('january');
    renamed(
      "DELETE FROM notes; INSERT INTO notes VALUES ('february'), ('march')",
      'porter',
      'icu',
    )(rig.database);
    assert.equal(await writer.isDatabaseEmpty(), false);
    assert.equal((await writer.bootstrapDatabase()).bootstrapped, false);
    const kept = withDatabase(rig.database, (db) =>
      db.prepare('SELECT c0body FROM notes_content').pluck().all(),
    );
    assert.deepEqual(kept, ['february', 'march']);
    await writer.createSnapshot('march');
    assert.equal((await writer.getSnapshot('march')).isEmpty, false);
  });
}
