//! Growing, shrinking, other schemas, all kinds of auto-vacuum: in both journal modes.

use std::time::Duration;

use rusqlite::Connection;

use super::super::Committed;
use crate::database::header::{AutoVacuum, Header};
use crate::database::testing::*;

const JOURNAL_MODES: [&str; 2] = ["PRAGMA journal_mode=DELETE;", "PRAGMA journal_mode=WAL;"];

/// Restores under a handle that has the schema loaded, which then must see the image and write to it.
fn restore_under_open_handles(live: &str, image: &str) {
    for live_mode in JOURNAL_MODES {
        for image_mode in JOURNAL_MODES {
            let place = Place::new();
            let path = place.database("app.db", &format!("{live_mode} {live}"));
            let image = place.image(&format!("{image_mode} {image}"));
            let before = handle(&path);
            assert_eq!(check(&before), "ok");
            let mode: String = journal_mode(&before);
            let cookie: i64 = schema_version(&before);

            let done = restore(&path, &image).unwrap();
            assert!(matches!(done, Committed::Done { .. }), "{done:?}");

            assert_eq!(check(&before), "ok", "{live_mode} {image_mode}");
            assert_ne!(schema_version(&before), cookie);
            assert_eq!(journal_mode(&before), mode);
            assert_is_image(&path, &image);
            assert_eq!(journal_mode(&handle(&path)), mode);

            before
                .execute_batch("CREATE TABLE later(a); INSERT INTO later VALUES (1); CREATE TABLE later_still(a)")
                .unwrap();
            drop(before);
            assert_is_sound(&path);
        }
    }
}

fn journal_mode(connection: &Connection) -> String {
    connection
        .query_row("PRAGMA journal_mode", [], |row| row.get(0))
        .unwrap()
}

fn schema_version(connection: &Connection) -> i64 {
    connection
        .query_row("PRAGMA schema_version", [], |row| row.get(0))
        .unwrap()
}

#[test]
fn grows() {
    restore_under_open_handles(&filling(10), &filling(2000));
}

#[test]
fn shrinks() {
    restore_under_open_handles(&filling(2000), &filling(10));
}

#[test]
fn takes_a_larger_schema() {
    restore_under_open_handles(&filling(100), &(wide_schema(200) + &filling(100)));
}

#[test]
fn takes_a_smaller_schema() {
    restore_under_open_handles(&(wide_schema(200) + &filling(100)), &filling(100));
}

#[test]
fn takes_another_schema_of_the_same_cookie() {
    restore_under_open_handles(
        "CREATE TABLE first(a); CREATE TABLE second(a, b); INSERT INTO first VALUES (1); INSERT INTO second VALUES (1, 2)",
        "CREATE TABLE second(x, y, z); CREATE TABLE first(k); INSERT INTO second VALUES (1, 2, 3)",
    );
}

#[test]
fn an_open_handle_reads_and_writes_the_new_tables() {
    for mode in JOURNAL_MODES {
        let place = Place::new();
        let path = place.database(
            "app.db",
            &format!("{mode} CREATE TABLE a(x); CREATE TABLE b(x); INSERT INTO a VALUES (1)"),
        );
        // The same two tables, with their root pages exchanged.
        let image = place.image("CREATE TABLE b(x); CREATE TABLE a(x); INSERT INTO b VALUES (7), (8)");
        let before = handle(&path);
        assert_eq!(count(&before, "a"), 1);
        restore(&path, &image).unwrap();
        assert_eq!((count(&before, "a"), count(&before, "b")), (0, 2), "{mode}");
        before.execute("INSERT INTO a VALUES (9)", []).unwrap();
        let fresh = handle(&path);
        assert_eq!((count(&fresh, "a"), count(&fresh, "b")), (1, 2), "{mode}");
        assert_eq!(check(&fresh), "ok");
    }
}

/// Without this, a connection that wrote the cookie of the image would go on with its old schema.
#[test]
fn the_cookie_moves_even_when_the_image_has_the_next_one() {
    for mode in JOURNAL_MODES {
        let place = Place::new();
        let path = place.database("app.db", &format!("{mode} CREATE TABLE a(x); CREATE TABLE b(x)"));
        for image_cookie in [1, 2, 3, 4, 1_000_000, -1] {
            let image = place.image(&format!(
                "CREATE TABLE b(x); CREATE TABLE a(x); INSERT INTO b VALUES (1); PRAGMA schema_version={image_cookie}"
            ));
            let before = handle(&path);
            count(&before, "a");
            restore(&path, &image).unwrap();
            assert_eq!((count(&before, "a"), count(&before, "b")), (0, 1));
            assert_is_image(&path, &image);
        }
    }
}

#[test]
fn the_drawn_cookie_is_set_whatever_was_there() {
    let place = Place::new();
    for cookie in [-1, i32::MAX, i32::MIN] {
        let path = place.database(
            "app.db",
            &format!("DROP TABLE IF EXISTS a; CREATE TABLE a(x); PRAGMA schema_version={cookie}"),
        );
        let image = place.image(&filling(5));
        let transaction = write_differences(&path, &image).unwrap();
        let drawn = transaction.cookie();
        transaction.commit(Duration::from_millis(200)).unwrap();
        assert_eq!(schema_version(&handle(&path)), i64::from(drawn.cast_signed()));
        assert_is_image(&path, &image);
    }
}

