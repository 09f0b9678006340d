#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::cell::RefCell;

use super::*;
use crate::database::catalog::tests::{APPLICATION, application, at, database, record};
use crate::database::catalog::{find, find_by_id, set_restore};

fn put(conn: &Connection, records: &[Record]) -> Written {
    upsert(conn, records, CatalogSize::Clamped).unwrap()
}

fn mirror(conn: &Connection, records: &[Record]) -> Written {
    reconcile(conn, records, |_| false, CatalogSize::Clamped).unwrap()
}

fn ids(conn: &Connection) -> Vec<String> {
    let mut ids: Vec<String> = rows(conn).unwrap().into_iter().map(|row| row.id).collect();
    ids.sort();
    ids
}

fn wrote(rows: usize) -> Written {
    Written { rows, clamped: false }
}

fn failed(id: &str, name: &str) -> Record {
    Record {
        status: Status::Failed,
        s3_key: String::new(),
        checksum: String::new(),
        size: 0,
        restore_message: Some("disk full".into()),
        ..record(id, name)
    }
}

#[test]
fn dates_are_written_as_the_column_has_them() {
    for (there, written) in [
        ("1754520429260", "integer 1795384846571"),
        ("'2025-11-22T22:00:46.571+00:00'", "text 2026-11-22T22:00:46.571+00:00"),
        ("'2025-11-22T22:00:46.571Z'", "text 2026-11-22T22:00:46.571Z"),
        ("'2025-11-22 22:00:46'", "text 2026-11-22T22:00:46.571+00:00"),
    ] {
        let (_folder, conn) = application();
        conn.execute_batch(&format!(
            "INSERT INTO Snapshot VALUES ('old', 'old', 'k', 'c', 1, 'COMPLETED', NULL, NULL, NULL, {there}, {there}, 1)"
        ))
        .unwrap();
        put(&conn, &[record("i", "n")]);
        let stored: String = conn
            .query_row(
                "SELECT typeof(createdAt) || ' ' || createdAt FROM Snapshot WHERE id = 'i'",
                [],
                |row| row.get(0),
            )
            .unwrap();
        assert_eq!(stored, written, "beside {there}");
    }
}

#[test]
fn a_row_is_added_once_and_then_updated() {
    let (_folder, conn) = application();
    let pending = Record {
        status: Status::Pending,
        ..record("i", "n")
    };
    assert_eq!(put(&conn, &[pending, record("j", "m")]), wrote(2));
    assert_eq!(put(&conn, &[record("i", "n")]), wrote(1));
    assert_eq!(ids(&conn), ["i", "j"]);
    assert_eq!(find_by_id(&conn, "i").unwrap(), Some(record("i", "n")));
}

#[test]
fn what_is_known_of_restores_is_not_forgotten() {
    let (_folder, conn) = application();
    put(&conn, &[record("i", "n")]);
    set_restore(&conn, "i", RestoreStatus::Success, None, Some(at(9))).unwrap();
    put(&conn, &[record("i", "n")]);
    let row = find_by_id(&conn, "i").unwrap().unwrap();
    assert_eq!(
        (row.restore_status, row.last_restored_at),
        (Some(RestoreStatus::Success), Some(at(9)))
    );

    let newer = Record {
        restore_status: Some(RestoreStatus::Failed),
        restore_message: Some("no".into()),
        ..record("i", "n")
    };
    put(&conn, std::slice::from_ref(&newer));
    assert_eq!(
        find_by_id(&conn, "i").unwrap(),
        Some(newer),
        "a record that knows is believed"
    );
}

#[test]
fn a_name_is_taken_over() {
    for holder in [failed("old", "n"), record("old", "n")] {
        let (_folder, conn) = application();
        put(&conn, &[holder]);
        assert_eq!(put(&conn, &[record("i", "n")]), wrote(1));
        assert_eq!(
            rows(&conn).unwrap(),
            [record("i", "n")],
            "nothing of the former holder is left"
        );
    }
}

#[test]
fn a_row_takes_the_name_of_another() {
    let (_folder, conn) = application();
    put(&conn, &[record("i", "n"), record("j", "m")]);
    put(&conn, &[record("i", "m")]);
    assert_eq!(rows(&conn).unwrap(), [record("i", "m")]);
}

