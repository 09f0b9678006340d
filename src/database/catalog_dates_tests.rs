#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use rusqlite::types::Value;

use super::*;

const MOMENT: i64 = 1_795_384_846_571;

fn moment() -> Timestamp {
    Timestamp::from_millisecond(MOMENT).unwrap()
}

fn millis(value: &Value) -> Option<i64> {
    decode(ValueRef::from(value)).map(Timestamp::as_millisecond)
}

fn text(text: &str) -> Value {
    Value::Text(text.into())
}

#[test]
fn every_format_that_clients_write_is_read() {
    for value in [
        Value::Integer(MOMENT),
        Value::Real(MOMENT as f64 + 0.25),
        text("1795384846571"),
        text("1795384846571.0"),
        text("2026-11-22T22:00:46.571+00:00"),
        text("2026-11-22T22:00:46.571Z"),
        text("2026-11-22T22:00:46.571"),
        text("2026-11-22 22:00:46.571"),
        text("2026-11-22T23:30:46.571+01:30"),
        text("2026-11-22T22:00:46.571999Z"),
    ] {
        assert_eq!(millis(&value), Some(MOMENT), "{value:?}");
    }
    assert_eq!(
        millis(&text("2026-11-22 22:00:46")),
        Some(MOMENT - 571),
        "CURRENT_TIMESTAMP"
    );
    assert_eq!(millis(&text("2026-11-22")), Some(1_795_305_600_000));
    assert_eq!(millis(&Value::Integer(-1)), Some(-1));
}

#[test]
fn what_is_no_date_is_none() {
    for value in [
        Value::Null,
        Value::Blob(vec![1]),
        text(""),
        text("yesterday"),
        text("nan"),
        text("infinity"),
        Value::Real(f64::NAN),
        Value::Real(1e300),
        Value::Integer(i64::MAX),
    ] {
        assert_eq!(millis(&value), None, "{value:?}");
    }
}

#[test]
fn what_is_written_is_exact() {
    let fine = Timestamp::from_microsecond(MOMENT * 1000 + 999).unwrap();
    assert_eq!(encode(fine, DateFormat::IsoText), text("2026-11-22T22:00:46.571+00:00"));
    assert_eq!(encode(fine, DateFormat::IsoZulu), text("2026-11-22T22:00:46.571Z"));
    assert_eq!(encode(fine, DateFormat::IntegerMillis), Value::Integer(MOMENT));
    let whole = Timestamp::from_second(0).unwrap();
    assert_eq!(
        encode(whole, DateFormat::IsoText),
        text("1970-01-01T00:00:00.000+00:00")
    );
    for format in [DateFormat::IsoText, DateFormat::IsoZulu, DateFormat::IntegerMillis] {
        assert_eq!(decode(ValueRef::from(&encode(moment(), format))), Some(moment()));
    }
}

/// A database from statements, and what is found in it.
fn detected(sql: &str) -> DateFormat {
    let conn = Connection::open_in_memory().unwrap();
    conn.execute_batch(sql).unwrap();
    detect(&conn).unwrap()
}

const SNAPSHOT: &str =
    "CREATE TABLE Snapshot (id TEXT, lastRestoredAt DATETIME, createdAt DATETIME, updatedAt DATETIME);";
const REALITY: &str = "CREATE TABLE Reality (id TEXT, createdAt DATETIME);";
const MIGRATIONS: &str = "CREATE TABLE _prisma_migrations (id TEXT, finished_at DATETIME, started_at DATETIME);";

#[test]
fn without_any_row_iso_text_is_written() {
    assert_eq!(detected(""), DateFormat::IsoText);
    assert_eq!(
        detected(&format!("{SNAPSHOT}{REALITY}{MIGRATIONS}")),
        DateFormat::IsoText
    );
}

#[test]
fn the_tables_own_rows_decide() {
    for (value, format) in [
        ("1795384846571", DateFormat::IntegerMillis),
        ("1795384846571.5", DateFormat::IntegerMillis),
        ("'2026-11-22T22:00:46.571+00:00'", DateFormat::IsoText),
        ("'2026-11-22T22:00:46.571Z'", DateFormat::IsoZulu),
    ] {
        let sql = format!(
            "{SNAPSHOT}{REALITY} INSERT INTO Snapshot VALUES ('a', NULL, {value}, {value});
             INSERT INTO Reality VALUES ('a', 1), ('b', '2030-01-01T00:00:00.000+00:00');"
        );
        assert_eq!(detected(&sql), format, "{value}");
    }
}