#[test]
fn every_pair_of_auto_vacuum() {
    let modes = [AutoVacuum::None, AutoVacuum::Full, AutoVacuum::Incremental];
    for live_mode in modes {
        for image_mode in modes {
            for journal in JOURNAL_MODES {
                let place = Place::new();
                let path = place.database("app.db", &format!("{journal} {}", vacuuming(live_mode, 500)));
                let image = place.image(&vacuuming(image_mode, 300));
                assert_eq!(Header::parse(&image).unwrap().auto_vacuum, image_mode);
                if image_mode != AutoVacuum::Full {
                    assert!(freelist(&image) > 10, "the freelist is the point");
                }
                let before = handle(&path);
                assert_eq!(count(&before, "item"), 250);
                restore(&path, &image).unwrap();
                assert_is_image(&path, &image);
                before
                    .execute_batch("DELETE FROM item WHERE id % 3 = 0; PRAGMA incremental_vacuum")
                    .unwrap();
                assert_eq!(check(&before), "ok", "{live_mode:?} {image_mode:?} {journal}");
            }
        }
    }
}

/// A full image with a freelist: SQLite empties it at each commit, so it is made as incremental.
#[test]
fn a_full_image_with_a_freelist_is_not_vacuumed() {
    for journal in JOURNAL_MODES {
        let place = Place::new();
        let mut image = place.image(&vacuuming(AutoVacuum::Incremental, 300));
        image[64..68].fill(0);
        for live_mode in [AutoVacuum::None, AutoVacuum::Full, AutoVacuum::Incremental] {
            let path = place.database(
                &format!("{live_mode:?}.db"),
                &format!("{journal} {}", vacuuming(live_mode, 500)),
            );
            restore(&path, &image).unwrap();
            assert_is_image(&path, &image);
        }
    }
}

fn vacuuming(mode: AutoVacuum, rows: u32) -> String {
    let number = match mode {
        AutoVacuum::None => 0,
        AutoVacuum::Full => 1,
        AutoVacuum::Incremental => 2,
    };
    format!(
        "PRAGMA auto_vacuum={number}; {} DELETE FROM item WHERE id % 2 = 0",
        filling(rows)
    ) + if rows == 300 {
        "; DELETE FROM item WHERE id < 200"
    } else {
        ""
    }
}

fn freelist(image: &[u8]) -> u32 {
    u32::from_be_bytes([image[36], image[37], image[38], image[39]])
}

#[test]
fn the_change_counter_is_the_one_that_is_reported() {
    for mode in JOURNAL_MODES {
        let place = Place::new();
        let path = place.database("app.db", &format!("{mode} {}", filling(200)));
        let image = place.image(&filling(100));
        let Committed::Done { change_counter } = restore(&path, &image).unwrap() else {
            panic!("busy");
        };
        let written = Header::parse(&pages(&path)[0]).unwrap();
        assert_eq!(change_counter, written.change_counter, "{mode}");
        assert_eq!(written.page_count, Some(pages(&path).len() as u32));
    }
}

#[test]
fn a_restore_of_the_same_content_and_rollback_change_nothing() {
    let place = Place::new();
    let path = place.database("app.db", &filling(200));
    let before = pages(&path);
    let image = place.image(&filling(100));
    write_differences(&path, &image).unwrap().rollback().unwrap();
    assert_eq!(pages(&path), before);
    drop(write_differences(&path, &image).unwrap());
    assert_eq!(pages(&path), before);
}

#[test]
fn a_page_that_was_forgotten_is_noticed() {
    let place = Place::new();
    let path = place.database("app.db", &filling(10));
    let before = pages(&path);
    let image = place.image(&filling(200));
    let Ok(crate::database::target::Begin::Ready(restore)) = begin(&path, &header_of(&image), in_ms(100)) else {
        panic!("not ready");
    };
    let error = restore.commit(std::time::Duration::ZERO).unwrap_err();
    assert_eq!(error.code, crate::error::Code::Internal);
    assert_eq!(pages(&path), before);
}

#[test]
fn the_commit_is_to_survive_a_power_loss() {
    let place = Place::new();
    let image = place.image(&filling(10));
    for mode in JOURNAL_MODES {
        let path = place.database("app.db", &format!("{mode} DROP TABLE IF EXISTS item; {}", filling(20)));
        let restore = write_differences(&path, &image).unwrap();
        let synchronous: i64 = restore
            .lock()
            .connection()
            .query_row("PRAGMA synchronous", [], |row| row.get(0))
            .unwrap();
        assert_eq!(synchronous, 3, "EXTRA");
    }
}

/// The safety snapshot is taken under the lock, from a page 1 that SQLite has already been told to change.
#[test]
fn page_1_is_read_as_it_was_before_the_lock() {
    let place = Place::new();
    let image = place.image(&filling(10));
    let path = place.database("app.db", &vacuuming(AutoVacuum::Full, 500));
    let before = pages(&path);
    let restore = write_differences(&path, &image).unwrap();
    let mut page = vec![0; restore.lock().page_size() as usize];
    restore.lock().read_page(1, &mut page).unwrap();
    assert!(page == before[0]);
    assert_eq!(restore.live().auto_vacuum, AutoVacuum::Full);
}
