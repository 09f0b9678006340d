//! Reading the live database: what counts as one instant, and what must not be missed.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::time::Duration;

use super::*;
use crate::database::testing::*;
use crate::error::Code;

/// About 4 MB: several batches, so that something can happen between them.
pub(super) const ROWS: u32 = 10_000;

pub(super) fn open(path: &Path) -> PageSource {
    PageSource::open(path, Duration::from_secs(5)).unwrap()
}

fn page(batch: &Batch, page_size: u32) -> u32 {
    batch.first_page + batch.data.len() as u32 / page_size - 1
}

/// A pass over the database during which `between` runs once, after the first batch (or the last one).
pub(super) fn slices(source: &mut PageSource, when_last: bool, between: impl FnOnce()) -> (Sliced, Vec<u8>) {
    let (page_size, mut between, mut image) = (source.page_size(), Some(between), Vec::new());
    let sliced = source
        .read_in_slices(&mut |batch| {
            let is_last = page(&batch, page_size) == batch.of_pages;
            assert!(!is_last || when_last || between.is_none(), "one batch only");
            image.extend_from_slice(&batch.data);
            if is_last == when_last
                && let Some(between) = between.take()
            {
                between();
            }
            Ok(())
        })
        .unwrap();
    (sliced, image)
}

pub(super) fn in_transaction(source: &mut PageSource) -> Vec<u8> {
    let mark = source.begin().unwrap();
    let mut image = Vec::new();
    let mut sink = |batch: Batch| {
        image.extend_from_slice(&batch.data);
        Ok(())
    };
    source.read_in_transaction(&mark, &mut sink).unwrap();
    source.end().unwrap();
    image
}

#[test]
fn a_quiet_database_is_read_as_it_is_and_reported_unchanged() {
    for page_size in [512, 4096, 65_536] {
        let place = Place::new();
        let path = place.database("app.db", &format!("PRAGMA page_size={page_size}; {}", filling(3000)));
        let bytes = std::fs::read(&path).unwrap();
        let mut source = open(&path);
        let (sliced, image) = slices(&mut source, true, || {});
        assert!(image == bytes);
        let mark = sliced.unchanged.unwrap();
        assert_eq!(
            u64::from(mark.page_count) * u64::from(source.page_size()),
            bytes.len() as u64
        );
        assert!(!mark.wal);
        assert!(in_transaction(&mut source) == bytes);
    }
}

#[test]
fn a_commit_between_slices_is_seen_whatever_it_touches() {
    for statement in [
        "UPDATE item SET data = zeroblob(250) WHERE id = 1",
        "UPDATE item SET data = zeroblob(250) WHERE id = 9999",
        "CREATE TABLE another(a)",
        "PRAGMA user_version = 5",
    ] {
        let place = Place::new();
        let path = place.database("app.db", &filling(ROWS));
        let mut source = open(&path);
        let (sliced, _) = slices(&mut source, false, || handle(&path).execute_batch(statement).unwrap());
        assert_eq!(sliced.unchanged, None, "{statement}");
        let (sliced, image) = slices(&mut source, true, || {});
        assert!(sliced.unchanged.is_some(), "quiet again after {statement}");
        drop(source);
        assert!(image == std::fs::read(&path).unwrap());
    }
}

#[test]
fn a_commit_after_the_last_slice_does_not_count() {
    let place = Place::new();
    let path = place.database("app.db", &filling(ROWS));
    let bytes = std::fs::read(&path).unwrap();
    let mut source = open(&path);
    let (sliced, image) = slices(&mut source, true, || {
        handle(&path)
            .execute_batch("UPDATE item SET data = zeroblob(250) WHERE id = 1")
            .unwrap();
    });
    assert!(sliced.unchanged.is_some());
    assert!(image == bytes);
}

