#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use super::*;

const CORE: [&str; 3] = ["Reality", "RecursionPath", "ConsciousnessField"];

fn core() -> Vec<String> {
    CORE.map(String::from).to_vec()
}

fn database(sql: &str) -> (tempfile::TempDir, Connection) {
    let folder = tempfile::tempdir().unwrap();
    let conn = Connection::open(folder.path().join("dev.db")).unwrap();
    conn.execute_batch(sql).unwrap();
    (folder, conn)
}

fn empty(sql: &str) -> bool {
    let (_folder, conn) = database(sql);
    let answer = is_empty(&conn, &core()).unwrap();
    assert!(conn.is_autocommit(), "the read transaction is over");
    answer
}

fn number(conn: &Connection, sql: &str) -> i64 {
    conn.query_row(sql, [], |row| row.get(0)).unwrap()
}

/// All or nothing, as under the write lock.
fn reset(conn: &Connection) -> rusqlite::Result<()> {
    let transaction = conn.unchecked_transaction()?;
    delete_everything(&transaction)?;
    transaction.commit()
}

const APPLICATION: &str = include_str!("schema_of_the_application.sql");

#[test]
fn no_tables_is_empty() {
    assert!(empty(""));
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("zero.db"), b"").unwrap();
    let conn = Connection::open(folder.path().join("zero.db")).unwrap();
    assert!(is_empty(&conn, &core()).unwrap());
}

#[test]
fn core_tables_decide_when_there_are_any() {
    assert!(empty(APPLICATION));
    assert!(
        empty(&format!("{APPLICATION} INSERT INTO Metric VALUES ('requests', 1);")),
        "other tables do not count"
    );
    for insert in [
        "INSERT INTO Reality VALUES ('a', 'd', '{}', 1, NULL, 1, 1);",
        "INSERT INTO RecursionPath VALUES ('a', 'b', 'c', 1, 0.5, 1, 1);",
        "INSERT INTO ConsciousnessField VALUES ('a', 'b', 'c', 1, 0.5, 1, 1);",
    ] {
        assert!(!empty(&format!("{APPLICATION} {insert}")), "{insert}");
    }
    assert!(empty(
        "CREATE TABLE Reality (id); CREATE TABLE x (id); INSERT INTO x VALUES (1);"
    ));
    assert!(
        !empty("CREATE TABLE reality (id); INSERT INTO reality VALUES (1);"),
        "names have no case"
    );
}

#[test]
fn without_core_tables_every_table_but_bookkeeping_counts() {
    assert!(empty(
        "CREATE TABLE Snapshot (id); INSERT INTO Snapshot VALUES (1);
         CREATE TABLE _prisma_migrations (id); INSERT INTO _prisma_migrations VALUES (1);
         CREATE TABLE numbered (id INTEGER PRIMARY KEY AUTOINCREMENT);
         INSERT INTO numbered VALUES (9); DELETE FROM numbered;
         CREATE VIEW everything AS SELECT 1;"
    ));
    assert!(!empty(
        "CREATE TABLE \"a \"\" b\" (id); INSERT INTO \"a \"\" b\" VALUES (NULL);"
    ));
    assert!(!empty(
        "CREATE TABLE w (id PRIMARY KEY) WITHOUT ROWID; INSERT INTO w VALUES (1);"
    ));
}

#[test]
fn an_index_over_nothing_is_empty_although_it_has_tables_of_its_own() {
    for index in [
        "CREATE VIRTUAL TABLE words USING fts5(body);",
        "CREATE VIRTUAL TABLE words USING fts5(body, content='');",
        "CREATE VIRTUAL TABLE words USING fts4(body);",
        "CREATE VIRTUAL TABLE words USING rtree(id, body, high);",
    ] {
        assert!(empty(index), "{index}");
        assert!(
            !empty(&format!("{index} INSERT INTO words (rowid, body) VALUES (1, -2);")),
            "{index}"
        );
    }
}

#[test]
fn a_table_of_an_unknown_extension_errs_towards_not_empty() {
    let sql = "CREATE TABLE vectors_chunks (id); PRAGMA writable_schema=ON;
         INSERT INTO sqlite_schema VALUES ('table', 'vectors', 'vectors', 0, 'CREATE VIRTUAL TABLE vectors USING vec0(x)');";
    let (folder, conn) = database(sql);
    drop(conn);
    let conn = Connection::open(folder.path().join("dev.db")).unwrap();
    assert!(is_empty(&conn, &core()).unwrap());
    conn.execute_batch("INSERT INTO vectors_chunks VALUES (1)").unwrap();
    assert!(!is_empty(&conn, &core()).unwrap());
    let error = reset(&conn).unwrap_err();
    assert!(error.to_string().contains("vec0"), "{error}");
    assert_eq!(
        number(&conn, "SELECT count(*) FROM vectors_chunks"),
        1,
        "nothing was reset"
    );
}

