use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use super::*;
use crate::finding::Outcome;

const SCHEMA: &str = "
    CREATE TABLE t(id INTEGER PRIMARY KEY, text TEXT, amount REAL);
    INSERT INTO t VALUES (1, 'one', 1.5), (2, 'two', NULL), (3, '3', 3.0);
    CREATE VIRTUAL TABLE words USING fts5(body);
    INSERT INTO words VALUES ('some words');";

fn one(sql: &str, expected: Value) -> Vec<Assertion> {
    let mut assertion = json!({ "name": "it", "sql": sql });
    assertion
        .as_object_mut()
        .unwrap()
        .extend(expected.as_object().unwrap().clone());
    parse(&json!([assertion])).unwrap()
}

fn run(sql: &str, expected: Value) -> Result<Check> {
    let mut conn = Connection::open_in_memory().unwrap();
    conn.execute_batch(SCHEMA).unwrap();
    let checks = check(
        &mut conn,
        &one(sql, expected),
        Duration::from_secs(60),
        Arc::new(|| true),
    )?;
    assert_eq!(checks.len(), 1);
    Ok(checks.into_iter().next().unwrap())
}

fn outcome(sql: &str, expected: Value) -> (Outcome, String) {
    let check = run(sql, expected).unwrap();
    assert_eq!(check.name, "assertion: it");
    (check.outcome, check.detail)
}

#[test]
fn a_value_meets_its_expectation_or_not() {
    use Outcome::{Failed, Passed};
    for (sql, expected, wanted, detail) in [
        ("SELECT count(*) FROM t", json!({ "equals": 3 }), Passed, "3"),
        ("SELECT count(*) FROM t", json!({ "equals": 3.0 }), Passed, "3"),
        (
            "SELECT count(*) FROM t",
            json!({ "equals": 4 }),
            Failed,
            "3, expected 4",
        ),
        (
            "SELECT count(*) FROM t",
            json!({ "equals": "3" }),
            Failed,
            "3, expected the text \"3\"",
        ),
        ("SELECT count(*) FROM t", json!({ "min": 3, "max": 3 }), Passed, "3"),
        (
            "SELECT count(*) FROM t",
            json!({ "min": 3.5 }),
            Failed,
            "3, expected at least 3.5",
        ),
        (
            "SELECT count(*) FROM t",
            json!({ "max": 2 }),
            Failed,
            "3, expected at most 2",
        ),
        (
            "SELECT sum(amount) FROM t",
            json!({ "min": 4, "max": 5 }),
            Passed,
            "4.5",
        ),
        ("SELECT sum(amount) FROM t", json!({ "equals": 4.5 }), Passed, "4.5"),
        (
            "SELECT amount FROM t WHERE id = 2",
            json!({ "equals": null }),
            Passed,
            "null",
        ),
        (
            "SELECT amount FROM t WHERE id = 2",
            json!({ "min": 0 }),
            Failed,
            "null, expected at least 0",
        ),
        (
            "SELECT text FROM t WHERE id = 3",
            json!({ "equals": "3" }),
            Passed,
            "a text of 1 bytes",
        ),
        // Text that looks like a number is none.
        (
            "SELECT text FROM t WHERE id = 3",
            json!({ "min": 1 }),
            Failed,
            "a text of 1 bytes, expected at least 1",
        ),
        (
            "SELECT id FROM t",
            json!({ "min": 1 }),
            Failed,
            "it gave more than one row",
        ),
        (
            "SELECT id FROM t WHERE id > 9",
            json!({ "min": 1 }),
            Failed,
            "it gave no row",
        ),
        (
            "SELECT x FROM t",
            json!({ "min": 1 }),
            Failed,
            "SQLite reports: no such column: x",
        ),
        (
            "SELECT count(*) FROM u",
            json!({ "min": 1 }),
            Failed,
            "SQLite reports: no such table: u",
        ),
        ("PRAGMA user_version;", json!({ "equals": 0 }), Passed, "0"),
        (
            "SELECT count(*) FROM pragma_table_info('t')",
            json!({ "equals": 3 }),
            Passed,
            "3",
        ),
        (
            "SELECT count(*) FROM words WHERE words MATCH 'some'",
            json!({ "equals": 1 }),
            Passed,
            "1",
        ),
        (
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 9) SELECT max(i) FROM n -- nine",
            json!({ "equals": 9 }),
            Passed,
            "9",
        ),
    ] {
        assert_eq!(outcome(sql, expected), (wanted, detail.to_owned()), "{sql}");
    }
}

