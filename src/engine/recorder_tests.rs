//! Passes: whatever happens between them, the table says what the pages of the last one were.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use super::*;
use crate::database::image::Image;
use crate::database::source::PageSource;
use crate::engine::live_image::LiveImage;
use crate::error::Code;
use crate::repository::packed_pages::PackedPages;
use crate::repository::snapshot::Snapshot;
use crate::repository::testing::{Place, code, draft, page, pages};

const SIZE: u32 = 512;

fn recorder(place: &Place, base: Option<(PageTable, Vec<PackEntry>)>) -> Recorder {
    Recorder::new(&place.repository, SIZE, base).unwrap()
}

/// One pass over `pages`, seven to a batch.
fn pass(recorder: &mut Recorder, changed: Changed, pages: &[Vec<u8>]) -> Pass {
    let feed = |sink: &mut Sink<'_>| {
        for (number, batch) in pages.chunks(7).enumerate() {
            sink(Batch {
                first_page: number as u32 * 7 + 1,
                of_pages: pages.len() as u32,
                data: batch.concat(),
            })?;
        }
        Ok(())
    };
    recorder.pass(changed, true, feed).unwrap().1
}

fn sha256(pages: &[Vec<u8>]) -> String {
    let mut hasher = ImageHasher::default();
    hasher.update(&pages.concat());
    hasher.finish()
}

/// The table and the packs hold exactly `pages`.
fn assert_holds(place: &Place, recording: &Recording, pages: &[Vec<u8>]) {
    let mut packed = PackedPages::open(&**place.repository.local(), &recording.packs, SIZE).unwrap();
    packed.read_back_last(recording.new_packs).unwrap();
    assert_eq!(recording.table.pages() as usize, pages.len());
    for (number, (entry, data)) in (1_u32..).zip(recording.table.iter().zip(pages)) {
        let entry = entry.unwrap();
        assert_eq!(entry.hash, page_hash(data), "hash of page {number}");
        assert!(packed.page(&entry).unwrap() == data, "page {number}");
        let named = packed.pack(entry.pack).unwrap().entries(entry.position, 1).unwrap();
        assert_eq!(named[0], (number, entry.hash), "page {number} in the footer");
    }
}

fn base(place: &Place, pages: &[Vec<u8>]) -> Option<(PageTable, Vec<PackEntry>)> {
    Some(place.store(SIZE, pages))
}

/// `pages` with some replaced.
fn with_changes(pages: &[Vec<u8>], changed: &[usize]) -> Vec<Vec<u8>> {
    let mut pages = pages.to_vec();
    for &index in changed {
        pages[index] = page(10_000 + index as u32, SIZE);
    }
    pages
}

#[test]
fn a_pass_without_a_base_stores_every_page() {
    let (place, image) = (Place::new(), pages(200, SIZE));
    let mut recorder = recorder(&place, None);
    let found = pass(&mut recorder, Changed::Store, &image);
    assert_eq!((found.changed, found.checksum), (200, Some(sha256(&image))));
    assert_holds(&place, &recorder.finish().unwrap(), &image);
}

#[test]
fn only_what_differs_from_the_base_is_stored() {
    let (place, old) = (Place::new(), pages(200, SIZE));
    let image = with_changes(&old, &[0, 63, 64, 199]);
    for changed in [Changed::Store, Changed::Spool] {
        let mut recorder = recorder(&place, base(&place, &old));
        assert_eq!(pass(&mut recorder, changed, &image).changed, 4);
        let recording = recorder.finish().unwrap();
        assert_eq!((recording.packs.len(), recording.new_packs), (2, 1));
        assert_eq!(recording.packs[1].pages, 4);
        assert_holds(&place, &recording, &image);
    }
    let mut recorder = recorder(&place, base(&place, &old));
    assert_eq!(pass(&mut recorder, Changed::Store, &old).changed, 0);
    assert_eq!(recorder.finish().unwrap().new_packs, 0);
}

#[test]
fn setting_aside_and_storing_later_is_the_same_as_storing() {
    let (place, old) = (Place::new(), pages(100, SIZE));
    let image = with_changes(&old, &[3, 4, 50, 99]);
    let record = |changed: Changed| {
        let mut recorder = recorder(&place, base(&place, &old));
        let checksum = pass(&mut recorder, changed, &image).checksum;
        recorder.store_spooled().unwrap();
        recorder.store_spooled().unwrap();
        let recording = recorder.finish().unwrap();
        assert_holds(&place, &recording, &image);
        let entries: Vec<PageEntry> = recording.table.iter().map(|entry| entry.unwrap()).collect();
        (entries, recording.packs[1].pages, checksum)
    };
    assert_eq!(record(Changed::Store), record(Changed::Spool));
}

#[test]
fn an_image_may_grow_and_shrink_between_passes() {
    let all = pages(150, SIZE);
    for lengths in [[100, 150, 120], [100, 30, 150], [150, 1, 2], [0, 150, 0], [5, 0, 150]] {
        for last in [Changed::Store, Changed::Spool] {
            let place = Place::new();
            let mut recorder = recorder(&place, base(&place, &all[..80]));
            pass(&mut recorder, Changed::Store, &all[..lengths[0]]);
            pass(
                &mut recorder,
                Changed::Store,
                &with_changes(&all, &[0, 20])[..lengths[1]],
            );
            let image = &with_changes(&all, &[20])[..lengths[2]];
            let found = pass(&mut recorder, last, image);
            assert_eq!(found.checksum, Some(sha256(image)), "{lengths:?}");
            assert_holds(&place, &recorder.finish().unwrap(), image);
        }
    }
}