#[test]
fn a_table_that_cannot_be_read_is_as_empty_as_what_holds_its_rows() {
    for index in [
        "fts4(body, tokenize=porter)",
        "fts5(body, tokenize=porter)",
        "fts4(body, tokenize=porter, prefix='2')",
    ] {
        for core in [vec![], vec!["words".to_owned()]] {
            let (folder, conn) = database(&format!("CREATE VIRTUAL TABLE words USING {index};"));
            conn.execute_batch(
                "PRAGMA writable_schema=ON; UPDATE sqlite_schema SET sql = replace(sql, 'porter', 'own')",
            )
            .unwrap();
            let again = Connection::open(folder.path().join("dev.db")).unwrap();
            // FTS5 reads rows without their tokenizer.
            let is_readable = again.prepare("SELECT 1 FROM words").is_ok();
            assert_eq!(is_readable, index.starts_with("fts5"), "{index}");
            assert!(is_empty(&again, &core).unwrap(), "{index} {core:?}");
            conn.execute_batch("INSERT INTO words(body) VALUES ('february')")
                .unwrap();
            assert!(!is_empty(&again, &core).unwrap(), "{index} {core:?}");
            let counted = core_counts(&again, &core).unwrap().len();
            assert_eq!(counted, if is_readable { core.len() } else { 0 }, "{index} {core:?}");
        }
    }
}

#[test]
fn a_table_of_which_nobody_knows_what_holds_its_rows_is_not_empty() {
    let sql = "PRAGMA writable_schema=ON;
         INSERT INTO sqlite_schema VALUES ('table', 'far', 'far', 0, 'CREATE VIRTUAL TABLE far USING elsewhere(x)');";
    let (folder, conn) = database(sql);
    drop(conn);
    let conn = Connection::open(folder.path().join("dev.db")).unwrap();
    assert!(!is_empty(&conn, &core()).unwrap());
}

#[test]
fn rows_in_an_order_that_only_the_application_knows_are_rows() {
    let tables = "CREATE TABLE Reality(id TEXT COLLATE own PRIMARY KEY) WITHOUT ROWID;
         CREATE TABLE RecursionPath(id TEXT COLLATE own); CREATE INDEX i ON RecursionPath(id);";
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dev.db");
    let application = Connection::open(&path).unwrap();
    application
        .create_collation("own", |one, other| other.cmp(one))
        .unwrap();
    application.execute_batch(tables).unwrap();
    let conn = Connection::open(&path).unwrap();
    assert!(is_empty(&conn, &core()).unwrap());
    application
        .execute_batch("INSERT INTO Reality VALUES ('a'), ('b'); INSERT INTO RecursionPath VALUES ('c')")
        .unwrap();
    assert!(!is_empty(&conn, &core()).unwrap());
    let counts = core_counts(&conn, &core()).unwrap();
    assert_eq!((counts["Reality"], counts["RecursionPath"]), (2, 1));
}

#[test]
fn it_can_be_asked_inside_a_transaction() {
    let (_folder, conn) = database(APPLICATION);
    conn.execute_batch("BEGIN; INSERT INTO Reality VALUES ('a', 'd', '{}', 1, NULL, 1, 1);")
        .unwrap();
    assert!(!is_empty(&conn, &core()).unwrap());
    assert!(!conn.is_autocommit(), "the caller's transaction goes on");
}

#[test]
fn a_lock_is_no_answer() {
    let (folder, conn) = database(&format!("CREATE VIRTUAL TABLE words USING fts5(body); {APPLICATION}"));
    conn.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let other = Connection::open(folder.path().join("dev.db")).unwrap();
    other.busy_timeout(std::time::Duration::ZERO).unwrap();
    for error in [is_empty(&other, &core()).unwrap_err(), reset(&other).unwrap_err()] {
        assert_eq!(
            error.sqlite_error_code(),
            Some(rusqlite::ErrorCode::DatabaseBusy),
            "{error}"
        );
    }
    assert!(
        other.db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_FKEY).unwrap(),
        "on again after a failure"
    );
    assert!(other.db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER).unwrap());
}

#[test]
fn core_tables_are_counted() {
    let (_folder, conn) = database(
        "CREATE TABLE Reality (id); INSERT INTO Reality VALUES (1), (2);
         CREATE TABLE RecursionPath (id); CREATE TABLE Metric (id); INSERT INTO Metric VALUES (1);",
    );
    let counts = core_counts(&conn, &core()).unwrap();
    let expected = [("Reality", 2), ("RecursionPath", 0), ("ConsciousnessField", 0)];
    assert_eq!(counts, expected.map(|(name, rows)| (name.to_owned(), rows)).into());
}

