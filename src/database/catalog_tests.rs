#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use rusqlite::ErrorCode;

use super::*;
use crate::config::CatalogSize;
use crate::database::catalog_mirror::upsert;

pub(in crate::database) const APPLICATION: &str = include_str!("schema_of_the_application.sql");

pub(in crate::database) fn database(sql: &str) -> (tempfile::TempDir, Connection) {
    let folder = tempfile::tempdir().unwrap();
    let conn = Connection::open(folder.path().join("dev.db")).unwrap();
    conn.execute_batch(sql).unwrap();
    (folder, conn)
}

pub(in crate::database) fn application() -> (tempfile::TempDir, Connection) {
    database(APPLICATION)
}

pub(in crate::database) fn at(millis: i64) -> Timestamp {
    Timestamp::from_millisecond(1_795_384_846_571 + millis).unwrap()
}

pub(in crate::database) fn record(id: &str, name: &str) -> Record {
    Record {
        id: id.into(),
        name: name.into(),
        s3_key: format!("/backups/snapshots/{id}.0"),
        checksum: "e14d0923".repeat(8),
        size: 57_344,
        status: Status::Completed,
        restore_status: None,
        restore_message: None,
        last_restored_at: None,
        created_at: at(0),
        updated_at: at(5),
        schema_version: 1,
    }
}

fn missing_and_unusable() -> [(tempfile::TempDir, Connection); 2] {
    [
        database("CREATE TABLE Reality (id)"),
        database("CREATE TABLE Snapshot (id, name); INSERT INTO Snapshot VALUES ('i', 'n')"),
    ]
}

#[test]
fn the_table_is_found_and_compared_with_the_model() {
    let (_folder, conn) = application();
    assert_eq!(state(&conn).unwrap(), CatalogState::Present);
    assert_eq!(CatalogState::Present.warning(), None);

    let (_folder, conn) = database("");
    assert_eq!(state(&conn).unwrap(), CatalogState::Missing);
    assert_eq!(CatalogState::Missing.warning().unwrap(), MISSING_TABLE_HINT);

    for (change, why) in [
        ("ALTER TABLE Snapshot DROP COLUMN s3Key", "the column s3Key is missing"),
        ("ALTER TABLE Snapshot ADD COLUMN owner TEXT NOT NULL DEFAULT 'x'", ""),
        ("ALTER TABLE Snapshot ADD COLUMN owner TEXT", ""),
        (
            "DROP TABLE Snapshot; CREATE VIEW Snapshot AS SELECT 1",
            "it is a view, not a table",
        ),
    ] {
        let (_folder, conn) = application();
        conn.execute_batch(change).unwrap();
        match state(&conn).unwrap() {
            CatalogState::Unusable(reason) => assert_eq!(reason, why, "{change}"),
            state => assert_eq!((state, ""), (CatalogState::Present, why), "{change}"),
        }
    }
    let (_folder, conn) = database(&APPLICATION.replace(
        "\"schemaVersion\" INTEGER NOT NULL DEFAULT 1",
        "schemaVersion, owner TEXT NOT NULL",
    ));
    let state = state(&conn).unwrap();
    assert_eq!(
        state,
        CatalogState::Unusable("the column owner must be given a value".into())
    );
    assert!(state.warning().unwrap().contains("owner"));
}

#[test]
fn without_the_table_nothing_is_found_written_or_made() {
    for (_folder, conn) in missing_and_unusable() {
        let before: i64 = conn.query_row("SELECT total_changes()", [], |row| row.get(0)).unwrap();
        assert_eq!(rows(&conn).unwrap(), []);
        assert_eq!(find(&conn, "n").unwrap(), None);
        assert_eq!(find_by_id(&conn, "i").unwrap(), None);
        assert!(!set_restore(&conn, "i", RestoreStatus::Success, None, None).unwrap());
        assert!(!delete(&conn, "i").unwrap());
        let after: i64 = conn.query_row("SELECT total_changes()", [], |row| row.get(0)).unwrap();
        assert_eq!(after, before);
    }
}

#[test]
fn a_record_comes_back_as_it_was_written() {
    let (_folder, conn) = application();
    let full = Record {
        restore_status: Some(RestoreStatus::Failed),
        restore_message: Some("schöner Fehler".into()),
        last_restored_at: Some(at(7)),
        status: Status::Pending,
        schema_version: 3,
        ..record("i", "näme: with. all? 'kinds' \"of\" 🦀")
    };
    upsert(&conn, std::slice::from_ref(&full), CatalogSize::Clamped).unwrap();
    assert_eq!(rows(&conn).unwrap(), std::slice::from_ref(&full));
    assert_eq!(find(&conn, &full.name).unwrap(), Some(full.clone()));
    assert_eq!(find_by_id(&conn, "i").unwrap(), Some(full));
    assert_eq!(find(&conn, "other").unwrap(), None);
}

