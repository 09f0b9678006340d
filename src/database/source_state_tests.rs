//! Reading the live database in the states in which it is found.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use super::tests::{ROWS, in_transaction, open, slices};
use super::*;
use crate::database::header::lock_byte_page;
use crate::database::testing::*;
use crate::error::Code;

#[test]
fn a_database_without_pages_is_read_as_nothing() {
    let place = Place::new();
    std::fs::write(place.path("app.db"), b"").unwrap();
    let mut source = open(&place.path("app.db"));
    let mut sink = |_| panic!("no page, no batch");
    let sliced = source.read_in_slices(&mut sink).unwrap();
    assert_eq!(sliced.unchanged.unwrap().page_count, 0);
    let mark = source.begin().unwrap();
    source.read_in_transaction(&mark, &mut sink).unwrap();
    source.end().unwrap();
}

#[test]
fn the_lock_byte_page_is_read_as_zeros() {
    let place = Place::new();
    let path = place.database(
        "big.db",
        "PRAGMA page_size=65536; CREATE TABLE big(b);
         INSERT INTO big VALUES (zeroblob(540000000)), (zeroblob(540000000))",
    );
    let mut source = open(&path);
    let (hole, mut pages, mut seen) = (lock_byte_page(65_536), 0, false);
    let sliced = source
        .read_in_slices(&mut |batch| {
            assert_eq!(batch.first_page, pages + 1);
            for (number, data) in (batch.first_page..).zip(batch.data.chunks(65_536)) {
                pages = number;
                if number == hole {
                    seen = data.iter().all(|byte| *byte == 0);
                }
            }
            Ok(())
        })
        .unwrap();
    assert!(seen);
    assert_eq!(pages, sliced.unchanged.unwrap().page_count);
}

#[test]
fn a_database_whose_schema_cannot_be_parsed_is_still_read() {
    let place = Place::new();
    let path = place.database("app.db", &filling(300));
    handle(&path)
        .execute_batch(
            "PRAGMA writable_schema=ON; UPDATE sqlite_schema SET sql = 'CREATE NONSENSE' WHERE name = 'item'",
        )
        .unwrap();
    assert!(handle(&path).prepare("SELECT * FROM item").is_err());
    let bytes = std::fs::read(&path).unwrap();
    let mut source = open(&path);
    assert!(slices(&mut source, true, || {}).1 == bytes);
}

#[test]
fn a_hot_journal_is_rolled_back_before_a_page_is_read() {
    let place = Place::new();
    let path = place.database("app.db", &filling(3000));
    let before = std::fs::read(&path).unwrap();
    let writer = OtherProcess::start(
        &path,
        &[
            "PRAGMA cache_size=10",
            "BEGIN IMMEDIATE",
            "UPDATE item SET data = randomblob(250)",
        ],
    );
    // Killed in the middle of a transaction that had spilled.
    drop(writer);
    assert!(journal_path(&path).exists());
    assert!(std::fs::read(&path).unwrap() != before);
    let mut source = open(&path);
    let (sliced, image) = slices(&mut source, true, || {});
    assert!(image == before);
    assert!(sliced.unchanged.is_some());
    assert!(!journal_path(&path).exists());
}

#[test]
fn a_pinned_transaction_sees_one_instant_while_others_commit() {
    let place = Place::new();
    let path = place.database("app.db", &format!("PRAGMA journal_mode=WAL; {}", filling(ROWS)));
    let mut source = open(&path);
    let before = in_transaction(&mut source);
    let writer = handle(&path);
    let mark = source.begin().unwrap();
    let mut image = Vec::new();
    source
        .read_in_transaction(&mark, &mut |batch| {
            writer
                .execute_batch(
                    "UPDATE item SET data = randomblob(250) WHERE id % 50 = 0; INSERT INTO item(text) VALUES ('new')",
                )
                .unwrap();
            image.extend_from_slice(&batch.data);
            Ok(())
        })
        .unwrap();
    source.end().unwrap();
    assert!(image == before);
    assert!(in_transaction(&mut source) != before);
}

#[test]
fn reading_leaves_the_wal_and_the_bytes_of_the_database_alone() {
    let place = Place::new();
    let path = place.database("app.db", "PRAGMA journal_mode=WAL; CREATE TABLE t(a)");
    let writer = OtherProcess::start(&path, &["INSERT INTO t VALUES (1)"]);
    let wal = path.with_extension("db-wal");
    let before = (std::fs::read(&path).unwrap(), std::fs::read(&wal).unwrap());
    drop(writer);
    // The last one out: SQLite would checkpoint now.
    let mut source = open(&path);
    let (_, image) = slices(&mut source, true, || {});
    drop(source);
    assert!(image.len() as u64 >= 2 * 4096);
    assert!((std::fs::read(&path).unwrap(), std::fs::read(&wal).unwrap()) == before);
}

#[test]
fn a_file_that_was_replaced_is_told_from_the_one_that_was_opened() {
    let place = Place::new();
    let path = place.database("app.db", &filling(10));
    let source = open(&path);
    source.check_not_moved().unwrap();
    std::fs::rename(&path, place.path("old.db")).unwrap();
    assert_eq!(source.check_not_moved().unwrap_err().code, Code::DatabaseMoved);
    std::fs::copy(place.path("old.db"), &path).unwrap();
    assert_eq!(source.check_not_moved().unwrap_err().code, Code::DatabaseMoved);
}

#[test]
fn a_locked_database_is_waited_for_until_the_deadline_only() {
    let place = Place::new();
    let path = place.database("app.db", &filling(10));
    let writer = handle(&path);
    writer.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let outcome = PageSource::open(&path, Duration::from_millis(30));
    assert_eq!(outcome.map(drop).unwrap_err().code, Code::DatabaseBusy);
    writer.execute_batch("COMMIT").unwrap();
    open(&path);
}

/// A copy beside a writer takes longer than `lockTimeoutMs`; a lock met after that is waited for all the same.
#[test]
fn a_lock_that_is_met_late_is_waited_for_as_long_as_an_early_one() {
    let place = Place::new();
    let path = place.database("app.db", &filling(10));
    let patience = Duration::from_millis(300);
    let mut source = PageSource::open(&path, patience).unwrap();
    std::thread::sleep(patience + Duration::from_millis(50));
    let writer = handle(&path);
    writer.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let released = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(50));
        writer.execute_batch("COMMIT").unwrap();
    });
    source.begin().unwrap();
    source.end().unwrap();
    released.join().unwrap();
}

#[test]
fn nothing_can_be_written_through_the_reading_connection() {
    let place = Place::new();
    let path = place.database("app.db", &filling(10));
    let source = open(&path);
    for statement in [
        "DELETE FROM item",
        "CREATE TABLE x(a)",
        "UPDATE sqlite_dbpage SET data = zeroblob(4096) WHERE pgno = 2",
    ] {
        assert!(source.conn.execute_batch(statement).is_err(), "{statement}");
    }
}
