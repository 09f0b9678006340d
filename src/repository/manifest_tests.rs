//! Manifests: what goes in comes out, whatever is altered is refused.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use super::*;
use crate::repository::hash::page_hash;
use crate::repository::snapshot::Snapshot;
use crate::repository::testing::{Place, code, draft, entry, page, pages};

fn open(place: &Place, head: &Head) -> Result<Manifest> {
    Manifest::open(&**place.repository.local(), &head.key())
}

/// Everything that a manifest says.
fn read_all(place: &Place, key: &str) -> Result<(Head, Vec<PackEntry>, usize)> {
    read_head(&**place.repository.local(), key)?;
    let manifest = Manifest::open(&**place.repository.local(), key)?;
    let runs = manifest.extents()?.collect::<Result<Vec<_>>>()?.len();
    Ok((manifest.head, manifest.packs, runs))
}

fn as_json(head: &Head) -> serde_json::Value {
    serde_json::to_value(head).unwrap()
}

#[test]
fn a_manifest_comes_back_as_it_was_written() {
    let (place, pages) = (Place::new(), pages(200, 512));
    let (table, packs) = place.store(512, &pages);
    let mut wanted = draft("before \u{1F600} / ..\\", 512);
    wanted.kind = Kind::Forensic;
    wanted.finding = Some("row 1 missing".to_owned());
    let (id, lineage) = (wanted.id, wanted.lineage);
    let head = place.publish(wanted, &table, &packs).unwrap();
    assert_eq!(head.key(), format!("snapshots/{id}.1"));

    let manifest = open(&place, &head).unwrap();
    assert_eq!(as_json(&manifest.head), as_json(&head));
    assert_eq!(manifest.packs, packs);
    assert_eq!((head.name.as_str(), head.lineage), ("before \u{1F600} / ..\\", lineage));
    assert_eq!((head.page_count, head.size(), head.packs()), (200, 200 * 512, 1));
    assert_eq!(head.core_counts, BTreeMap::from([("Reality".to_owned(), 3)]));
    assert_eq!(
        (head.kind, head.finding.as_deref()),
        (Kind::Forensic, Some("row 1 missing"))
    );
    assert_eq!(head.page_list_hash().unwrap(), table.list_hash().unwrap());

    let mut snapshot = Snapshot::open(&**place.repository.local(), &head).unwrap();
    let back = snapshot.page_table(&place.scratch()).unwrap();
    for (number, data) in (1..).zip(&pages) {
        assert_eq!(back.get(number).unwrap(), table.get(number).unwrap());
        assert!(snapshot.page(&back.get(number).unwrap()).unwrap() == data);
    }
    let mut image = Vec::new();
    snapshot
        .read_from(1, &back, |run| {
            image.extend_from_slice(run);
            Ok(())
        })
        .unwrap();
    assert!(image == pages.concat());
}

#[test]
fn the_head_is_read_without_the_rest() {
    let place = Place::new();
    let head = place.snapshot(draft("a", 512), &pages(300, 512));
    let length = place.repository.local().list("snapshots/").unwrap()[0].size as usize;
    let head_end = PRELUDE_LEN + serde_json::to_vec(&head).unwrap().len();
    assert!(head_end < length);
    place.tamper(&head.key(), |bytes| bytes.truncate(head_end));
    let alone = read_head(&**place.repository.local(), &head.key()).unwrap();
    assert_eq!(as_json(&alone), as_json(&head));
    assert_eq!(code(open(&place, &head).map(drop)), Some(Code::SnapshotDamaged));
}

#[test]
fn the_packs_are_read_without_the_pages() {
    let place = Place::new();
    let (table, packs) = place.store(512, &pages(20, 512));
    let head = place.publish(draft("a", 512), &table, &packs).unwrap();
    let needed = || pack_table(&**place.repository.local(), &head.key());
    let length = std::fs::read(place.repository.path(&head.key())).unwrap().len();
    let extents = length - head.extents_len as usize;
    place.tamper(&head.key(), |bytes| bytes[extents] ^= 1);
    let (found, needs) = needed().unwrap();
    assert_eq!((found.id, needs), (head.id, packs));
    assert_eq!(code(open(&place, &head).map(drop)), Some(Code::SnapshotDamaged));
    for at in [0, PRELUDE_LEN, extents - PackEntry::LEN, extents - 1] {
        place.tamper(&head.key(), |bytes| bytes[at] ^= 1);
        assert_eq!(code(needed()), Some(Code::SnapshotDamaged), "byte {at}");
        place.tamper(&head.key(), |bytes| bytes[at] ^= 1);
    }
    place.tamper(&head.key(), |bytes| bytes.truncate(length - 1));
    assert_eq!(code(needed()), Some(Code::SnapshotDamaged));
}

