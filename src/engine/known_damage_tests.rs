//! What the local tier lacks, and what only looks like it.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use super::*;
use crate::repository::manifest::Description;
use crate::repository::testing::{Place, draft, pages};

fn packs(place: &Place) -> Vec<String> {
    let objects = place.repository.local().list("packs/").unwrap();
    objects.into_iter().map(|object| object.key).collect()
}

#[test]
fn packs_that_are_missing_or_cut_off_are_told() {
    let place = Place::new();
    let head = place.snapshot(draft("a", 512), &pages(3, 512));
    let told = || gap(&place.repository, &head).unwrap();
    assert_eq!(told(), None);
    let pack = &packs(&place)[0];
    place.tamper(pack, |bytes| bytes.truncate(100));
    assert!(
        told()
            .unwrap()
            .starts_with(&format!("{pack} has 100 bytes instead of "))
    );
    place.repository.local().remove(pack).unwrap();
    assert_eq!(told().unwrap(), format!("{pack} is missing"));
}

#[test]
fn a_manifest_whose_list_of_packs_is_altered_is_told() {
    let place = Place::new();
    let head = place.snapshot(draft("a", 512), &pages(3, 512));
    place.tamper(&head.key(), |bytes| bytes.truncate(bytes.len() - 1));
    assert!(gap(&place.repository, &head).unwrap().is_some());
}

#[test]
fn a_snapshot_that_was_repacked_or_removed_since_it_was_listed_lacks_nothing() {
    let place = Place::new();
    let head = place.snapshot(draft("a", 512), &pages(3, 512));
    let old = packs(&place);
    let repacked = Description {
        generation: 2,
        ..Description::clone(&head)
    };
    let new = place.snapshot(repacked, &pages(3, 512));
    for key in old.iter().chain([&head.key()]) {
        place.repository.local().remove(key).unwrap();
    }
    assert_eq!(gap(&place.repository, &head).unwrap(), None);
    place.repository.local().remove(&new.key()).unwrap();
    assert_eq!(gap(&place.repository, &head).unwrap(), None);
}
