//! What is in which tier, by listings alone.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use jiff::Timestamp;

use super::*;
use crate::repository::manifest::Description;
use crate::repository::testing::{Place, draft, pages};

fn object(id: Uuid, generation: u32) -> Object {
    Object {
        key: manifest::key(id, generation),
        size: 1,
        modified: Timestamp::UNIX_EPOCH,
    }
}

#[test]
fn the_newest_generation_of_each_tier_counts() {
    let (both, mixed, far) = (Uuid::new_v4(), Uuid::new_v4(), Uuid::new_v4());
    let here = vec![object(both, 1), object(mixed, 1), object(mixed, 3), object(mixed, 2)];
    let there = vec![object(both, 1), object(mixed, 2), object(mixed, 1), object(far, 1)];
    let places = places(here, there);
    let generations = |id: Uuid| {
        let place = &places[&id];
        (
            place.local,
            place.in_bucket.as_ref().map(|(generation, _)| *generation),
            place.tiers(),
        )
    };
    assert_eq!(generations(both), (Some(1), Some(1), vec![Tier::Local, Tier::S3]));
    assert_eq!(generations(mixed), (Some(3), Some(2), vec![Tier::Local, Tier::S3]));
    assert_eq!(generations(far), (None, Some(1), vec![Tier::S3]));
}

#[test]
fn what_is_no_manifest_is_no_snapshot() {
    let stray = ["snapshots/readme.txt", "snapshots/", "snapshots/x.1"].map(|key| Object {
        key: key.to_owned(),
        size: 1,
        modified: Timestamp::UNIX_EPOCH,
    });
    assert!(places(Vec::new(), stray.into()).is_empty());
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

#[test]
fn what_was_removed_or_replaced_since_it_was_listed_is_not_damaged() {
    let place = Place::new();
    let removed = place.snapshot(draft("removed", 512), &pages(1, 512));
    let old = place.snapshot(draft("repacked", 512), &pages(1, 512));
    let listing = place.repository.local().list("snapshots/").unwrap();
    let new = place.snapshot(
        Description {
            generation: 2,
            ..Description::clone(&old)
        },
        &pages(1, 512),
    );
    for head in [&removed, &old] {
        place.repository.local().remove(&head.key()).unwrap();
    }
    let survey = survey(&place.repository, listing, None, Without::Damaged).unwrap();
    assert!(survey.damaged.is_empty());
    let keys: Vec<String> = survey.into_heads().iter().map(Head::key).collect();
    assert_eq!(keys, [new.key()]);
}

#[test]
fn what_cannot_be_read_ends_a_list_but_no_search_for_anything_good() {
    let place = Place::new();
    place.snapshot(draft("good", 512), &pages(1, 512));
    let newer = place.snapshot(draft("newer", 512), &pages(1, 512));
    place.tamper(&newer.key(), |bytes| bytes[8] = 2);
    let path = place.repository.path(&newer.key());
    let unreadable = place.repository.path(&manifest::key(Uuid::new_v4(), 1));
    std::os::unix::fs::symlink(&unreadable, &unreadable).unwrap();

    assert!(local(&place.repository).is_err());
    std::fs::remove_file(&unreadable).unwrap();
    let code = |survey: Result<Survey>| survey.err().map(|error| error.code);
    assert_eq!(code(local(&place.repository)), Some(Code::RepositoryNewer));

    std::os::unix::fs::symlink(&unreadable, &unreadable).unwrap();
    let survey = local_without(&place.repository, Without::Unreadable).unwrap();
    let mut codes: Vec<&str> = survey.damaged.iter().map(|(_, error)| error.code.as_str()).collect();
    codes.sort_unstable();
    assert_eq!(codes, ["REPOSITORY_IO", "REPOSITORY_NEWER"]);
    assert_eq!(place.repository.readable_heads().unwrap().len(), 1);
    assert!(path.exists(), "it is left alone");
}
