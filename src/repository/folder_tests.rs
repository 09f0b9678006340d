//! The repository as a whole: generations, packs in need, versions, small files.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use super::*;
use crate::repository::testing::{Place, code, draft, pages};

fn names(place: &Place) -> Vec<String> {
    place
        .repository
        .heads()
        .unwrap()
        .into_iter()
        .map(|head| head.name.clone())
        .collect()
}

fn keys(place: &Place, prefix: &str) -> usize {
    place.repository.local().list(prefix).unwrap().len()
}

#[test]
fn of_several_generations_the_highest_counts() {
    let place = Place::new();
    let (table, packs) = place.store(512, &pages(3, 512));
    let id = Uuid::new_v4();
    // Ten comes after nine, though not in the order of the keys.
    for generation in [9, 10, 2] {
        let mut draft = draft(&format!("generation {generation}"), 512);
        (draft.id, draft.generation) = (id, generation);
        place.publish(draft, &table, &packs).unwrap();
    }
    place.snapshot(draft("other", 512), &pages(1, 512));
    let mut found = names(&place);
    found.sort();
    assert_eq!(found, ["generation 10", "other"]);
    place.repository.remove_manifest(id).unwrap();
    assert_eq!(names(&place), ["other"]);
    assert_eq!(keys(&place, "snapshots/"), 1, "every generation is gone");
}

#[test]
fn heads_are_sorted_by_age_and_a_damaged_one_is_left_out() {
    let place = Place::new();
    for (name, second) in [("young", 3), ("old", 1), ("middle", 2)] {
        let mut draft = draft(name, 512);
        draft.created_at = Timestamp::from_second(1_700_000_000 + second).unwrap();
        place.snapshot(draft, &pages(1, 512));
    }
    assert_eq!(names(&place), ["old", "middle", "young"]);
    let middle = place.repository.heads().unwrap()[1].key();
    place.tamper(&middle, |bytes| bytes[100] ^= 1);
    assert_eq!(names(&place), ["old", "young"]);
}

#[test]
fn packs_that_a_manifest_names_stay() {
    let place = Place::new();
    let first = place.snapshot(draft("first", 512), &pages(3, 512));
    let second = place.snapshot(draft("second", 512), &pages(3, 512));
    place.store(512, &pages(5, 512));
    assert_eq!(keys(&place, "packs/"), 3);
    let before = place.repository.stored_bytes().unwrap();
    let freed = place.repository.remove_unneeded_packs().unwrap();
    assert_eq!(place.repository.stored_bytes().unwrap(), before - freed);
    assert_eq!(keys(&place, "packs/"), 2);
    place.repository.remove_manifest(first.id).unwrap();
    place.repository.remove_unneeded_packs().unwrap();
    assert_eq!(keys(&place, "packs/"), 1);
    Manifest::open(&**place.repository.local(), &second.key()).unwrap();
}

#[test]
fn while_a_manifest_cannot_be_read_no_pack_is_removed() {
    let place = Place::new();
    let head = place.snapshot(draft("a", 512), &pages(3, 512));
    place.store(512, &pages(5, 512));
    place.tamper(&head.key(), |bytes| bytes.truncate(200));
    assert_eq!(place.repository.remove_unneeded_packs().unwrap(), 0);
    assert_eq!(keys(&place, "packs/"), 2);
}

#[test]
fn what_a_killed_process_left_is_swept_and_nothing_else() {
    let place = Place::new();
    let head = place.snapshot(draft("a", 512), &pages(3, 512));
    place.store(512, &pages(5, 512));
    assert_eq!(std::fs::read_dir(place.scratch()).unwrap().count(), 0);
    place.repository.sweep_after_crash().unwrap();
    assert_eq!(keys(&place, "packs/"), 2, "no sign of a crash");

    let marker = place.repository.mark_as_busy().unwrap();
    std::mem::forget(marker);
    place.repository.sweep_after_crash().unwrap();
    assert_eq!(keys(&place, "packs/"), 1);
    Manifest::open(&**place.repository.local(), &head.key()).unwrap();
    drop(place.repository.mark_as_busy().unwrap());
    assert_eq!(std::fs::read_dir(place.scratch()).unwrap().count(), 0);
}

#[test]
fn a_repository_of_a_newer_format_or_with_encryption_is_refused_by_name() {
    for (field, value) in [
        ("format", serde_json::json!(2)),
        ("format", serde_json::json!(65_537)),
        ("encryption", serde_json::json!({ "key": "wrapped" })),
    ] {
        let place = Place::new();
        let mut description: serde_json::Value = place.repository.read_json(DESCRIPTION).unwrap().unwrap();
        description[field] = value;
        place.repository.replace_json(DESCRIPTION, &description).unwrap();
        assert_eq!(
            code(Repository::open(place.repository.root(), None)),
            Some(Code::RepositoryNewer),
            "{description}"
        );
    }
}

#[test]
fn opening_makes_nothing_and_making_it_twice_keeps_its_id() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("not/yet");
    let repository = Repository::open(&root, None).unwrap();
    assert!(repository.heads().unwrap().is_empty());
    assert_eq!(repository.stored_bytes().unwrap(), 0);
    assert!(!folder.path().join("not").exists());
    repository.init().unwrap();
    let first = std::fs::read(root.join(DESCRIPTION)).unwrap();
    Repository::open(&root, None).unwrap().init().unwrap();
    assert_eq!(std::fs::read(root.join(DESCRIPTION)).unwrap(), first);
}

#[test]
fn a_small_file_that_cannot_be_understood_says_which_one() {
    let place = Place::new();
    std::fs::write(place.repository.path("local/small.json"), b"{").unwrap();
    let error = place
        .repository
        .read_json::<serde_json::Value>("local/small.json")
        .unwrap_err();
    assert_eq!(error.code, Code::RepositoryIo);
    assert!(error.to_string().contains("small.json"), "{error}");
    assert_eq!(place.repository.read_json::<u32>("local/none.json").unwrap(), None);
}