#[test]
fn any_flipped_bit_of_a_manifest_is_damage() {
    let place = Place::new();
    // Two packs with the pages taken in turns, so that there are extents worth flipping.
    let (_, mut packs) = place.store(512, &pages(6, 512));
    packs.extend(place.store(512, &pages(6, 512)).1);
    let entries: Vec<PageEntry> = (0..6).map(|i| entry(&page(i + 1, 512), i % 2 + 1, i)).collect();
    let head = place.publish(draft("a", 512), &place.table(&entries), &packs).unwrap();
    read_all(&place, &head.key()).unwrap();
    let length = std::fs::read(place.repository.path(&head.key())).unwrap().len();
    for at in 0..length {
        for bit in [0x01, 0x80] {
            place.tamper(&head.key(), |bytes| bytes[at] ^= bit);
            let found = code(read_all(&place, &head.key()).map(drop));
            if (8..12).contains(&at) {
                assert!(
                    matches!(found, Some(Code::RepositoryNewer | Code::SnapshotDamaged)),
                    "byte {at}: {found:?}"
                );
            } else {
                assert_eq!(found, Some(Code::SnapshotDamaged), "byte {at} of {length}");
            }
            place.tamper(&head.key(), |bytes| bytes[at] ^= bit);
        }
    }
}

#[test]
fn a_truncated_or_longer_manifest_is_damage() {
    let place = Place::new();
    let head = place.snapshot(draft("a", 512), &pages(20, 512));
    let whole = std::fs::read(place.repository.path(&head.key())).unwrap();
    for length in [0, 10, PRELUDE_LEN - 1, PRELUDE_LEN, PRELUDE_LEN + 10, whole.len() - 1] {
        place.tamper(&head.key(), |bytes| bytes.truncate(length));
        assert_eq!(
            code(read_all(&place, &head.key())),
            Some(Code::SnapshotDamaged),
            "{length}"
        );
        place.tamper(&head.key(), |bytes| bytes.clone_from(&whole));
    }
    place.tamper(&head.key(), |bytes| bytes.push(0));
    assert_eq!(code(read_all(&place, &head.key())), Some(Code::SnapshotDamaged));
}

#[test]
fn a_manifest_in_the_place_of_another_is_damage() {
    let place = Place::new();
    let first = place.snapshot(draft("first", 512), &pages(3, 512));
    let second = place.snapshot(draft("second", 512), &pages(3, 512));
    std::fs::copy(
        place.repository.path(&second.key()),
        place.repository.path(&first.key()),
    )
    .unwrap();
    assert_eq!(
        code(read_head(&**place.repository.local(), &first.key())),
        Some(Code::SnapshotDamaged)
    );
    assert_eq!(code(open(&place, &first).map(drop)), Some(Code::SnapshotDamaged));
    assert_eq!(
        place.repository.remove_unneeded_packs().unwrap(),
        0,
        "its packs are unknown"
    );
    assert_eq!(place.repository.heads().unwrap().len(), 1);
}

#[test]
fn a_newer_manifest_is_refused_by_name() {
    for (at, value) in [(8, 2), (10, 1)] {
        let place = Place::new();
        let head = place.snapshot(draft("a", 512), &pages(3, 512));
        place.tamper(&head.key(), |bytes| bytes[at] = value);
        assert_eq!(code(open(&place, &head).map(drop)), Some(Code::RepositoryNewer));
        assert_eq!(code(place.repository.heads()), Some(Code::RepositoryNewer));
    }
}