#[test]
fn the_newest_row_decides_when_they_are_mixed() {
    let newer_is_iso = format!(
        "{SNAPSHOT} INSERT INTO Snapshot VALUES ('new', NULL, '2026-11-22T22:00:46.571+00:00', '2026-11-22T22:00:46.571+00:00');
         INSERT INTO Snapshot VALUES ('old', NULL, 1754520429260, 1754520429260);"
    );
    assert_eq!(detected(&newer_is_iso), DateFormat::IsoText, "not the last one written");
    let newer_is_integer = format!(
        "{SNAPSHOT} INSERT INTO Snapshot VALUES ('new', NULL, 1795384846571, 1795384846571);
         INSERT INTO Snapshot VALUES ('old', NULL, '2025-11-22T22:00:46.571+00:00', '2025-11-22T22:00:46.571+00:00');"
    );
    assert_eq!(detected(&newer_is_integer), DateFormat::IntegerMillis);
}

#[test]
fn current_timestamp_says_nothing_about_the_client() {
    let its_other_date =
        format!("{SNAPSHOT} INSERT INTO Snapshot VALUES ('a', NULL, '2026-11-22 22:00:46', 1795384846571);");
    assert_eq!(detected(&its_other_date), DateFormat::IntegerMillis);
    let nothing_else = format!(
        "{SNAPSHOT}{REALITY} INSERT INTO Snapshot VALUES ('a', NULL, '2026-11-22 22:00:46', '2026-11-22 22:00:46');
         INSERT INTO Reality VALUES ('a', 1754520429260), ('b', '2026-11-22 22:00:46');"
    );
    assert_eq!(
        detected(&nothing_else),
        DateFormat::IntegerMillis,
        "the other tables are asked"
    );
}

#[test]
fn the_other_tables_come_before_prismas_own() {
    let both = format!(
        "{SNAPSHOT}{REALITY}{MIGRATIONS} INSERT INTO Reality VALUES ('a', 1754520429260);
         INSERT INTO _prisma_migrations VALUES ('m', NULL, '2026-11-22T21:59:25.886+00:00');"
    );
    assert_eq!(detected(&both), DateFormat::IntegerMillis);
    let only_migrations =
        format!("{SNAPSHOT}{REALITY}{MIGRATIONS} INSERT INTO _prisma_migrations VALUES ('m', NULL, 1754520429260);");
    assert_eq!(detected(&only_migrations), DateFormat::IntegerMillis);
}

#[test]
fn only_declared_date_columns_of_ordinary_tables_are_asked() {
    assert_eq!(
        detected(
            "CREATE TABLE Metric (key TEXT, value INTEGER); INSERT INTO Metric VALUES ('at', 1754520429260);
             CREATE VIRTUAL TABLE words USING fts5(body); INSERT INTO words VALUES ('1754520429260');
             CREATE TABLE \"odd \"\" name\" (\"at \"\" \" datetime PRIMARY KEY) WITHOUT ROWID;
             INSERT INTO \"odd \"\" name\" VALUES ('2026-11-22T22:00:46.571Z');"
        ),
        DateFormat::IsoZulu
    );
}

#[test]
fn digits_in_a_text_column_stay_digits() {
    let conn = Connection::open_in_memory().unwrap();
    conn.execute_batch("CREATE TABLE Snapshot (createdAt TEXT); INSERT INTO Snapshot VALUES ('1754520429260');")
        .unwrap();
    let format = detect(&conn).unwrap();
    conn.execute("INSERT INTO Snapshot VALUES (?1)", [encode(moment(), format)])
        .unwrap();
    let stored: Vec<String> = conn
        .prepare("SELECT typeof(createdAt) || ' ' || createdAt FROM Snapshot")
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert_eq!(stored, ["text 1754520429260", "text 1795384846571"]);
}