#[test]
fn a_failure_takes_the_name_of_a_failure_only() {
    let (_folder, conn) = application();
    put(&conn, &[failed("f1", "n")]);
    assert_eq!(put(&conn, &[failed("f2", "n")]), wrote(1));
    assert_eq!(ids(&conn), ["f2"]);
    put(&conn, &[record("i", "n")]);
    assert_eq!(put(&conn, &[failed("f3", "n")]), wrote(0));
    assert_eq!(ids(&conn), ["i"]);
}

#[test]
fn a_failure_that_is_over_leaves_no_message() {
    let (_folder, conn) = application();
    put(&conn, &[failed("i", "n")]);
    put(&conn, &[record("i", "n")]);
    assert_eq!(rows(&conn).unwrap(), [record("i", "n")]);
}

#[test]
fn large_sizes_are_cut_unless_told_otherwise() {
    let (_folder, conn) = application();
    let large = Record {
        size: 3_221_225_472,
        ..record("i", "n")
    };
    let largest = Record {
        size: LARGEST_INT,
        ..record("j", "m")
    };
    let stored = || find_by_id(&conn, "i").unwrap().unwrap().size;

    assert_eq!(put(&conn, std::slice::from_ref(&largest)), wrote(1), "fits");
    assert_eq!(
        put(&conn, std::slice::from_ref(&large)),
        Written { rows: 1, clamped: true }
    );
    assert_eq!(stored(), 2_147_483_647);
    let both = [large, largest];
    assert_eq!(mirror(&conn, &both), wrote(0), "the cut size is no difference");
    assert_eq!(
        reconcile(&conn, &both, |_| false, CatalogSize::Exact).unwrap(),
        wrote(1)
    );
    assert_eq!(stored(), 3_221_225_472);
    assert_eq!(mirror(&conn, &both), Written { rows: 1, clamped: true });
    assert_eq!(stored(), 2_147_483_647);
}

#[test]
fn one_failing_record_writes_none() {
    let (_folder, conn) = application();
    conn.execute_batch(
        "CREATE TRIGGER refuse BEFORE INSERT ON Snapshot WHEN new.name = 'bad' BEGIN SELECT raise(ABORT, 'no'); END",
    )
    .unwrap();
    upsert(&conn, &[record("i", "n"), record("j", "bad")], CatalogSize::Clamped).unwrap_err();
    assert_eq!(ids(&conn), [""; 0]);
    assert!(conn.is_autocommit());
}

#[test]
fn without_the_table_nothing_is_written() {
    let without_a_column = APPLICATION.replace("\"checksum\" TEXT NOT NULL,", "");
    for sql in ["", &without_a_column] {
        let (_folder, conn) = database(sql);
        assert_eq!(put(&conn, &[record("i", "n")]), wrote(0));
        assert_eq!(mirror(&conn, &[record("i", "n")]), wrote(0));
    }
}

#[test]
fn after_a_restore_the_table_says_what_the_repository_says() {
    let (_folder, conn) = application();
    put(
        &conn,
        &[
            record("same", "same"),
            Record {
                status: Status::Pending,
                ..record("behind", "behind")
            },
            record("pruned", "pruned"),
            Record {
                status: Status::Pending,
                ..record("never finished", "never finished")
            },
            record("reused before", "reused"),
            failed("story", "story"),
            failed("tried again before", "tried again"),
            Record {
                s3_key: "/backups/snapshot_1.db".into(),
                ..record("plain", "plain")
            },
        ],
    );
    let truth = ["same", "behind", "younger"]
        .map(|name| record(name, name))
        .into_iter()
        .chain([
            record("reused after", "reused"),
            record("tried again after", "tried again"),
        ]);
    let truth: Vec<Record> = truth.collect();
    let asked = RefCell::new(Vec::new());
    let keep = |row: &Record| {
        asked.borrow_mut().push(row.id.clone());
        row.s3_key.ends_with(".db")
    };
    // Added: younger, reused, tried again. Corrected: behind. Removed: pruned, never finished,
    // the former holder of "reused".
    assert_eq!(reconcile(&conn, &truth, keep, CatalogSize::Clamped).unwrap(), wrote(7));
    assert_eq!(
        ids(&conn),
        [
            "behind",
            "plain",
            "reused after",
            "same",
            "story",
            "tried again after",
            "younger"
        ]
    );
    for record in &truth {
        assert_eq!(find(&conn, &record.name).unwrap().as_ref(), Some(record));
    }
    assert!(
        !asked.borrow().iter().any(|id| id == "same" || id == "story"),
        "what needs no asking is not asked"
    );
    assert_eq!(
        reconcile(&conn, &truth, |row| row.id == "plain", CatalogSize::Clamped).unwrap(),
        wrote(0)
    );
}