#[test]
fn a_transaction_that_was_rolled_back_changed_nothing() {
    let place = Place::new();
    let path = place.database("app.db", &filling(ROWS));
    let mut source = open(&path);
    let (sliced, _) = slices(&mut source, false, || {
        handle(&path)
            .execute_batch("BEGIN; DELETE FROM item; ROLLBACK")
            .unwrap();
    });
    assert!(sliced.unchanged.is_some());
}

#[test]
fn in_wal_mode_slices_are_never_one_instant() {
    let place = Place::new();
    let path = place.database("app.db", &format!("PRAGMA journal_mode=WAL; {}", filling(ROWS)));
    let mut source = open(&path);
    assert!(source.begin().unwrap().wal);
    source.end().unwrap();
    let (sliced, _) = slices(&mut source, false, || {});
    assert_eq!(sliced.unchanged, None);
}

#[test]
fn a_change_of_the_journal_mode_between_slices_is_seen() {
    let place = Place::new();
    let path = place.database("app.db", &filling(ROWS));
    let mut source = open(&path);
    let (sliced, _) = slices(&mut source, false, || {
        handle(&path).execute_batch("PRAGMA journal_mode=WAL").unwrap();
    });
    assert_eq!(sliced.unchanged, None);
    assert!(source.begin().unwrap().wal);
    source.end().unwrap();
}

#[test]
fn a_database_that_grows_between_slices_is_read_to_its_new_end() {
    let place = Place::new();
    let path = place.database("app.db", &filling(ROWS));
    let before = std::fs::metadata(&path).unwrap().len();
    let mut source = open(&path);
    let (sliced, image) = slices(&mut source, false, || {
        handle(&path)
            .execute_batch("CREATE TABLE more(b); INSERT INTO more VALUES (zeroblob(3000000))")
            .unwrap();
    });
    assert_eq!(sliced.unchanged, None);
    assert!(image.len() as u64 > before + 2_900_000);
    assert_eq!(image.len() as u64, std::fs::metadata(&path).unwrap().len());
}

#[test]
fn a_database_that_shrinks_between_slices_ends_where_it_ends_now() {
    let place = Place::new();
    let path = place.database("app.db", &filling(ROWS));
    let mut source = open(&path);
    let (sliced, image) = slices(&mut source, false, || {
        handle(&path).execute_batch("DELETE FROM item; VACUUM").unwrap();
    });
    assert_eq!(sliced.unchanged, None);
    let now = std::fs::metadata(&path).unwrap().len();
    assert!(now < 100_000 && image.len() as u64 > now, "read before it shrank");
    assert_eq!(in_transaction(&mut source).len() as u64, now);
}

#[test]
fn another_page_size_between_slices_stores_nothing() {
    let place = Place::new();
    let path = place.database("app.db", &filling(ROWS));
    let mut source = open(&path);
    let mut changed = false;
    let outcome = source.read_in_slices(&mut |_| {
        if !changed {
            handle(&path).execute_batch("PRAGMA page_size=1024; VACUUM").unwrap();
            changed = true;
        }
        Ok(())
    });
    assert_eq!(outcome.map(drop).unwrap_err().code, Code::DatabaseMoved);
}

#[test]
fn marks_prove_something_only_when_all_of_them_agree_and_in_rollback_mode() {
    let mark = Mark {
        change_counter: 7,
        page_count: 3,
        wal: false,
        data_version: 1,
    };
    assert!(mark.proves_unchanged(&mark));
    let in_wal = Mark { wal: true, ..mark };
    for (one, other) in [
        (
            mark,
            Mark {
                change_counter: 8,
                ..mark
            },
        ),
        (mark, Mark { page_count: 4, ..mark }),
        (
            mark,
            Mark {
                data_version: 2,
                ..mark
            },
        ),
        (mark, in_wal),
        (in_wal, mark),
        (in_wal, in_wal),
    ] {
        assert!(!one.proves_unchanged(&other), "{one:?} {other:?}");
    }
}
