//! Packs: what goes in comes out, and nothing else ever does.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use super::*;
use crate::repository::hash::page_hash;
use crate::repository::pack::{PAGE_ENTRY_LEN, pages_per_frame};
use crate::repository::pack_reader::PackReader;
use crate::repository::packed_pages::PackedPages;
use crate::repository::page_table::PageEntry;
use crate::repository::testing::{Place, code, entry, page, pages};

/// Writes pages with packs of at most `max_pages`.
fn write_packs(place: &Place, page_size: u32, pages: &[Vec<u8>], max_pages: u32) -> (Vec<PageEntry>, Vec<PackEntry>) {
    let mut writer = PackWriter::new(Arc::clone(place.repository.local()), page_size);
    writer.max_pages = max_pages;
    let entries = (1..)
        .zip(pages)
        .map(|(number, data)| {
            let at = writer.push(number, &page_hash(data), data).unwrap();
            entry(data, at.pack + 1, at.page)
        })
        .collect();
    (entries, writer.finish().unwrap())
}

fn assert_pages_are(place: &Place, packs: &[PackEntry], page_size: u32, entries: &[PageEntry], pages: &[Vec<u8>]) {
    let mut packed = PackedPages::open(&**place.repository.local(), packs, page_size).unwrap();
    packed.read_back_last(packs.len()).unwrap();
    assert_eq!(entries.len(), pages.len());
    for (number, (entry, data)) in (1_u32..).zip(entries.iter().zip(pages)) {
        assert!(packed.page(entry).unwrap() == data, "page {number}");
        let named = packed.pack(entry.pack).unwrap().entries(entry.position, 1).unwrap();
        assert_eq!(named, [(number, entry.hash)]);
    }
}

/// Opens one pack and reads all of it.
fn read_all(place: &Place, pack: &PackEntry) -> Result<Vec<u8>> {
    let reader = PackReader::open(&**place.repository.local(), pack)?;
    reader.entries(0, pack.pages)?;
    (0..reader.frames()).try_fold(Vec::new(), |mut all, frame| {
        all.extend(reader.frame(frame)?);
        Ok(all)
    })
}

#[test]
fn pages_of_every_size_come_back_around_the_end_of_a_frame() {
    for page_size in [512, 1024, 2048, 4096, 8192, 16_384, 32_768, 65_536] {
        let frame = pages_per_frame(page_size);
        for count in [1, frame - 1, frame, frame + 1, 3 * frame] {
            let (place, pages) = (Place::new(), pages(count, page_size));
            let (entries, packs) = write_packs(&place, page_size, &pages, MAX_PAGES);
            assert_eq!(packs.len(), 1);
            assert_pages_are(&place, &packs, page_size, &entries, &pages);
        }
    }
}

#[test]
fn a_full_pack_is_followed_by_another() {
    for (max_pages, count, expected) in [(100, 100, 1), (100, 101, 2), (64, 200, 4), (1, 3, 3)] {
        let (place, pages) = (Place::new(), pages(count, 512));
        let (entries, packs) = write_packs(&place, 512, &pages, max_pages);
        assert_eq!(packs.len(), expected, "{count} pages, {max_pages} a pack");
        assert!(packs.iter().all(|pack| pack.pages <= max_pages));
        assert_pages_are(&place, &packs, 512, &entries, &pages);
    }
}

#[test]
fn without_pages_there_is_no_pack() {
    let place = Place::new();
    let (_, packs) = write_packs(&place, 4096, &[], MAX_PAGES);
    assert_eq!(packs, []);
    assert_eq!(place.repository.local().list("packs/").unwrap(), []);
}

#[test]
fn a_writer_that_is_dropped_leaves_only_full_packs() {
    let place = Place::new();
    let mut writer = PackWriter::new(Arc::clone(place.repository.local()), 512);
    writer.max_pages = 70;
    for (number, data) in (1..).zip(pages(150, 512)) {
        writer.push(number, &page_hash(&data), &data).unwrap();
    }
    drop(writer);
    assert_eq!(place.repository.local().list("packs/").unwrap().len(), 2);
}

#[test]
fn the_size_that_the_manifest_gets_is_that_of_the_object() {
    let place = Place::new();
    let (_, packs) = write_packs(&place, 4096, &pages(100, 4096), 70);
    for pack in packs {
        let listed = place.repository.local().list(&pack.key()).unwrap();
        assert_eq!(listed[0].size, pack.size);
        let mut encoded = Vec::new();
        pack.encode(&mut encoded);
        assert_eq!(encoded.len(), PackEntry::LEN);
        assert_eq!(PackEntry::decode(&encoded), pack);
    }
}

#[test]
fn any_flipped_bit_is_damage_and_never_another_page() {
    let (place, pages) = (Place::new(), pages(4, 512));
    let (_, packs) = write_packs(&place, 512, &pages, MAX_PAGES);
    let pack = &packs[0];
    let good = read_all(&place, pack).unwrap();
    assert_eq!(good, pages.concat());
    let footer = pack.size as usize - TRAILER_LEN - FRAME_ENTRY_LEN - pages.len() * PAGE_ENTRY_LEN;
    for at in 0..pack.size as usize {
        for bit in [0x01, 0x80] {
            place.tamper(&pack.key(), |bytes| bytes[at] ^= bit);
            match read_all(&place, pack) {
                // A frame may hold a bit that means nothing to zstd; the pages are right then.
                Ok(data) => assert!(
                    (HEADER_LEN..footer).contains(&at) && data == good,
                    "byte {at} of {}, footer at {footer}",
                    pack.size
                ),
                Err(error) if (8..12).contains(&at) => {
                    assert!(matches!(error.code, Code::RepositoryNewer | Code::SnapshotDamaged));
                }
                Err(error) => assert_eq!(error.code, Code::SnapshotDamaged, "byte {at}: {error}"),
            }
            place.tamper(&pack.key(), |bytes| bytes[at] ^= bit);
        }
    }
}

