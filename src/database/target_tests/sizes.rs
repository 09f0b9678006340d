//! Every page size, reserved bytes, and files beyond the lock-byte page.

use std::time::Duration;

use super::super::{Begin, Committed};
use crate::database::header::lock_byte_page;
use crate::database::testing::*;

#[test]
fn every_page_size() {
    for mode in ["DELETE", "WAL"] {
        for page_size in [512, 1024, 2048, 4096, 8192, 16_384, 32_768, 65_536] {
            let place = Place::new();
            let settings = format!("PRAGMA page_size={page_size}; PRAGMA journal_mode={mode};");
            let path = place.database("app.db", &format!("{settings} {}", filling(300)));
            let before = handle(&path);
            assert_eq!(count(&before, "item"), 300);
            for rows in [20, 900] {
                let image = place.image(&format!("{settings} {} {}", wide_schema(rows / 10), filling(rows)));
                restore(&path, &image).unwrap();
                assert_eq!(count(&before, "item"), i64::from(rows));
                assert_is_image(&path, &image);
            }
        }
    }
}

/// Some builds keep bytes for a checksum or a nonce at the end of every page.
#[test]
fn other_reserved_bytes() {
    let place = Place::new();
    let image = place.path("reserved.db");
    let made = std::process::Command::new("sqlite3")
        .arg(&image)
        .args([".filectrl reserve_bytes 8", &filling(200), "VACUUM"])
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let image = std::fs::read(image).unwrap();
    assert_eq!(image[20], 8);
    for mode in ["DELETE", "WAL"] {
        let path = place.database(
            &format!("{mode}.db"),
            &format!("PRAGMA journal_mode={mode}; {}", filling(300)),
        );
        let before = handle(&path);
        assert_eq!(count(&before, "item"), 300);
        restore(&path, &image).unwrap();
        assert_eq!(count(&before, "item"), 200);
        before.execute_batch("UPDATE item SET data = randomblob(900)").unwrap();
        assert_eq!(check(&before), "ok");
        restore(&path, &image).unwrap();
        assert_is_image(&path, &image);
    }
}

/// Pages of 64 KiB make 1 GiB cheap: a file of zeros, with a few pages of content at its end.
#[test]
fn beyond_the_lock_byte_page() {
    const PAGE_SIZE: u32 = 65_536;
    let place = Place::new();
    let small = "PRAGMA page_size=65536; CREATE TABLE big(b); CREATE TABLE item(a); INSERT INTO item VALUES (1);";
    let big = place.database(
        "big.db",
        &format!(
            "{small} INSERT INTO big VALUES (zeroblob(540000000)), (zeroblob(540000000)); INSERT INTO item VALUES (2)"
        ),
    );
    let path = place.database("app.db", small);
    let small = std::fs::read(&path).unwrap();
    let before = handle(&path);
    assert_eq!(count(&before, "item"), 1);

    // Page by page from another connection: the image is too large to hold.
    let source = handle(&big);
    source.execute_batch("BEGIN").unwrap();
    let page_count: u32 = source.query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap();
    assert!(page_count > lock_byte_page(PAGE_SIZE));
    let mut read = source
        .prepare("SELECT data FROM sqlite_dbpage WHERE pgno = ?1")
        .unwrap();
    let mut page = |number: u32| -> Vec<u8> { read.query_row([number], |row| row.get(0)).unwrap() };
    let mut header = header_of(&small);
    header.page_count = page_count;
    header.page1 = page(1);
    let Begin::Ready(mut restoring) = begin(&path, &header, in_ms(1000)).unwrap() else {
        panic!("not ready");
    };
    for number in 2..=page_count {
        restoring.write_page(number, &page(number)).unwrap();
    }
    assert!(matches!(
        restoring.commit(Duration::from_secs(1)).unwrap(),
        Committed::Done { .. }
    ));
    assert_eq!(count(&before, "item"), 2);
    assert_eq!(
        std::fs::metadata(&path).unwrap().len(),
        u64::from(page_count) * u64::from(PAGE_SIZE)
    );
    let check: String = before.query_row("PRAGMA quick_check", [], |row| row.get(0)).unwrap();
    assert_eq!(check, "ok");

    restore(&path, &small).unwrap();
    assert_eq!(count(&before, "item"), 1);
    assert_is_image(&path, &small);
}
