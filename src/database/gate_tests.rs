//! Which files SQLite may open, and what becomes of those that it may not.

use super::super::connect::{open_for_reading, open_for_restore, open_for_rows};
use super::super::look;
use super::*;
use crate::database::testing::*;
use crate::error::Code;

const WAL: &str = "PRAGMA journal_mode=WAL; CREATE TABLE t(x); INSERT INTO t VALUES (1)";

/// What every opener says.
fn answers(path: &Path) -> Vec<Result<(), Code>> {
    let code = |error: crate::error::Error| error.code;
    vec![
        open_for_reading(path).map(drop).map_err(code),
        open_for_restore(path).map(drop).map_err(code),
        open_for_rows(path).map(drop).map_err(code),
        look::open(path).map(drop).map_err(code),
        look::content(path, true, in_ms(1000)).map(drop).map_err(code),
    ]
}

#[test]
fn what_sqlite_would_delete_beside_an_emptied_file_stays() {
    let place = Place::new();
    let path = place.database("app.db", WAL);
    drop(OtherProcess::start(&path, &["INSERT INTO t VALUES (2)"]));
    fs::write(&path, b"").unwrap();
    let wal = companion(&path, "-wal");
    let before = fs::read(&wal).unwrap();
    assert!(!before.is_empty());
    for answer in answers(&path) {
        assert_eq!(answer, Err(Code::DatabaseTruncated));
    }
    assert_eq!(fs::read(&wal).unwrap(), before);
}

#[test]
fn a_journal_counts_by_the_pages_that_it_gives_back() {
    let place = Place::new();
    let path = place.path("app.db");
    fs::write(&path, b"").unwrap();
    let journal = |pages: u32| {
        let start = [&JOURNAL_MAGIC[..], &[0; 8], &pages.to_be_bytes(), &[0; 492]].concat();
        fs::write(companion(&path, "-journal"), start).unwrap();
    };
    journal(7);
    assert_eq!(stranded(&path).unwrap(), [companion(&path, "-journal")]);
    assert_eq!(answers(&path)[0], Err(Code::DatabaseTruncated));
    // Somebody is making the first table.
    journal(0);
    assert_eq!(stranded(&path).unwrap(), Vec::<PathBuf>::new());
    assert_eq!(answers(&path)[0], Ok(()));
}

#[test]
fn an_empty_file_beside_empty_companions_is_a_new_database() {
    let place = Place::new();
    let path = place.path("app.db");
    fs::write(&path, b"").unwrap();
    fs::write(companion(&path, "-wal"), b"").unwrap();
    assert_eq!(answers(&path), vec![Ok(()); 5]);
    assert_eq!(stranded(&place.path("missing.db")).unwrap(), Vec::<PathBuf>::new());
}

#[test]
fn a_second_name_is_refused_while_the_wal_of_the_first_is_used() {
    let place = Place::new();
    let path = place.database("app.db", WAL);
    let (alias, link) = (place.path("alias.db"), place.path("link.db"));
    fs::hard_link(&path, &alias).unwrap();
    std::os::unix::fs::symlink(&path, &link).unwrap();
    let application = OtherProcess::start(&path, &["INSERT INTO t VALUES (2)"]);
    for answer in answers(&alias) {
        assert_eq!(answer, Err(Code::DatabaseAliased));
    }
    assert!(!companion(&alias, "-shm").exists() && !companion(&alias, "-wal").exists());
    assert_eq!(answers(&path), vec![Ok(()); 5]);
    // SQLite follows a symbolic link itself.
    assert_eq!(answers(&link)[0], Ok(()));
    application.stop();
    assert_eq!(answers(&alias)[0], Ok(()));
}

#[test]
fn companions_that_nobody_uses_do_not_make_the_second_name_the_right_one() {
    let place = Place::new();
    let path = place.database("app.db", WAL);
    let alias = place.path("alias.db");
    fs::hard_link(&path, &alias).unwrap();
    // What somebody left who was killed.
    drop(OtherProcess::start(&alias, &["INSERT INTO t VALUES (2)"]));
    assert!(companion(&alias, "-shm").exists() && companion(&alias, "-wal").exists());
    let application = OtherProcess::start(&path, &["INSERT INTO t VALUES (3)"]);
    for answer in answers(&alias) {
        assert_eq!(answer, Err(Code::DatabaseAliased));
    }
    drop(application);
}

#[test]
fn companions_that_were_deleted_are_elsewhere_too() {
    for suffix in ["-wal", "-shm"] {
        let place = Place::new();
        let path = place.database("app.db", WAL);
        let application = OtherProcess::start(&path, &["INSERT INTO t VALUES (2)"]);
        fs::remove_file(companion(&path, suffix)).unwrap();
        assert_eq!(answers(&path)[0], Err(Code::DatabaseAliased), "{suffix}");
        drop(application);
    }
}

#[test]
fn a_second_name_is_nothing_without_a_wal() {
    let place = Place::new();
    let path = place.database("app.db", "CREATE TABLE t(x); INSERT INTO t VALUES (1)");
    let alias = place.path("alias.db");
    fs::hard_link(&path, &alias).unwrap();
    let reader = OtherProcess::start(&path, &["BEGIN", "SELECT count(*) FROM t"]);
    assert_eq!(answers(&alias), vec![Ok(()); 5]);
    drop(reader);
}

#[test]
fn a_connection_in_exclusive_mode_is_left_to_sqlite() {
    let place = Place::new();
    let path = place.database("app.db", WAL);
    let exclusive = OtherProcess::start(&path, &["PRAGMA locking_mode=EXCLUSIVE", "INSERT INTO t VALUES (2)"]);
    assert!(!companion(&path, "-shm").exists());
    // The first look finds it locked, and waiting is the caller's.
    assert_eq!(answers(&path)[0], Ok(()));
    drop(exclusive);
}
