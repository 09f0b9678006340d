//! Readers in the middle of a query, large WALs, other processes, moved files.

use std::time::Duration;

use rusqlite::Connection;

use super::super::{Begin, Committed};
use crate::database::testing::*;
use crate::error::Code;

const ALL: &str = "SELECT id FROM item ORDER BY data";

#[test]
fn in_rollback_mode_a_reader_holds_up_the_commit_and_keeps_the_old_content() {
    for setting in ["", "PRAGMA mmap_size=268435456"] {
        let place = Place::new();
        let path = place.database("app.db", &filling(500));
        let old = pages(&path);
        let image = place.image(&filling(100));
        let reader = handle(&path);
        reader.execute_batch(setting).unwrap();
        let mut statement = reader.prepare("SELECT id FROM item").unwrap();
        let mut rows = statement.query([]).unwrap();
        rows.next().unwrap().unwrap();

        assert_eq!(restore(&path, &image).unwrap(), Committed::Busy);
        assert_eq!(pages(&path), old);
        let mut read = 1;
        while rows.next().unwrap().is_some() {
            read += 1;
        }
        assert_eq!(read, 500);
        drop(rows);
        drop(statement);

        assert!(matches!(restore(&path, &image).unwrap(), Committed::Done { .. }));
        assert_eq!(count(&reader, "item"), 100);
        assert_is_image(&path, &image);
    }
}

#[test]
fn in_wal_mode_a_reader_finishes_on_the_old_content() {
    for setting in ["", "PRAGMA mmap_size=268435456"] {
        let place = Place::new();
        let path = place.database("app.db", &("PRAGMA journal_mode=WAL;".to_owned() + &filling(500)));
        let image = place.image(&filling(100));
        let reader = handle(&path);
        reader.execute_batch(setting).unwrap();
        let mut statement = reader.prepare("SELECT id FROM item").unwrap();
        let mut rows = statement.query([]).unwrap();
        rows.next().unwrap().unwrap();

        assert!(matches!(restore(&path, &image).unwrap(), Committed::Done { .. }));
        let mut read = 1;
        while rows.next().unwrap().is_some() {
            read += 1;
        }
        assert_eq!(read, 500);
        drop(rows);
        drop(statement);
        assert_eq!(count(&reader, "item"), 100);
        assert_is_image(&path, &image);
    }
}

#[test]
fn a_commit_that_waited_for_a_reader_still_truncates() {
    let place = Place::new();
    let path = place.database("app.db", &filling(2000));
    let image = place.image(&filling(10));
    let reader = handle(&path);
    reader.execute_batch("BEGIN").unwrap();
    count(&reader, "item");
    let leaving = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(300));
        reader.execute_batch("COMMIT").unwrap();
        reader
    });
    let restore = write_differences(&path, &image).unwrap();
    assert!(matches!(
        restore.commit(Duration::from_secs(5)).unwrap(),
        Committed::Done { .. }
    ));
    let reader = leaving.join().unwrap();
    assert_eq!(count(&reader, "item"), 10);
    assert_is_image(&path, &image);
}

#[test]
fn with_memory_mapped_readers_that_have_closed_their_query() {
    for mode in ["DELETE", "WAL"] {
        let place = Place::new();
        let path = place.database("app.db", &format!("PRAGMA journal_mode={mode}; {}", filling(3000)));
        let reader = handle(&path);
        reader.execute_batch("PRAGMA mmap_size=268435456").unwrap();
        assert_eq!(count(&reader, "item"), 3000);
        for rows in [20, 4000] {
            let image = place.image(&filling(rows));
            restore(&path, &image).unwrap();
            assert_eq!(count(&reader, "item"), i64::from(rows));
            assert_eq!(check(&reader), "ok");
            assert_is_image(&path, &image);
        }
    }
}

#[test]
fn over_a_large_wal_that_was_never_checkpointed() {
    let place = Place::new();
    let path = place.database("app.db", &("PRAGMA journal_mode=WAL;".to_owned() + &filling(50)));
    let writer = handle(&path);
    writer
        .execute_batch(
            "PRAGMA wal_autocheckpoint=0;
             WITH RECURSIVE n(i) AS (SELECT 100 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)
             INSERT INTO item SELECT i, 'x' || i, randomblob(1000) FROM n",
        )
        .unwrap();
    assert!(std::fs::metadata(place.path("app.db-wal")).unwrap().len() > 4_000_000);
    for rows in [100, 9000] {
        let image = place.image(&filling(rows));
        restore(&path, &image).unwrap();
        assert_eq!(count(&writer, "item"), i64::from(rows));
        writer.execute("DELETE FROM item WHERE id < 3", []).unwrap();
        assert_eq!(check(&writer), "ok");
        restore(&path, &image).unwrap();
        assert_is_image(&path, &image);
    }
}