#[test]
fn a_reset_leaves_the_schema_and_nothing_else() {
    let (folder, conn) = database(&format!(
        "{APPLICATION}
         INSERT INTO Reality VALUES ('a', 'd', '{{}}', 1, NULL, 1, 1);
         INSERT INTO Metric VALUES ('requests', 1);
         INSERT INTO Snapshot VALUES ('i', 'n', 'k', 'c', 1, 'COMPLETED', NULL, NULL, NULL, 1, 1, 1);
         CREATE TABLE _prisma_migrations (id); INSERT INTO _prisma_migrations VALUES (1);
         CREATE TABLE parent (id INTEGER PRIMARY KEY);
         CREATE TABLE child (parent NOT NULL REFERENCES parent (id) ON DELETE RESTRICT);
         CREATE TABLE \"selfish \"\"\" (id INTEGER PRIMARY KEY, other NOT NULL REFERENCES \"selfish \"\"\" (id));
         INSERT INTO parent VALUES (1); INSERT INTO child VALUES (1); INSERT INTO \"selfish \"\"\" VALUES (1, 1);
         CREATE TABLE keyed (id TEXT PRIMARY KEY) WITHOUT ROWID; INSERT INTO keyed VALUES ('a');
         CREATE TABLE strict (id INT, twice INT AS (id * 2) STORED) STRICT; INSERT INTO strict VALUES (1);
         CREATE TABLE numbered (id INTEGER PRIMARY KEY AUTOINCREMENT); INSERT INTO numbered VALUES (41);
         CREATE TABLE audit (what); INSERT INTO audit VALUES ('before');
         CREATE TRIGGER guard BEFORE DELETE ON Reality BEGIN SELECT raise(ABORT, 'no deleting'); END;
         CREATE TRIGGER diary AFTER DELETE ON Metric BEGIN INSERT INTO audit VALUES (old.key); END;
         CREATE VIEW metrics AS SELECT * FROM Metric;
         CREATE TRIGGER through INSTEAD OF DELETE ON metrics BEGIN INSERT INTO audit VALUES ('view'); END;"
    ));
    let schema = schema(&conn);
    reset(&conn).unwrap();

    assert_eq!(self::schema(&conn), schema);
    let all = tables(&conn).unwrap();
    for table in all.iter().filter(|table| !table.is(PRISMA_MIGRATIONS)) {
        assert!(!has_rows(&conn, table, &all).unwrap(), "{} has rows", table.name);
    }
    assert_eq!(
        number(&conn, "SELECT count(*) FROM _prisma_migrations"),
        1,
        "belongs to the schema"
    );
    conn.execute_batch("INSERT INTO numbered DEFAULT VALUES").unwrap();
    assert_eq!(number(&conn, "SELECT id FROM numbered"), 1, "numbers start again");
    conn.execute_batch("INSERT INTO Metric VALUES ('k', 1); DELETE FROM Metric")
        .unwrap();
    assert_eq!(number(&conn, "SELECT count(*) FROM audit"), 1, "triggers are on again");
    assert!(
        conn.execute_batch("INSERT INTO child VALUES (5)").is_err(),
        "foreign keys are on again"
    );
    let check: String = conn.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(check, "ok");
    drop(folder);
}

#[test]
fn switches_that_were_off_stay_off() {
    let (_folder, conn) = database(APPLICATION);
    conn.pragma_update(None, "foreign_keys", false).unwrap();
    reset(&conn).unwrap();
    assert!(!conn.db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_FKEY).unwrap());
}

#[test]
fn a_reset_empties_indexes_of_every_kind() {
    for (index, row) in [
        ("fts5(body)", "INSERT INTO words (body) VALUES ('once')"),
        (
            "fts5(body, content='')",
            "INSERT INTO words (rowid, body) VALUES (1, 'once')",
        ),
        (
            "fts5(body, content='', contentless_delete=1)",
            "INSERT INTO words (rowid, body) VALUES (1, 'once')",
        ),
        (
            "fts5(body, content=page)",
            "INSERT INTO words (rowid, body) VALUES (1, 'once')",
        ),
        ("fts4(body)", "INSERT INTO words (body) VALUES ('once')"),
        (
            "fts4(body, content='')",
            "INSERT INTO words (docid, body) VALUES (1, 'once')",
        ),
        (
            "fts4(body, content=page)",
            "INSERT INTO words (docid, body) VALUES (1, 'once')",
        ),
        ("rtree(id, words, high)", "INSERT INTO words VALUES (1, 2, 3)"),
    ] {
        let (_folder, conn) = database(&format!(
            "CREATE TABLE page (body); INSERT INTO page VALUES ('once');
             CREATE VIRTUAL TABLE words USING {index}; {row};"
        ));
        if index.starts_with("fts5") {
            conn.execute_batch("CREATE VIRTUAL TABLE vocabulary USING fts5vocab(words, row)")
                .unwrap();
        }
        let schema = schema(&conn);
        reset(&conn).unwrap_or_else(|error| panic!("{index}: {error}"));
        assert_eq!(self::schema(&conn), schema, "{index}");
        let left = if index.starts_with("fts") {
            "SELECT count(*) FROM words WHERE words MATCH 'once'"
        } else {
            "SELECT count(*) FROM words"
        };
        assert_eq!(number(&conn, left), 0, "{index}");
        let check: String = conn.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(check, "ok", "{index}");
        conn.execute_batch(row)
            .unwrap_or_else(|error| panic!("{index} is of use again: {error}"));
    }
}

fn schema(conn: &Connection) -> Vec<(String, String, Option<String>)> {
    conn.prepare("SELECT type, name, sql FROM sqlite_schema ORDER BY type, name")
        .unwrap()
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .unwrap()
        .map(Result::unwrap)
        .collect()
}