#[test]
fn a_senseless_row_hides_no_other() {
    let (_folder, conn) = application();
    upsert(&conn, &[record("good", "good")], CatalogSize::Clamped).unwrap();
    for (index, (column, value)) in [
        ("createdAt", "'yesterday'"),
        ("updatedAt", "x'00'"),
        ("size", "-1"),
        ("size", "'large'"),
        ("status", "'DONE'"),
        ("name", "x'ff'"),
        ("s3Key", "CAST(x'ff' AS TEXT)"),
    ]
    .into_iter()
    .enumerate()
    {
        let id = format!("bad{index}");
        upsert(&conn, &[record(&id, &id)], CatalogSize::Clamped).unwrap();
        conn.execute(
            &format!("UPDATE Snapshot SET \"{column}\" = {value} WHERE id = ?1"),
            [&id],
        )
        .unwrap();
        assert_eq!(find_by_id(&conn, &id).unwrap(), None, "{column} = {value}");
    }
    assert_eq!(rows(&conn).unwrap(), [record("good", "good")]);
}

#[test]
fn what_a_record_can_do_without_is_left_out() {
    let (_folder, conn) = application();
    upsert(&conn, &[record("i", "n")], CatalogSize::Clamped).unwrap();
    conn.execute_batch(
        "UPDATE Snapshot SET restoreStatus = 'PERHAPS', lastRestoredAt = 'never', schemaVersion = 'two', size = 57344.0",
    )
    .unwrap();
    assert_eq!(rows(&conn).unwrap(), [record("i", "n")]);
}

#[test]
fn the_outcome_of_a_restore_touches_three_columns() {
    for (date, expected) in [
        ("1795384846571", "1795384846580"),
        ("'2026-11-22T22:00:46.571+00:00'", "2026-11-22T22:00:46.580+00:00"),
    ] {
        let (_folder, conn) = application();
        conn.execute_batch(&format!(
            "INSERT INTO Snapshot VALUES ('i', 'n', 'k', 'c', 1, 'COMPLETED', NULL, NULL, NULL, {date}, {date}, 1);
             INSERT INTO Snapshot SELECT 'j', 'm', s3Key, checksum, size, status, NULL, NULL, NULL, createdAt, updatedAt, 1
             FROM Snapshot"
        ))
        .unwrap();
        let rest = |id: &str| -> String {
            let columns =
                "id || name || s3Key || checksum || size || status || createdAt || updatedAt || schemaVersion";
            conn.query_row(&format!("SELECT {columns} FROM Snapshot WHERE id = ?1"), [id], |row| {
                row.get(0)
            })
            .unwrap()
        };
        let (own, other) = (rest("i"), find_by_id(&conn, "j").unwrap());

        assert!(set_restore(&conn, "i", RestoreStatus::Success, None, Some(at(9))).unwrap());
        assert!(set_restore(&conn, "i", RestoreStatus::Failed, Some("why"), None).unwrap());
        let written: (String, String, String) = conn
            .query_row(
                "SELECT restoreStatus, restoreMessage, CAST(lastRestoredAt AS TEXT) FROM Snapshot WHERE id = 'i'",
                [],
                |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
            )
            .unwrap();
        assert_eq!(
            written,
            ("FAILED".into(), "why".into(), expected.into()),
            "the date of the last success stays"
        );
        assert_eq!((rest("i"), find_by_id(&conn, "j").unwrap()), (own, other));
        assert!(!set_restore(&conn, "unknown", RestoreStatus::Success, None, None).unwrap());
    }
}

#[test]
fn a_row_is_deleted_once() {
    let (_folder, conn) = application();
    upsert(&conn, &[record("i", "n"), record("j", "m")], CatalogSize::Clamped).unwrap();
    assert!(delete(&conn, "i").unwrap());
    assert!(!delete(&conn, "i").unwrap());
    assert_eq!(rows(&conn).unwrap(), [record("j", "m")]);
}

#[test]
fn a_lock_comes_back_as_a_lock_and_leaves_nothing_behind() {
    let (folder, holder) = application();
    upsert(&holder, &[record("i", "n")], CatalogSize::Clamped).unwrap();
    let conn = Connection::open(folder.path().join("dev.db")).unwrap();
    conn.busy_timeout(std::time::Duration::ZERO).unwrap();
    holder.execute_batch("BEGIN IMMEDIATE").unwrap();
    for error in [
        upsert(&conn, &[record("j", "m")], CatalogSize::Clamped).unwrap_err(),
        set_restore(&conn, "i", RestoreStatus::Success, None, None).unwrap_err(),
        delete(&conn, "i").unwrap_err(),
    ] {
        assert_eq!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy), "{error}");
        assert!(conn.is_autocommit());
    }
    assert_eq!(rows(&conn).unwrap(), [record("i", "n")], "reading goes on");
    holder.execute_batch("COMMIT").unwrap();
    assert!(delete(&conn, "i").unwrap(), "the same call succeeds later");
}

#[test]
fn the_connection_of_a_snapshot_can_read_it() {
    use rusqlite::config::DbConfig;
    let (_folder, conn) = application();
    upsert(&conn, &[record("i", "n")], CatalogSize::Clamped).unwrap();
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)
        .unwrap();
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true).unwrap();
    conn.pragma_update(None, "query_only", true).unwrap();
    assert_eq!(rows(&conn).unwrap(), [record("i", "n")]);
    assert!(crate::database::content::is_empty(&conn, &["Reality".into()]).unwrap());
}
