//! SQL and SQLite's checks on images that are nowhere a file.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::sync::Arc;

use super::*;
use crate::config::Check;
use crate::database::check::{ForeignKeys, check, check_foreign_keys};
use crate::database::testing::{Place, count, filling, handle};

struct Memory {
    bytes: Vec<u8>,
    page_size: u32,
    /// A page that cannot be read.
    broken: u32,
}

impl Image for Memory {
    fn page_size(&self) -> u32 {
        self.page_size
    }
    fn page_count(&self) -> u32 {
        self.bytes.len() as u32 / self.page_size
    }
    fn page(&mut self, page: u32, out: &mut [u8]) -> Result<()> {
        if page == self.broken {
            return Err(Error::new(Code::SnapshotDamaged, format!("page {page} is broken")));
        }
        let start = (page - 1) as usize * self.page_size as usize;
        out.copy_from_slice(&self.bytes[start..start + self.page_size as usize]);
        Ok(())
    }
}

fn open_bytes(bytes: Vec<u8>, page_size: u32, broken: u32) -> ImageDatabase {
    open(Box::new(Memory {
        bytes,
        page_size,
        broken,
    }))
    .unwrap()
}

fn image_of(statements: &str) -> ImageDatabase {
    open_bytes(Place::new().image(statements), 4096, 0)
}

/// What SQLite finds damaged.
fn run(image: &mut ImageDatabase, level: Check) -> Result<Option<String>> {
    check(image, level, Arc::new(|| true)).map(|judgement| judgement.into_parts().0)
}

#[test]
fn sql_works_on_images_of_every_page_size() {
    for page_size in [512, 1024, 2048, 4096, 8192, 16_384, 32_768, 65_536] {
        let bytes = Place::new().image(&format!("PRAGMA page_size={page_size}; {}", filling(500)));
        let image = open_bytes(bytes, page_size, 0);
        assert_eq!(count(image.connection(), "item"), 500, "{page_size}");
        assert_eq!(count(image.connection(), "item WHERE text LIKE 'row %'"), 500);
        // Sorting needs room that is neither a file nor in the image.
        let sorted = "(SELECT * FROM item ORDER BY hex(data) DESC)";
        assert_eq!(count(image.connection(), sorted), 500);
    }
}

#[test]
fn an_image_of_a_database_in_wal_mode_needs_no_wal() {
    let bytes = Place::new().image(&format!("PRAGMA journal_mode=WAL; {}", filling(50)));
    assert_eq!(bytes[18..20], [2, 2]);
    let mut image = open_bytes(bytes, 4096, 0);
    assert_eq!(count(image.connection(), "item"), 50);
    assert_eq!(run(&mut image, Check::Full).unwrap(), None);
}

#[test]
fn two_images_are_open_at_once_and_do_not_mix() {
    let (one, two) = (image_of(&filling(10)), image_of(&filling(20)));
    assert_eq!(
        (count(one.connection(), "item"), count(two.connection(), "item")),
        (10, 20)
    );
    drop(one);
    assert_eq!(count(two.connection(), "item"), 20);
}

#[test]
fn why_a_page_could_not_be_read_comes_back() {
    let bytes = Place::new().image(&filling(500));
    let last = bytes.len() as u32 / 4096;
    let mut image = open_bytes(bytes, 4096, last);
    assert!(image.take_error().is_none());
    let error = run(&mut image, Check::Full).unwrap_err();
    assert_eq!(error.code, Code::SnapshotDamaged);
    assert_eq!(error.to_string(), format!("page {last} is broken"));
    assert!(
        image
            .connection()
            .query_row("SELECT sum(length(data)) FROM item", [], |_| Ok(()))
            .is_err()
    );
    assert_eq!(image.take_error().unwrap().code, Code::SnapshotDamaged);
    assert!(image.take_error().is_none(), "taken");
}

