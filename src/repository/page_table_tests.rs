#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use super::*;
use crate::repository::testing::{Place, entry, page};

#[test]
fn entries_come_back_in_order_and_one_by_one() {
    let place = Place::new();
    // More than the buffer of the reader holds.
    let mut entries: Vec<PageEntry> = (0..15_000_u32)
        .map(|i| entry(&i.to_le_bytes(), i % 7 + 1, u32::MAX - i))
        .collect();
    entries[3] = PageEntry::HOLE;
    let table = place.table(&entries);
    assert_eq!(table.pages(), 15_000);
    assert!(table.iter().map(|entry| entry.unwrap()).eq(entries.iter().copied()));
    for page in [1, 4, 7000, 15_000] {
        assert_eq!(table.get(page).unwrap(), entries[page as usize - 1]);
    }
    assert!(table.get(15_001).is_err());
}

#[test]
fn two_readers_do_not_disturb_each_other() {
    let place = Place::new();
    let entries: Vec<PageEntry> = (0..12_000_u32).map(|i| entry(&i.to_le_bytes(), 1, i)).collect();
    let table = place.table(&entries);
    for (one, (other, wanted)) in table.iter().zip(table.iter().zip(&entries)) {
        assert_eq!((one.unwrap(), other.unwrap()), (*wanted, *wanted));
    }
}

#[test]
fn the_list_hash_depends_on_content_and_order_and_not_on_places() {
    let place = Place::new();
    let [a, b] = [entry(&page(1, 512), 1, 0), entry(&page(2, 512), 1, 1)];
    let hash = |entries: &[PageEntry]| place.table(entries).list_hash().unwrap();
    let elsewhere = PageEntry {
        pack: 9,
        position: 9,
        ..a
    };
    assert_eq!(hash(&[a, b]), hash(&[elsewhere, b]));
    for other in [&[b, a][..], &[a], &[a, b, b], &[a, PageEntry::HOLE]] {
        assert_ne!(hash(&[a, b]), hash(other));
    }
}