#[test]
fn a_page_that_moved_is_stored_under_its_new_number() {
    let (place, old) = (Place::new(), pages(20, SIZE));
    let mut image = old.clone();
    image.swap(4, 11);
    image.insert(0, old[19].clone());
    let mut recorder = recorder(&place, base(&place, &old));
    pass(&mut recorder, Changed::Store, &image);
    assert_holds(&place, &recorder.finish().unwrap(), &image);
}

#[test]
fn pages_set_aside_survive_another_pass() {
    let (place, old) = (Place::new(), pages(30, SIZE));
    let first = with_changes(&old, &[2, 9, 17]);
    let mut second = first.clone();
    second[9] = page(555, SIZE);
    second[25] = page(556, SIZE);
    for then in [Changed::Spool, Changed::Store] {
        let mut recorder = recorder(&place, base(&place, &old));
        pass(&mut recorder, Changed::Spool, &first);
        pass(&mut recorder, then, &second);
        assert_holds(&place, &recorder.finish().unwrap(), &second);
    }
}

#[test]
fn with_a_wrong_base_the_table_still_has_the_hashes_of_the_pages() {
    let (place, old) = (Place::new(), pages(40, SIZE));
    let image = with_changes(&old, &[5, 6]);
    let wanted = {
        let mut recorder = recorder(&place, None);
        pass(&mut recorder, Changed::Store, &image);
        recorder.finish().unwrap().table.list_hash().unwrap()
    };
    // Tables that lie: other hashes, other places, too short, too long, holes.
    let (table, packs) = place.store(SIZE, &old);
    let entries: Vec<PageEntry> = table.iter().map(|entry| entry.unwrap()).collect();
    let shifted: Vec<PageEntry> = entries.iter().cycle().skip(1).take(40).copied().collect();
    let forged: Vec<PageEntry> = entries
        .iter()
        .map(|entry| PageEntry {
            hash: [7; 16],
            ..*entry
        })
        .collect();
    let long: Vec<PageEntry> = entries.iter().chain(&entries).copied().collect();
    for lie in [&shifted[..], &forged, &entries[..3], &long, &[PageEntry::HOLE; 40], &[]] {
        for changed in [Changed::Store, Changed::Spool] {
            let mut recorder = recorder(&place, Some((place.table(lie), packs.clone())));
            pass(&mut recorder, changed, &image);
            let recording = recorder.finish().unwrap();
            assert_eq!(recording.table.list_hash().unwrap(), wanted);
            assert_holds(&place, &recording, &image);
        }
    }
}

#[test]
fn a_feed_that_fails_says_why() {
    let place = Place::new();
    let mut recorder = recorder(&place, None);
    let outcome = recorder.pass(Changed::Store, true, |_| -> Result<()> {
        Err(Error::new(Code::DatabaseBusy, "locked"))
    });
    assert_eq!(code(outcome), Some(Code::DatabaseBusy));
}

#[test]
fn without_a_pass_there_is_nothing() {
    let place = Place::new();
    let recording = recorder(&place, None).finish().unwrap();
    assert_eq!((recording.table.pages(), recording.packs.len()), (0, 0));
}

#[test]
fn beyond_a_gigabyte_the_lock_byte_page_is_a_hole_and_comes_back_as_zeros() {
    let place = Place::new();
    let path = place.beside("big.db");
    // A page of a b-tree at the far end is enough; everything between is sparse.
    let database = crate::database::testing::Place::new();
    let small = database.image("PRAGMA page_size=65536; CREATE TABLE a(b)");
    let hole = lock_byte_page(65_536);
    std::fs::write(&path, &small).unwrap();
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(u64::from(hole + 2) * 65_536).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &(hole + 2).to_be_bytes(), 28).unwrap();
    drop(file);

    let mut source = PageSource::open(&path, Duration::from_secs(5)).unwrap();
    let mut recorder = Recorder::new(&place.repository, 65_536, None).unwrap();
    let (sliced, _) = recorder
        .pass(Changed::Store, false, |sink| source.read_in_slices(sink))
        .unwrap();
    assert_eq!(sliced.unchanged.unwrap().page_count, hole + 2);
    drop(source);
    let recording = recorder.finish().unwrap();
    assert_eq!(recording.table.get(hole).unwrap(), PageEntry::HOLE);
    assert_ne!(recording.table.get(hole + 1).unwrap().pack, 0);
    let head = place
        .publish(draft("big", 65_536), &recording.table, &recording.packs)
        .unwrap();
    let snapshot = Snapshot::open(&**place.repository.local(), &head).unwrap();
    let table = snapshot.page_table(&place.scratch()).unwrap();
    assert_eq!(table.list_hash().unwrap(), recording.table.list_hash().unwrap());
    let packs = PackedPages::open(&**place.repository.local(), &recording.packs, 65_536).unwrap();
    let mut image = LiveImage::new(None, recording.table, packs, 65_536);
    let mut out = vec![1; 65_536];
    image.page(hole, &mut out).unwrap();
    assert!(out.iter().all(|byte| *byte == 0));
}
