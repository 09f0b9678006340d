use super::*;
use crate::database::testing::{Place, handle, in_ms};

const TABLES: &str = "
    CREATE TABLE plain(id INTEGER PRIMARY KEY, x);
    CREATE TABLE hidden(rowid TEXT, x);
    CREATE TABLE \"quoted \"\" name\"(x);
    CREATE TABLE keyed(k TEXT PRIMARY KEY, x) WITHOUT ROWID;
    CREATE TABLE empty(x);
    CREATE TABLE Snapshot(id); INSERT INTO Snapshot VALUES (1);
    CREATE TABLE _prisma_migrations(id); INSERT INTO _prisma_migrations VALUES (1);
    CREATE VIRTUAL TABLE words USING fts5(body);
    CREATE VIEW seen AS SELECT * FROM plain;
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1234)
    INSERT INTO plain SELECT i * 7 - 400, i FROM n;
    INSERT INTO hidden SELECT 'same', id FROM plain LIMIT 1000;
    INSERT INTO keyed SELECT 'k' || id, id FROM plain;
    INSERT INTO \"quoted \"\" name\" SELECT 1 FROM plain LIMIT 500;";

fn counts(statements: &str, longest_hold: Duration, deadline: Instant) -> Counts {
    let place = Place::new();
    let path = place.database("app.db", statements);
    of_database(&path, &Limits { deadline, longest_hold }, &|| Ok(())).unwrap()
}

#[test]
fn every_table_is_counted_in_both_journal_modes() {
    let wanted = Counts::from(
        [
            ("plain", 1234),
            ("hidden", 1000),
            ("quoted \" name", 500),
            ("keyed", 1234),
            ("empty", 0),
        ]
        .map(|(table, rows)| (table.to_owned(), Some(rows))),
    );
    for mode in ["delete", "wal"] {
        let statements = format!("PRAGMA journal_mode={mode}; {TABLES}");
        assert_eq!(
            counts(&statements, Duration::from_secs(9), in_ms(60_000)),
            wanted,
            "{mode}"
        );
    }
}

#[test]
fn a_table_that_would_hold_up_writers_for_too_long_is_left_out() {
    let many = format!(
        "{TABLES} WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60000)
         INSERT INTO keyed SELECT 'more' || i, i FROM n;"
    );
    let counted = counts(&many, Duration::ZERO, in_ms(60_000));
    assert_eq!(counted["keyed"], None);
    assert_eq!(counted["plain"], Some(1234));
}

#[test]
fn nothing_is_counted_after_the_deadline() {
    let counted = counts(TABLES, Duration::from_secs(9), Instant::now());
    assert_eq!(counted.len(), 5);
    assert!(counted.values().all(Option::is_none));
}

#[test]
fn a_writer_gets_in_between_two_slices() {
    let place = Place::new();
    let path = place.database("app.db", TABLES);
    // One that does not wait at all.
    let writer = handle(&path);
    let written = std::cell::Cell::new(0);
    let write = || {
        writer.execute("UPDATE Snapshot SET id = id + 1", []).unwrap();
        written.set(written.get() + 1);
        Ok(())
    };
    let limits = Limits {
        deadline: in_ms(60_000),
        longest_hold: Duration::from_secs(9),
    };
    of_database(&path, &limits, &write).unwrap();
    // Three slices of `plain`, three of `hidden`, two of the quoted one, one of `empty`.
    assert_eq!(written.get(), 9);
}
