//! A pack is noted by whoever finds it damaged, and the note outlives everything but the damage.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use super::*;
use crate::repository::page_table::PageEntry;
use crate::repository::snapshot::Snapshot;
use crate::repository::testing::{Place, draft, pages};

const PAGE_SIZE: u32 = 512;

fn flip(place: &Place, pack: &PackEntry) {
    // The first frame; its middle is compressed content.
    place.tamper(&pack.key(), |bytes| bytes[200] ^= 0x41);
}

fn read_all(place: &Place, packs: &[PackEntry]) -> Result<()> {
    let local = &**place.repository.local();
    packs
        .iter()
        .try_for_each(|pack| PackReader::open(local, pack)?.read_all())
}

fn look_again_here(place: &Place) {
    look_again(&place.repository, Tier::Local, &**place.repository.local()).unwrap();
}

#[test]
fn whoever_meets_damage_has_the_pack_noted() {
    let place = Place::new();
    let (_, packs) = place.store(PAGE_SIZE, &pages(300, PAGE_SIZE));
    read_all(&place, &packs).unwrap();
    write_down(&place.repository);
    assert!(known(&place.repository).unwrap().is_empty());

    flip(&place, &packs[0]);
    read_all(&place, &packs).unwrap_err();
    write_down(&place.repository);
    assert_eq!(known(&place.repository).unwrap(), BTreeSet::from([packs[0].id]));
}

#[test]
fn a_footer_counts_as_well() {
    let place = Place::new();
    let (_, packs) = place.store(PAGE_SIZE, &pages(300, PAGE_SIZE));
    place.tamper(&packs[0].key(), |bytes| {
        let at = bytes.len() - 70;
        bytes[at] ^= 1;
    });
    read_all(&place, &packs).unwrap_err();
    write_down(&place.repository);
    assert!(known(&place.repository).unwrap().contains(&packs[0].id));
}

#[test]
fn the_note_stays_until_every_page_of_the_pack_is_right_again() {
    let place = Place::new();
    let (_, packs) = place.store(PAGE_SIZE, &pages(300, PAGE_SIZE));
    let whole = std::fs::read(place.repository.path(&packs[0].key())).unwrap();
    flip(&place, &packs[0]);
    read_all(&place, &packs).unwrap_err();
    write_down(&place.repository);

    // A snapshot that needs the last pages alone is good.
    let pack = PackReader::open(&**place.repository.local(), &packs[0]).unwrap();
    pack.frame(pack.frames() - 1).unwrap();
    look_again_here(&place);
    assert!(known(&place.repository).unwrap().contains(&packs[0].id));

    place.tamper(&packs[0].key(), |bytes| *bytes = whole);
    assert!(
        known(&place.repository).unwrap().contains(&packs[0].id),
        "nobody has looked yet"
    );
    look_again_here(&place);
    assert!(known(&place.repository).unwrap().is_empty());
}

#[test]
fn the_note_goes_with_the_pack() {
    let place = Place::new();
    let (_, packs) = place.store(PAGE_SIZE, &pages(300, PAGE_SIZE));
    flip(&place, &packs[0]);
    read_all(&place, &packs).unwrap_err();
    write_down(&place.repository);
    place.repository.local().remove(&packs[0].key()).unwrap();
    assert!(known(&place.repository).unwrap().is_empty());
    assert!(place.repository.local().list(NOTES).unwrap().is_empty());
}

#[test]
fn only_snapshots_that_need_the_damaged_pages_are_concerned() {
    let place = Place::new();
    let all = pages(300, PAGE_SIZE);
    let (table, packs) = place.store(PAGE_SIZE, &all);
    let whole = place.publish(draft("whole", PAGE_SIZE), &table, &packs).unwrap();
    // Its first page is stored anew, so that it can do without the first frame.
    let (first, other_packs) = place.store(PAGE_SIZE, &all[..64]);
    let moved = (0..64).map(|at| {
        let entry = first.get(at + 1).unwrap();
        PageEntry { pack: 2, ..entry }
    });
    let entries: Vec<PageEntry> = moved.chain((65..=300).map(|page| table.get(page).unwrap())).collect();
    let both = [packs[0].clone(), other_packs[0].clone()];
    let rest = place
        .publish(draft("rest", PAGE_SIZE), &place.table(&entries), &both)
        .unwrap();
    let known = |head| {
        let here = Here::read(&place.repository).unwrap();
        here.known_against(&**place.repository.local(), head).unwrap()
    };
    assert_eq!((known(&whole), known(&rest)), (None, None));

    flip(&place, &packs[0]);
    read_all(&place, &packs).unwrap_err();
    write_down(&place.repository);
    assert!(known(&whole).unwrap().contains("frame 0"), "{:?}", known(&whole));
    assert_eq!(known(&rest), None);

    place.tamper(&packs[0].key(), |bytes| {
        let at = bytes.len() - 70;
        bytes[at] ^= 1;
    });
    read_all(&place, &packs).unwrap_err();
    write_down(&place.repository);
    assert!(
        known(&rest).is_some(),
        "without its footer nothing of the pack is certain"
    );
}

#[test]
fn packs_of_another_repository_are_not_noted_here() {
    let (place, other) = (Place::new(), Place::new());
    let (_, packs) = place.store(PAGE_SIZE, &pages(300, PAGE_SIZE));
    flip(&place, &packs[0]);
    read_all(&place, &packs).unwrap_err();
    write_down(&other.repository);
    assert!(other.repository.local().list(NOTES).unwrap().is_empty());
    write_down(&place.repository);
    assert!(known(&place.repository).unwrap().contains(&packs[0].id));
}

#[test]
fn a_note_that_cannot_be_understood_stands_in_nobodys_way() {
    let place = Place::new();
    let head = place.snapshot(draft("a", PAGE_SIZE), &pages(3, PAGE_SIZE));
    let snapshot = Snapshot::open(&**place.repository.local(), &head).unwrap();
    found(
        &snapshot.manifest.packs[0],
        false,
        None,
        &Error::new(Code::SnapshotDamaged, "by hand"),
    );
    write_down(&place.repository);
    std::fs::write(place.repository.path(&format!("{NOTES}rubbish.local")), "{").unwrap();
    assert_eq!(known(&place.repository).unwrap().len(), 1);
}
