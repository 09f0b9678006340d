//! Live files that are damaged, empty, or of another kind than the image.

use rusqlite::Connection;

use super::super::{Begin, Committed, ReplaceReason};
use crate::database::testing::*;
use crate::error::Code;

const JOURNAL_MODES: [&str; 2] = ["DELETE", "WAL"];

/// Damages the closed file, lets others open it, restores, and lets them go on.
fn restore_damaged(damage: impl Fn(&std::path::Path)) {
    for mode in JOURNAL_MODES {
        for auto_vacuum in [0, 1] {
            let place = Place::new();
            let settings = format!("PRAGMA journal_mode={mode}; PRAGMA auto_vacuum={auto_vacuum};");
            let path = place.database("app.db", &(settings + &wide_schema(100) + &filling(1000)));
            damage(&path);
            let image = place.image(&filling(300));
            let before = handle(&path);
            // Whatever it says: it has the file open and has tried to read the schema.
            let _ = before.execute_batch("SELECT count(*) FROM item");
            let done = restore(&path, &image).unwrap();
            assert!(matches!(done, Committed::Done { .. }));
            assert_eq!(count(&before, "item"), 300, "{mode}");
            before
                .execute_batch("DELETE FROM item WHERE id = 1; CREATE TABLE later(a)")
                .unwrap();
            assert_eq!(check(&before), "ok");
            restore(&path, &image).unwrap();
            assert_is_image(&path, &image);
        }
    }
}

#[test]
fn a_schema_whose_text_is_broken() {
    restore_damaged(|path| {
        let connection = Connection::open(path).unwrap();
        connection
            .execute_batch(
                "PRAGMA writable_schema=ON; UPDATE sqlite_schema SET sql = 'CREATE NONSENSE', rootpage = 99999",
            )
            .unwrap();
    });
}

#[test]
fn a_page_1_whose_tree_is_broken() {
    for byte in [0, 0xFF, 13] {
        restore_damaged(|path| overwrite(path, 100, &[byte; 20]));
    }
}

#[test]
fn a_file_whose_end_is_missing() {
    for bytes in [5 * 4096, 3 * 4096 + 1000, 4096, 2000] {
        restore_damaged(|path| {
            std::fs::OpenOptions::new()
                .write(true)
                .open(path)
                .unwrap()
                .set_len(bytes)
                .unwrap();
        });
    }
}

#[test]
fn pages_in_the_middle_are_noise() {
    restore_damaged(|path| overwrite(path, 3 * 4096, &[0xA5; 40_000]));
}

#[test]
fn an_empty_file_that_others_have_open() {
    for mode in JOURNAL_MODES {
        for page_size in [512, 4096, 65_536] {
            let place = Place::new();
            let path = place.path("app.db");
            std::fs::write(&path, b"").unwrap();
            let before = handle(&path);
            assert_eq!(check(&before), "ok");
            let image = place.image(&format!(
                "PRAGMA page_size={page_size}; PRAGMA journal_mode={mode}; {}",
                filling(100)
            ));
            let done = restore(&path, &image).unwrap();
            assert!(matches!(done, Committed::Done { .. }));
            assert_eq!(count(&before, "item"), 100);
            assert_is_image(&path, &image);
            let found: String = handle(&path)
                .query_row("PRAGMA journal_mode", [], |row| row.get(0))
                .unwrap();
            assert_eq!(found.to_uppercase(), mode);
            before.execute("DELETE FROM item WHERE id = 1", []).unwrap();
            assert_is_sound(&path);
        }
    }
}

#[test]
fn an_empty_file_has_no_pages() {
    let place = Place::new();
    let path = place.path("app.db");
    std::fs::write(&path, b"").unwrap();
    let image = place.image(&filling(10));
    let Begin::Ready(restore) = begin(&path, &header_of(&image), in_ms(100)).unwrap() else {
        panic!("not ready");
    };
    assert_eq!(restore.lock().page_count(), 0);
    restore.rollback().unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().len(), 0);
}