#[test]
fn what_does_more_than_read_one_value_is_refused_by_name() {
    for sql in [
        "DELETE FROM t",
        "WITH x AS (SELECT 1) INSERT INTO t(id) SELECT 9",
        "DELETE FROM t RETURNING id",
        "ATTACH '/tmp/somewhere.db' AS other",
        "BEGIN",
        "PRAGMA user_version = 7",
        "PRAGMA query_only = OFF",
        // One column, and reading by SQLite's own account; but a limit for the whole process.
        "PRAGMA hard_heap_limit = 1000000000",
        "VACUUM",
        "CREATE TEMP TABLE x(a)",
        "SELECT 1; SELECT 2",
        "SELECT 1; DELETE FROM t",
        "SELECT id, text FROM t",
        "SELECT ?1",
        "SELEC 1",
        "-- nothing",
    ] {
        let error = run(sql, json!({ "equals": 1 })).expect_err(sql);
        assert_eq!(error.code, Code::InvalidArgument, "{sql}");
        assert!(error.to_string().contains("\"it\""), "{error}");
    }
}

#[test]
fn most_of_that_is_seen_without_a_database() {
    for bad in [
        "SELEC 1",
        "SELECT 1; SELECT 2",
        "BEGIN",
        "PRAGMA user_version = 7",
        "SELECT 1, 2",
    ] {
        let refused = refuse_bad(&one(bad, json!({ "equals": 1 })));
        assert_eq!(refused.unwrap_err().code, Code::InvalidArgument, "{bad}");
    }
    refuse_bad(&one("SELECT count(*) FROM Reality", json!({ "min": 1 }))).unwrap();
}

#[test]
fn one_that_takes_too_long_says_nothing() {
    let mut conn = Connection::open_in_memory().unwrap();
    let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";
    let assertions = one(endless, json!({ "equals": 1 }));
    let limit = Duration::from_millis(30);
    let checks = check(&mut conn, &assertions, limit, Arc::new(|| true)).unwrap();
    assert_eq!(checks[0].outcome, Outcome::Inconclusive);
    assert!(checks[0].detail.contains("30 ms"), "{}", checks[0].detail);

    // An application that is gone is another matter.
    let alive = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&alive);
    let refused = check(
        &mut conn,
        &assertions,
        Duration::from_secs(600),
        Arc::new(move || seen.load(Ordering::SeqCst)),
    );
    assert_eq!(refused.unwrap_err().code, Code::Aborted);
    // The connection is as it was: writing is for others to forbid.
    let count: i64 = conn.query_row("SELECT 1", [], |row| row.get(0)).unwrap();
    assert_eq!(count, 1);
}

#[test]
fn a_list_that_is_none_is_refused_with_the_name() {
    for (list, part) in [
        (json!({}), "must be an array"),
        (json!([5]), "assertion 1 must have a name"),
        (
            json!([{ "name": "a", "sql": "SELECT 1", "min": 1 }, { "name": " ", "sql": "x" }]),
            "assertion 2 must have a name",
        ),
        (json!([{ "name": "a" }]), "\"a\" must have sql"),
        (json!([{ "name": "a", "sql": "x" }]), "\"a\" must have equals"),
        (
            json!([{ "name": "a", "sql": "x", "equals": 1, "min": 1 }]),
            "\"a\" must have equals",
        ),
        (
            json!([{ "name": "a", "sql": "x", "equals": [1] }]),
            "equals of the assertion \"a\"",
        ),
        (
            json!([{ "name": "a", "sql": "x", "min": "1" }]),
            "min of the assertion \"a\"",
        ),
        (
            json!([{ "name": "a", "sql": "x", "min": 2, "max": 1 }]),
            "\"a\" has a min above",
        ),
        (
            json!([{ "name": "a", "sql": "x", "min": 2, "most": 1 }]),
            "unknown field \"most\"",
        ),
        (
            json!([{ "name": "a", "sql": "x", "min": 2 }, { "name": "a", "sql": "y", "min": 2 }]),
            "two assertions",
        ),
    ] {
        let error = parse(&list).expect_err(&list.to_string());
        assert_eq!(error.code, Code::InvalidArgument);
        assert!(error.to_string().contains(part), "{error} / {part}");
    }
}