#[test]
fn a_truncated_or_longer_pack_is_damage() {
    let place = Place::new();
    let (_, packs) = write_packs(&place, 512, &pages(9, 512), MAX_PAGES);
    let whole = std::fs::read(place.repository.path(&packs[0].key())).unwrap();
    for length in [
        0,
        1,
        HEADER_LEN,
        HEADER_LEN + TRAILER_LEN,
        whole.len() / 2,
        whole.len() - 1,
    ] {
        place.tamper(&packs[0].key(), |bytes| bytes.truncate(length));
        assert_eq!(
            code(read_all(&place, &packs[0])),
            Some(Code::SnapshotDamaged),
            "{length}"
        );
        place.tamper(&packs[0].key(), |bytes| bytes.clone_from(&whole));
    }
    place.tamper(&packs[0].key(), |bytes| bytes.push(0));
    assert_eq!(code(read_all(&place, &packs[0])), Some(Code::SnapshotDamaged));
}

#[test]
fn a_pack_in_the_place_of_another_is_damage() {
    let place = Place::new();
    // Same size and same pages, so that only identity tells them apart.
    let (_, first) = write_packs(&place, 512, &pages(9, 512), MAX_PAGES);
    let (_, second) = write_packs(&place, 512, &pages(9, 512), MAX_PAGES);
    assert_eq!(first[0].size, second[0].size);
    std::fs::copy(
        place.repository.path(&second[0].key()),
        place.repository.path(&first[0].key()),
    )
    .unwrap();
    assert_eq!(code(read_all(&place, &first[0])), Some(Code::SnapshotDamaged));
    place.repository.local().remove(&first[0].key()).unwrap();
    assert_eq!(code(read_all(&place, &first[0])), Some(Code::SnapshotDamaged));
    assert_eq!(code(read_all(&place, &second[0])), None);
}

#[test]
fn frames_that_changed_places_are_damage() {
    let place = Place::new();
    // Two frames that compress to the same length: noise does not compress.
    let mut data = vec![vec![1; 512]; 128];
    data[64..].fill(vec![2; 512]);
    let (_, packs) = write_packs(&place, 512, &data, MAX_PAGES);
    let end = packs[0].size as usize - TRAILER_LEN - 2 * FRAME_ENTRY_LEN - 128 * PAGE_ENTRY_LEN;
    let half = (end - HEADER_LEN) / 2;
    place.tamper(&packs[0].key(), |bytes| {
        let frame: Vec<u8> = bytes[HEADER_LEN..HEADER_LEN + half].to_vec();
        bytes.copy_within(HEADER_LEN + half..end, HEADER_LEN);
        bytes[HEADER_LEN + half..end].copy_from_slice(&frame);
    });
    assert_eq!(code(read_all(&place, &packs[0])), Some(Code::SnapshotDamaged));
}

#[test]
fn what_a_newer_version_or_encryption_wrote_is_refused_by_name() {
    for (at, value) in [(8, 2), (9, 1), (10, 1)] {
        let place = Place::new();
        let (_, packs) = write_packs(&place, 512, &pages(3, 512), MAX_PAGES);
        place.tamper(&packs[0].key(), |bytes| bytes[at] = value);
        assert_eq!(
            code(read_all(&place, &packs[0])),
            Some(Code::RepositoryNewer),
            "byte {at}"
        );
    }
}

#[test]
fn positions_that_a_pack_does_not_have_are_damage() {
    let place = Place::new();
    let (_, packs) = write_packs(&place, 512, &pages(70, 512), MAX_PAGES);
    let reader = PackReader::open(&**place.repository.local(), &packs[0]).unwrap();
    for (position, count) in [(70, 1), (0, 71), (u32::MAX, 2)] {
        assert_eq!(code(reader.entries(position, count)), Some(Code::SnapshotDamaged));
    }
    assert_eq!(code(reader.frame(2)), Some(Code::SnapshotDamaged));
    let mut packed = PackedPages::open(&**place.repository.local(), &packs, 512).unwrap();
    for (pack, position) in [(0, 0), (2, 0), (1, 70), (1, 127), (1, 128), (u32::MAX, 0)] {
        let nowhere = entry(&page(1, 512), pack, position);
        assert_eq!(
            code(packed.page(&nowhere).map(drop)),
            Some(Code::SnapshotDamaged),
            "{pack} {position}"
        );
    }
    assert_eq!(
        code(PackedPages::open(&**place.repository.local(), &packs, 1024).map(drop)),
        Some(Code::SnapshotDamaged)
    );
}

#[test]
fn reading_back_finds_a_broken_frame_of_the_new_packs() {
    let place = Place::new();
    let (_, packs) = write_packs(&place, 512, &pages(300, 512), 100);
    let store = &**place.repository.local();
    place.tamper(&packs[1].key(), |bytes| bytes[HEADER_LEN + 1000] ^= 0x10);
    let packed = PackedPages::open(store, &packs, 512).unwrap();
    assert_eq!(code(packed.read_back_last(1)), None, "only the last one is new");
    assert_eq!(code(packed.read_back_last(0)), None);
    assert_eq!(code(packed.read_back_last(2)), Some(Code::SnapshotDamaged));
}