#[test]
fn an_image_without_pages() {
    let place = Place::new();
    let empty = place.path("empty.db");
    std::fs::write(&empty, b"").unwrap();
    assert_eq!(restore(&empty, b"").unwrap(), Committed::Done { change_counter: 0 });
    assert_eq!(std::fs::metadata(&empty).unwrap().len(), 0);

    for mode in JOURNAL_MODES {
        for page_size in [512, 4096, 65_536] {
            for settings in ["auto_vacuum=1", "encoding='UTF-16le'"] {
                let path = place.database(
                    &format!("{mode}{page_size}{settings}.db"),
                    &format!(
                        "PRAGMA page_size={page_size}; PRAGMA {settings}; PRAGMA journal_mode={mode}; {}",
                        filling(100)
                    ),
                );
                let before = handle(&path);
                assert_eq!(count(&before, "item"), 100);
                assert!(matches!(restore(&path, b"").unwrap(), Committed::Done { .. }));
                assert_eq!(count(&before, "sqlite_schema"), 0);
                assert_eq!(pages(&path).len(), 1);
                assert_eq!(check(&before), "ok");
                before
                    .execute_batch("CREATE TABLE again(a); INSERT INTO again VALUES ('text')")
                    .unwrap();
                let text: String = handle(&path)
                    .query_row("SELECT a FROM again", [], |row| row.get(0))
                    .unwrap();
                assert_eq!(text, "text");
                assert_is_sound(&path);
            }
        }
    }
}

#[test]
fn another_encoding_is_a_reason_to_replace() {
    let place = Place::new();
    let utf_8 = filling(20);
    let utf_16 = "PRAGMA encoding='UTF-16le';".to_owned() + &utf_8;
    for (live, image) in [(&utf_8, &utf_16), (&utf_16, &utf_8)] {
        let path = place.database("app.db", live);
        let image = place.image(image);
        let old = pages(&path);
        assert_eq!(reason_to_replace(&path, &image), Some(ReplaceReason::TextEncoding));
        assert_eq!(pages(&path), old);
        std::fs::remove_file(&path).unwrap();
    }
    // Who has an empty file open has settled for UTF-8.
    let empty = place.path("empty.db");
    std::fs::write(&empty, b"").unwrap();
    assert_eq!(
        reason_to_replace(&empty, &place.image(&utf_16)),
        Some(ReplaceReason::TextEncoding)
    );
    // The same encoding is none.
    let path = place.database("app.db", &utf_16);
    let image = place.image(&("PRAGMA encoding='UTF-16le';".to_owned() + &filling(70)));
    restore(&path, &image).unwrap();
    assert_is_image(&path, &image);
}

#[test]
fn another_page_size_is_a_reason_to_replace() {
    let place = Place::new();
    let path = place.database("app.db", &filling(20));
    let image = place.image(&("PRAGMA page_size=8192;".to_owned() + &filling(20)));
    let reason = ReplaceReason::PageSize {
        live: 4096,
        image: 8192,
    };
    assert_eq!(reason_to_replace(&path, &image), Some(reason));
}

#[test]
fn a_header_that_sqlite_does_not_know_is_a_reason_to_replace() {
    let place = Place::new();
    let image = place.image(&filling(20));
    let damages: [(u64, &[u8]); 5] = [
        (0, b"garbage garbage "),
        (16, &[3, 3]),
        (18, &[5, 1]),
        (19, &[7]),
        (21, &[0]),
    ];
    for (at, bytes) in damages {
        let path = place.database("app.db", &filling(20));
        overwrite(&path, at, bytes);
        assert_eq!(
            reason_to_replace(&path, &image),
            Some(ReplaceReason::UnreadableHeader),
            "byte {at}"
        );
        std::fs::remove_file(&path).unwrap();
    }
    let path = place.path("short.db");
    std::fs::write(&path, b"this is text").unwrap();
    assert_eq!(reason_to_replace(&path, &image), Some(ReplaceReason::UnreadableHeader));
}

#[test]
fn an_image_that_is_none_is_refused() {
    let place = Place::new();
    let path = place.database("app.db", &filling(20));
    let mut header = header_of(&place.image(&filling(20)));
    header.page1[0] = 0;
    let error = begin(&path, &header, in_ms(100)).err().unwrap();
    assert_eq!(error.code, Code::SnapshotDamaged);
}

fn overwrite(path: &std::path::Path, at: u64, bytes: &[u8]) {
    use std::os::unix::fs::FileExt;
    let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
    file.write_all_at(bytes, at).unwrap();
}
