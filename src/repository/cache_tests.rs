//! The page-hash cache is believed only when it is exactly the manifest's.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use super::*;
use crate::repository::manifest::Manifest;
use crate::repository::testing::{Place, draft, pages};

fn path(place: &Place, head: &Head) -> std::path::PathBuf {
    place.repository.path(&key(head.lineage))
}

fn is_believed(place: &Place, head: &Head) -> bool {
    open(&place.repository, head).unwrap().is_some()
}

fn packs(place: &Place, head: &Head) -> Vec<crate::repository::pack::PackEntry> {
    Manifest::open(&**place.repository.local(), &head.key()).unwrap().packs
}

/// A snapshot and the cache of it.
fn cached(place: &Place, generation: u32) -> (Head, PageTable) {
    let (table, packs) = place.store(512, &pages(100, 512));
    let mut draft = draft("a", 512);
    draft.generation = generation;
    let head = place.publish(draft, &table, &packs).unwrap();
    write(&place.repository, &head, &table).unwrap();
    (head, table)
}

#[test]
fn the_cache_has_the_hashes_of_the_pages_in_order() {
    let place = Place::new();
    let (head, table) = cached(&place, 1);
    let hashes = open(&place.repository, &head).unwrap().unwrap();
    let wanted: Vec<PageHash> = table.iter().map(|entry| entry.unwrap().hash).collect();
    let found: Vec<PageHash> = hashes.iter().take(100).map(|hash| hash.unwrap()).collect();
    assert_eq!(found, wanted);
    assert!(
        hashes.iter().nth(100).unwrap().is_err(),
        "nothing follows the last page"
    );
}

#[test]
fn a_missing_cache_is_not_believed() {
    let place = Place::new();
    let (head, _) = cached(&place, 1);
    std::fs::remove_file(path(&place, &head)).unwrap();
    assert!(!is_believed(&place, &head));
}

#[test]
fn the_cache_of_another_manifest_is_not_believed() {
    let place = Place::new();
    let (head, table) = cached(&place, 1);
    // Same lineage, same pages: only the id differs.
    let mut description = (*head).clone();
    description.id = Uuid::new_v4();
    let other = place.publish(description, &table, &packs(&place, &head)).unwrap();
    assert!(!is_believed(&place, &other));
    write(&place.repository, &other, &table).unwrap();
    assert!(!is_believed(&place, &head));
    assert!(is_believed(&place, &other));
}

#[test]
fn the_cache_of_another_generation_is_not_believed() {
    let place = Place::new();
    let (head, table) = cached(&place, 1);
    let mut description = (*head).clone();
    description.generation = 2;
    let rewritten = place.publish(description, &table, &packs(&place, &head)).unwrap();
    assert!(!is_believed(&place, &rewritten));
    assert!(is_believed(&place, &head));
}

#[test]
fn the_cache_of_other_pages_is_not_believed_though_it_names_the_manifest() {
    let place = Place::new();
    let (head, table) = cached(&place, 1);
    let mut entries: Vec<_> = table.iter().map(|entry| entry.unwrap()).collect();
    entries.swap(10, 11);
    write(&place.repository, &head, &place.table(&entries)).unwrap();
    assert!(!is_believed(&place, &head));
}

#[test]
fn a_cache_with_one_flipped_bit_is_not_believed() {
    let place = Place::new();
    let (head, _) = cached(&place, 1);
    let length = std::fs::read(path(&place, &head)).unwrap().len();
    assert_eq!(length, HEADER_LEN + 100 * PAGE_HASH_LEN);
    for at in 0..length {
        place.tamper(&key(head.lineage), |bytes| bytes[at] ^= 0x04);
        assert!(!is_believed(&place, &head), "byte {at}");
        place.tamper(&key(head.lineage), |bytes| bytes[at] ^= 0x04);
    }
    assert!(is_believed(&place, &head));
}

#[test]
fn a_truncated_or_longer_cache_is_not_believed() {
    let place = Place::new();
    let (head, _) = cached(&place, 1);
    let whole = std::fs::read(path(&place, &head)).unwrap();
    for length in [
        0,
        8,
        HEADER_LEN,
        HEADER_LEN + PAGE_HASH_LEN,
        whole.len() - PAGE_HASH_LEN,
        whole.len() - 1,
    ] {
        place.tamper(&key(head.lineage), |bytes| bytes.truncate(length));
        assert!(!is_believed(&place, &head), "{length} bytes");
        place.tamper(&key(head.lineage), |bytes| bytes.clone_from(&whole));
    }
    for added in [1, PAGE_HASH_LEN] {
        place.tamper(&key(head.lineage), |bytes| bytes.resize(whole.len() + added, 0));
        assert!(!is_believed(&place, &head), "{added} bytes more");
    }
}

#[test]
fn the_cache_of_an_image_without_pages_is_believed() {
    let place = Place::new();
    let head = place.snapshot(draft("empty", 512), &[]);
    write(&place.repository, &head, &place.table(&[])).unwrap();
    assert!(is_believed(&place, &head));
}
