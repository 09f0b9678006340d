//! What is in which tier, by listings alone.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use super::*;
use crate::repository::testing::{Place, draft, pages};

fn object(id: Uuid, generation: u32) -> Object {
    Object {
        key: manifest::key(id, generation),
        size: 1,
        modified: Timestamp::UNIX_EPOCH,
    }
}

#[test]
fn the_newest_generation_counts_wherever_it_is() {
    let (both, mixed, far) = (Uuid::new_v4(), Uuid::new_v4(), Uuid::new_v4());
    let here = vec![object(both, 1), object(mixed, 1)];
    let there = vec![object(both, 1), object(mixed, 2), object(far, 1)];
    let places = newest(here, there);
    let tiers = |id: Uuid| (places[&id].key.clone(), places[&id].tiers.clone());
    assert_eq!(tiers(both), (manifest::key(both, 1), vec![Tier::Local, Tier::S3]));
    assert_eq!(tiers(mixed), (manifest::key(mixed, 2), vec![Tier::S3]));
    assert_eq!(tiers(far), (manifest::key(far, 1), vec![Tier::S3]));
}

#[test]
fn what_is_no_manifest_is_no_snapshot() {
    let stray = ["snapshots/readme.txt", "snapshots/", "snapshots/x.1"].map(|key| Object {
        key: key.to_owned(),
        size: 1,
        modified: Timestamp::UNIX_EPOCH,
    });
    assert!(newest(Vec::new(), stray.into()).is_empty());
}

#[test]
fn a_damaged_head_is_told_apart_from_the_others() {
    let place = Place::new();
    place.snapshot(draft("good", 512), &pages(1, 512));
    let bad = place.snapshot(draft("bad", 512), &pages(1, 512));
    place.tamper(&bad.key(), |bytes| bytes[100] ^= 1);
    let survey = local(&place.repository).unwrap();
    let names: Vec<&str> = survey
        .snapshots
        .iter()
        .map(|listed| listed.head.name.as_str())
        .collect();
    assert_eq!(names, ["good"]);
    assert_eq!(survey.snapshots[0].tiers, [Tier::Local]);
    assert_eq!(survey.damaged.len(), 1);
    assert_eq!(survey.damaged[0].0, bad.id);
    assert_eq!(survey.damaged[0].1.code, Code::SnapshotDamaged);
}