#[test]
fn an_image_refuses_to_be_written() {
    let image = image_of(&filling(10));
    for statement in [
        "DELETE FROM item",
        "CREATE TABLE x(a)",
        "PRAGMA user_version=3",
        "VACUUM",
        "PRAGMA journal_mode=WAL; INSERT INTO item(id) VALUES (99)",
    ] {
        assert!(image.connection().execute_batch(statement).is_err(), "{statement}");
    }
    assert_eq!(count(image.connection(), "item"), 10);
}

#[test]
fn the_full_check_finds_an_index_that_lost_a_row() {
    let place = Place::new();
    let path = place.database("app.db", &filling(100));
    let (root, sql): (u32, String) = handle(&path)
        .query_row(
            "SELECT rootpage, sql FROM sqlite_schema WHERE name = 'item_text'",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .unwrap();
    handle(&path)
        .execute_batch("PRAGMA writable_schema=ON; DELETE FROM sqlite_schema WHERE name = 'item_text'")
        .unwrap();
    handle(&path)
        .execute_batch("UPDATE item SET text = 'changed' WHERE id = 50; DELETE FROM item WHERE id = 7")
        .unwrap();
    handle(&path)
        .execute_batch(&format!(
            "PRAGMA writable_schema=ON; INSERT INTO sqlite_schema VALUES ('index', 'item_text', 'item', {root}, '{sql}')"
        ))
        .unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let mut image = open_bytes(bytes, 4096, 0);
    assert_eq!(run(&mut image, Check::None).unwrap(), None);
    let finding = run(&mut image, Check::Full).unwrap().unwrap();
    assert!(finding.contains("item_text"), "{finding}");
}

#[test]
fn the_quick_check_finds_a_page_of_noise() {
    let mut bytes = Place::new().image(&filling(500));
    bytes[4096 * 5..4096 * 6].fill(0xA7);
    let mut image = open_bytes(bytes, 4096, 0);
    assert!(run(&mut image, Check::Quick).unwrap().is_some());
}

fn reason_not_to_open(bytes: Vec<u8>, broken: u32) -> Error {
    let page_size = 4096;
    let image = Memory {
        bytes,
        page_size,
        broken,
    };
    open(Box::new(image)).err().unwrap()
}

#[test]
fn an_image_that_is_no_sound_database_says_so_when_it_is_opened() {
    let mut short = Place::new().image(&filling(500));
    short.truncate(short.len() / 4096 / 2 * 4096);
    let nonsense = Place::new().image(&format!(
        "{} PRAGMA writable_schema=ON; UPDATE sqlite_schema SET sql = 'CREATE NONSENSE' WHERE name = 'item'",
        filling(10)
    ));
    for bytes in [short, nonsense, vec![0xA7; 8192]] {
        let error = reason_not_to_open(bytes, 0);
        assert_eq!(error.code, Code::DatabaseCorrupt);
        assert!(!error.causes().is_empty(), "SQLite's words");
    }
}

#[test]
fn a_first_page_that_cannot_be_read_is_no_finding_of_sqlite() {
    let error = reason_not_to_open(Place::new().image(&filling(10)), 1);
    assert_eq!(error.code, Code::SnapshotDamaged);
}

#[test]
fn rows_without_their_parent_are_named() {
    let image = image_of(
        "PRAGMA foreign_keys=OFF; CREATE TABLE parent(id INTEGER PRIMARY KEY);
         CREATE TABLE child(id INTEGER PRIMARY KEY, parent REFERENCES parent(id));
         INSERT INTO parent VALUES (1); INSERT INTO child VALUES (1, 1), (2, 9)",
    );
    let finding = check_foreign_keys(&image).unwrap().broken.unwrap();
    assert!(
        finding.contains("row 2 of child") && finding.contains("parent"),
        "{finding}"
    );
    let whole = check_foreign_keys(&image_of(&filling(5))).unwrap();
    assert_eq!(whole, ForeignKeys::default());
}

#[test]
fn a_check_that_nobody_waits_for_is_given_up() {
    let image = image_of(&filling(30_000));
    let outcome = check(&image, Check::Full, Arc::new(|| false));
    assert_eq!(outcome.unwrap_err().code, Code::Aborted);
}