#[test]
fn a_restore_larger_than_the_cache_spills() {
    for mode in ["DELETE", "WAL"] {
        let place = Place::new();
        let path = place.database("app.db", &format!("PRAGMA journal_mode={mode}; {}", filling(50)));
        let statements =
            "CREATE TABLE blobs(b); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 90)
                          INSERT INTO blobs SELECT randomblob(1000000) FROM n";
        let image = place.image(statements);
        let before = handle(&path);
        assert_eq!(count(&before, "item"), 50);
        let old = pages(&path);
        write_differences(&path, &image).unwrap().rollback().unwrap();
        assert_eq!(pages(&path), old);
        restore(&path, &image).unwrap();
        assert_eq!(count(&before, "blobs"), 90);
        assert_is_image(&path, &image);
    }
}

#[test]
fn a_writer_is_waited_for_and_named() {
    let place = Place::new();
    let path = place.database("app.db", &filling(50));
    let image = place.image(&filling(10));
    let other = OtherProcess::start(&path, &["BEGIN IMMEDIATE"]);
    let error = begin_error(&path, &image, 300);
    assert_eq!(error.code, Code::DatabaseBusy);
    assert!(error.to_string().contains(&format!("(pid {})", other.pid())), "{error}");
    other.stop();
    restore(&path, &image).unwrap();
}

#[test]
fn a_connection_in_exclusive_mode_is_recognised() {
    for mode in ["DELETE", "WAL"] {
        let place = Place::new();
        let path = place.database("app.db", &format!("PRAGMA journal_mode={mode}; {}", filling(50)));
        let image = place.image(&filling(10));
        let other = OtherProcess::start(
            &path,
            &["PRAGMA locking_mode=EXCLUSIVE", "DELETE FROM item WHERE id = 1"],
        );
        let error = begin_error(&path, &image, 400);
        assert_eq!(error.code, Code::DatabaseExclusive, "{mode}: {error}");
        assert!(error.to_string().contains(&format!("(pid {})", other.pid())), "{error}");
        other.stop();
        restore(&path, &image).unwrap();
        assert_is_image(&path, &image);
    }
}

#[test]
fn a_hot_journal_is_rolled_back_first() {
    let place = Place::new();
    let path = place.database("app.db", &filling(500));
    let old = pages(&path);
    let image = place.image(&filling(10));
    // Spills into the file, then dies with the journal in place.
    let other = OtherProcess::start(
        &path,
        &[
            "PRAGMA cache_size=2",
            "BEGIN IMMEDIATE",
            "UPDATE item SET data = randomblob(250)",
        ],
    );
    drop(other);
    assert!(place.path("app.db-journal").exists());
    let Begin::Ready(restoring) = begin(&path, &header_of(&image), in_ms(100)).unwrap() else {
        panic!("not ready");
    };
    let mut page = vec![0; 4096];
    for (number, old) in (1..).zip(&old) {
        restoring.lock().read_page(number, &mut page).unwrap();
        assert!(page == *old, "page {number}");
    }
    restoring.rollback().unwrap();
    restore(&path, &image).unwrap();
    assert_is_image(&path, &image);
}

#[test]
fn a_file_that_was_replaced_meanwhile_is_noticed() {
    let place = Place::new();
    let path = place.database("app.db", &filling(50));
    let image = place.image(&filling(10));
    let restore = write_differences(&path, &image).unwrap();
    std::fs::rename(&path, place.path("away.db")).unwrap();
    std::fs::write(&path, &image).unwrap();
    let error = restore.commit(Duration::from_millis(100)).unwrap_err();
    assert_eq!(error.code, Code::DatabaseMoved);
    // Nothing was written to the old one either.
    let away = Connection::open(place.path("away.db")).unwrap();
    assert!(away.prepare(ALL).unwrap().query([]).unwrap().next().is_ok());
    assert_eq!(count(&away, "item"), 50);
}

fn begin_error(path: &std::path::Path, image: &[u8], milliseconds: u64) -> crate::error::Error {
    match begin(path, &header_of(image), in_ms(milliseconds)) {
        Ok(_) => panic!("the lock was to be had"),
        Err(error) => error,
    }
}