#[test]
fn every_mirrored_column_is_corrected() {
    for change in [
        "name = 'other'",
        "s3Key = 'elsewhere'",
        "checksum = 'other'",
        "size = 1",
        "status = 'PENDING'",
        "createdAt = 'unreadable'",
    ] {
        let (_folder, conn) = application();
        put(&conn, &[record("i", "n")]);
        conn.execute(&format!("UPDATE Snapshot SET {change}"), []).unwrap();
        assert_eq!(mirror(&conn, &[record("i", "n")]), wrote(1), "{change}");
        assert_eq!(rows(&conn).unwrap(), [record("i", "n")], "{change}");
    }
}

#[test]
fn an_empty_listing_removes_nothing() {
    let (_folder, conn) = application();
    put(&conn, &[record("i", "n")]);
    assert_eq!(mirror(&conn, &[]), wrote(0));
    assert_eq!(ids(&conn), ["i"]);
}

#[test]
fn a_row_that_cannot_be_read_stays_unless_its_name_is_needed() {
    let (_folder, conn) = application();
    put(&conn, &[record("odd", "odd"), record("odd too", "n")]);
    conn.execute_batch("UPDATE Snapshot SET status = 'ARCHIVED'").unwrap();
    mirror(&conn, &[record("i", "n")]);
    let names: i64 = conn
        .query_row("SELECT count(*) FROM Snapshot WHERE id IN ('odd', 'i')", [], |row| {
            row.get(0)
        })
        .unwrap();
    let all: i64 = conn
        .query_row("SELECT count(*) FROM Snapshot", [], |row| row.get(0))
        .unwrap();
    assert_eq!((names, all), (2, 2));
}

#[test]
fn a_restore_that_the_image_was_taken_during_is_over() {
    let (_folder, conn) = application();
    put(&conn, &[record("i", "n"), record("j", "m"), failed("f", "f")]);
    set_restore(&conn, "i", RestoreStatus::Success, None, Some(at(9))).unwrap();
    set_restore(&conn, "i", RestoreStatus::InProgress, Some("writing"), None).unwrap();
    set_restore(&conn, "j", RestoreStatus::Failed, Some("no"), None).unwrap();
    let records = [record("i", "n"), record("j", "m")];
    assert_eq!(mirror(&conn, &records), wrote(1));
    let row = find_by_id(&conn, "i").unwrap().unwrap();
    assert_eq!(
        (row.restore_status, row.restore_message, row.last_restored_at),
        (None, None, Some(at(9)))
    );
    assert_eq!(
        find_by_id(&conn, "j").unwrap().unwrap().restore_status,
        Some(RestoreStatus::Failed)
    );
}

#[test]
fn the_outcome_of_a_restore_can_come_with_the_records() {
    let (_folder, conn) = application();
    put(&conn, &[record("i", "n")]);
    let restored = Record {
        restore_status: Some(RestoreStatus::Success),
        last_restored_at: Some(at(9)),
        ..record("i", "n")
    };
    assert_eq!(mirror(&conn, std::slice::from_ref(&restored)), wrote(1));
    assert_eq!(rows(&conn).unwrap(), std::slice::from_ref(&restored));
    assert_eq!(mirror(&conn, std::slice::from_ref(&restored)), wrote(0));
}

#[test]
fn of_two_snapshots_with_one_name_the_newer_is_listed() {
    let (_folder, conn) = application();
    // By the order in which they are given: a date may be wrong.
    let newer = Record {
        created_at: at(-1),
        ..record("newer", "n")
    };
    let records = [record("older", "n"), newer];
    mirror(&conn, &records);
    assert_eq!(ids(&conn), ["newer"]);
    assert_eq!(mirror(&conn, &records), wrote(0), "and stays so");
}

#[test]
fn nobody_is_locked_out_when_nothing_differs() {
    let (folder, conn) = application();
    put(&conn, &[record("i", "n")]);
    let writer = Connection::open(folder.path().join("dev.db")).unwrap();
    writer.execute_batch("BEGIN IMMEDIATE").unwrap();
    conn.busy_timeout(std::time::Duration::ZERO).unwrap();
    assert_eq!(mirror(&conn, &[record("i", "n")]), wrote(0));
    let error = reconcile(&conn, &[record("j", "m")], |_| false, CatalogSize::Clamped).unwrap_err();
    assert_eq!(error.sqlite_error_code(), Some(rusqlite::ErrorCode::DatabaseBusy));
}