#[test]
fn packs_that_no_page_needs_are_left_out_and_the_rest_renumbered() {
    let place = Place::new();
    let packs: Vec<PackEntry> = (0..4).flat_map(|_| place.store(512, &pages(3, 512)).1).collect();
    let entries = [(4, 0), (2, 1), (4, 2)].map(|(pack, position)| entry(&page(position + 1, 512), pack, position));
    let head = place.publish(draft("a", 512), &place.table(&entries), &packs).unwrap();
    let manifest = open(&place, &head).unwrap();
    assert_eq!(manifest.packs, [packs[1].clone(), packs[3].clone()]);
    let runs: Vec<_> = manifest.extents().unwrap().map(|run| run.unwrap()).collect();
    let runs: Vec<_> = runs
        .iter()
        .map(|run| (run.first_page, run.count, run.pack, run.position))
        .collect();
    assert_eq!(runs, [(1, 1, 2, 0), (2, 1, 1, 1), (3, 1, 2, 2)]);
    let mut snapshot = Snapshot::open(&**place.repository.local(), &head).unwrap();
    let table = snapshot.page_table(&place.scratch()).unwrap();
    for number in 1..=3 {
        assert!(snapshot.page(&table.get(number).unwrap()).unwrap() == page(number, 512));
    }
}

#[test]
fn the_lock_byte_page_is_a_hole_that_reads_as_zeros() {
    let place = Place::new();
    let (stored, packs) = place.store(512, &pages(2, 512));
    let table = place.table(&[
        stored.get(1).unwrap(),
        PageEntry::HOLE,
        stored.get(2).unwrap(),
        PageEntry::HOLE,
    ]);
    // Page 2 of the pack is page 3 of this image.
    let head = place.publish(draft("a", 512), &table, &packs).unwrap();
    let snapshot = Snapshot::open(&**place.repository.local(), &head).unwrap();
    assert_eq!(
        code(snapshot.page_table(&place.scratch()).map(drop)),
        Some(Code::SnapshotDamaged),
        "a page that the footer calls by another number is not believed"
    );
    let hole_last = place.table(&[stored.get(1).unwrap(), stored.get(2).unwrap(), PageEntry::HOLE]);
    let head = place.publish(draft("b", 512), &hole_last, &packs).unwrap();
    let mut snapshot = Snapshot::open(&**place.repository.local(), &head).unwrap();
    let table = snapshot.page_table(&place.scratch()).unwrap();
    assert_eq!(table.get(3).unwrap(), PageEntry::HOLE);
    let mut image = Vec::new();
    snapshot
        .read_from(1, &table, |run| {
            image.extend_from_slice(run);
            Ok(())
        })
        .unwrap();
    assert!(image == [page(1, 512), page(2, 512), vec![0; 512]].concat());
}

#[test]
fn an_image_without_pages_has_a_manifest_too() {
    let place = Place::new();
    let head = place.snapshot(draft("empty", 4096), &[]);
    let mut snapshot = Snapshot::open(&**place.repository.local(), &head).unwrap();
    assert_eq!((head.page_count, head.packs()), (0, 0));
    let table = snapshot.page_table(&place.scratch()).unwrap();
    let mut runs = 0;
    snapshot
        .read_from(1, &table, |run| {
            runs += run.len();
            Ok(())
        })
        .unwrap();
    assert_eq!(runs, 0);
}

#[test]
fn footers_that_are_not_those_of_the_page_list_are_damage() {
    let place = Place::new();
    let (table, packs) = place.store(512, &pages(3, 512));
    let mut entries: Vec<PageEntry> = table.iter().map(|entry| entry.unwrap()).collect();
    entries[1].hash = page_hash(b"another page");
    let head = place.publish(draft("a", 512), &place.table(&entries), &packs).unwrap();
    let snapshot = Snapshot::open(&**place.repository.local(), &head).unwrap();
    assert_eq!(
        code(snapshot.page_table(&place.scratch()).map(drop)),
        Some(Code::SnapshotDamaged)
    );
}

#[test]
fn only_keys_of_manifests_are_parsed() {
    let id = Uuid::new_v4();
    assert_eq!(parse_key(&key(id, 12)), Some((id, 12)));
    for other in [
        "snapshots/x.1".to_owned(),
        format!("packs/{id}.1"),
        format!("snapshots/{id}"),
        format!("snapshots/{id}.1.tmp"),
    ] {
        assert_eq!(parse_key(&other), None, "{other}");
    }
}
