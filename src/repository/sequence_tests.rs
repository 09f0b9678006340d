#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use super::*;
use crate::repository::manifest::Description;
use crate::repository::testing::{Place, draft, pages};

fn snapshot(place: &Place, sequence: Option<u64>) -> Head {
    let description = Description {
        sequence,
        ..draft("one", 512)
    };
    place.snapshot(description, &pages(1, 512))
}

#[test]
fn numbers_begin_at_one_and_go_up_from_the_highest_that_is_seen() {
    let place = Place::new();
    snapshot(&place, None);
    assert_eq!(next(&place.repository, &[]), 1);
    snapshot(&place, Some(7));
    assert_eq!(next(&place.repository, &[]), 8);
    let elsewhere = snapshot(&place, Some(20));
    place.repository.remove_manifest(elsewhere.id).unwrap();
    assert_eq!(next(&place.repository, &[elsewhere]), 21);
}

#[test]
fn a_number_is_never_given_twice_although_what_had_it_is_gone() {
    let place = Place::new();
    let number = next(&place.repository, &[]);
    let head = snapshot(&place, Some(number));
    place.repository.remove_manifest(head.id).unwrap();
    assert_eq!(next(&place.repository, &[]), number + 1);
}

#[test]
fn a_note_that_is_lost_or_cannot_be_understood_stops_nothing() {
    let place = Place::new();
    snapshot(&place, Some(4));
    assert_eq!(next(&place.repository, &[]), 5);
    std::fs::write(place.repository.path(FILE), "{").unwrap();
    assert_eq!(next(&place.repository, &[]), 5, "it follows from what there is");
    std::fs::remove_file(place.repository.path(FILE)).unwrap();
    std::fs::create_dir(place.repository.path(FILE)).unwrap();
    assert_eq!(next(&place.repository, &[]), 5, "it cannot be written down");
}
