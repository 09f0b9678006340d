//! What is true under the write lock, and what the raw files are worth.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use super::*;
use crate::database::raw_files::RawFiles;
use crate::database::testing::*;
use crate::error::Code;

const JOURNAL_MODES: [&str; 2] = ["PRAGMA journal_mode=DELETE;", "PRAGMA journal_mode=WAL;"];

fn live(path: &std::path::Path) -> Rc<Live> {
    Rc::new(Live::open(path).unwrap())
}

fn lock(live: &Rc<Live>) -> WriteLock {
    match WriteLock::take(live, None, in_ms(1000)).unwrap() {
        Taken::Locked(lock) => lock,
        Taken::UnreadableHeader => panic!("not locked"),
    }
}

/// The version of the data that a copy through the connection sees.
fn copied(live: &Live) -> i64 {
    let mut source = live.source(Duration::from_secs(1)).unwrap();
    let mark = source.begin().unwrap();
    source.end().unwrap();
    mark.data_version
}

#[test]
fn the_lock_tells_whether_anybody_has_committed_since_the_copy() {
    let place = Place::new();
    for mode in JOURNAL_MODES {
        let path = place.database("app.db", &format!("{mode} {}", filling(20)));
        let live = live(&path);
        let before = copied(&live);
        assert_eq!(lock(&live).data_version().unwrap(), before, "{mode}: nobody did");
        handle(&path).execute_batch("BEGIN IMMEDIATE; ROLLBACK").unwrap();
        assert_eq!(
            lock(&live).data_version().unwrap(),
            before,
            "{mode}: it was rolled back"
        );
        handle(&path)
            .execute_batch("UPDATE item SET text = 'other' WHERE id = 3")
            .unwrap();
        let after = lock(&live).data_version().unwrap();
        assert_ne!(after, before, "{mode}: a row was changed");
        // Our own attempt that came to nothing is none of it.
        let own = lock(&live);
        own.connection().execute("DELETE FROM item", []).unwrap();
        own.rollback().unwrap();
        assert_eq!(lock(&live).data_version().unwrap(), after, "{mode}: it was ours");
        std::fs::remove_file(&path).unwrap();
    }
}

#[test]
fn emptiness_is_asked_of_what_the_lock_sees() {
    let place = Place::new();
    for mode in JOURNAL_MODES {
        let path = place.database("app.db", &format!("{mode} CREATE TABLE t(a);"));
        let live = live(&path);
        assert!(lock(&live).is_empty(&[]).unwrap(), "{mode}");
        handle(&path).execute_batch("INSERT INTO t VALUES (1)").unwrap();
        let lock = lock(&live);
        assert!(!lock.is_empty(&[]).unwrap(), "{mode}");
        lock.delete_everything().unwrap();
        assert!(lock.is_empty(&[]).unwrap(), "{mode}");
        drop(lock);
        assert_eq!(count(&handle(&path), "t"), 1, "{mode}: dropping it rolls back");
        std::fs::remove_file(&path).unwrap();
    }
}

/// The connection of a restore passes over what it cannot parse; a table that is passed over has no rows.
#[test]
fn a_schema_that_cannot_be_parsed_is_not_empty() {
    let place = Place::new();
    let path = place.database("app.db", "CREATE TABLE t(a); INSERT INTO t VALUES (1)");
    handle(&path)
        .execute_batch("PRAGMA writable_schema=ON; UPDATE sqlite_schema SET sql = 'CREATE TABLE nonsense('")
        .unwrap();
    let live = live(&path);
    let lock = lock(&live);
    assert!(lock.is_empty(&[]).is_err());
    assert!(lock.delete_everything().is_err());
}

#[test]
fn the_raw_files_are_copied_under_the_lock_and_the_lock_outlives_it() {
    let place = Place::new();
    for mode in JOURNAL_MODES {
        let path = place.database("app.db", &format!("{mode} {}", filling(20)));
        let raw = RawFiles::open(&path).unwrap();
        let live = live(&path);
        handle(&path).execute_batch("DELETE FROM item WHERE id = 1").unwrap();
        let lock = lock(&live);
        let kept = tempfile::tempdir().unwrap();
        let folder = kept.path().join("kept");
        raw.copy(&folder, kept.path()).unwrap();
        assert_eq!(count(&handle(&folder.join("app.db")), "item"), 19, "{mode}");
        let refused = std::process::Command::new("python3")
            .args([
                "-c",
                "import sqlite3, sys; sqlite3.connect(sys.argv[1], timeout=0).execute('BEGIN IMMEDIATE')",
            ])
            .arg(&path)
            .output()
            .unwrap();
        assert!(!refused.status.success(), "{mode}: another process got the lock");
        lock.rollback().unwrap();
        drop((live, raw));
        std::fs::remove_file(&path).unwrap();
    }
}

#[test]
fn a_path_that_leads_to_another_file_is_noticed_under_the_lock() {
    let place = Place::new();
    let path = place.database("app.db", &filling(20));
    let live = live(&path);
    copied(&live);
    std::fs::rename(&path, place.path("away.db")).unwrap();
    std::fs::copy(place.path("away.db"), &path).unwrap();
    let taken = WriteLock::take(&live, None, in_ms(1000));
    assert_eq!(taken.err().unwrap().code, Code::DatabaseMoved);
    // Nothing is locked any more.
    handle(&place.path("away.db"))
        .execute_batch("DELETE FROM item")
        .unwrap();
}
