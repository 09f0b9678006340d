#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use super::*;
use crate::repository::testing::{Place, draft, pages};

/// A snapshot of a database of that name; a lineage of its own unless told.
fn snapshot(place: &Place, database: &str, lineage: Option<Uuid>) -> Uuid {
    let mut draft = draft("a", 512);
    draft.database_name = database.to_owned();
    draft.lineage = lineage.unwrap_or(draft.lineage);
    place.snapshot(draft, &pages(1, 512)).lineage
}

fn find_now(place: &Place, database: &str) -> Lineage {
    let heads = place.repository.heads().unwrap();
    find(&place.repository, &place.beside(database), &heads).unwrap()
}

fn claim_now(place: &Place, database: &str) -> Uuid {
    let heads = place.repository.heads().unwrap();
    claim(&place.repository, &place.beside(database), &heads).unwrap()
}

fn unknown(found: &[&str]) -> Lineage {
    Lineage::Unknown {
        found: found.iter().map(ToString::to_string).collect(),
    }
}

#[test]
fn a_database_keeps_the_lineage_that_it_claimed() {
    let place = Place::new();
    assert_eq!(find_now(&place, "dev.db"), unknown(&[]));
    let claimed = claim_now(&place, "dev.db");
    assert_eq!(find_now(&place, "dev.db"), Lineage::Known(claimed));
    assert_eq!(claim_now(&place, "dev.db"), claimed);
    // Others of that file name come and go: the path decides.
    snapshot(&place, "dev.db", None);
    snapshot(&place, "dev.db", None);
    assert_eq!(find_now(&place, "dev.db"), Lineage::Known(claimed));
    assert_ne!(claim_now(&place, "other/dev.db"), claimed);
}

#[test]
fn a_new_host_adopts_the_single_lineage_of_that_file_name() {
    let place = Place::new();
    let lineage = snapshot(&place, "dev.db", None);
    snapshot(&place, "dev.db", Some(lineage));
    snapshot(&place, "another.db", None);
    assert_eq!(find_now(&place, "new/dev.db"), Lineage::Known(lineage));
    assert_eq!(claim_now(&place, "new/dev.db"), lineage);
}

#[test]
fn of_two_lineages_of_that_file_name_none_is_adopted() {
    let place = Place::new();
    let first = snapshot(&place, "dev.db", None);
    let second = snapshot(&place, "dev.db", None);
    snapshot(&place, "another.db", None);
    assert_eq!(find_now(&place, "new/dev.db"), unknown(&["another.db", "dev.db"]));
    let claimed = claim_now(&place, "new/dev.db");
    assert!(claimed != first && claimed != second);
}

#[test]
fn a_database_of_another_file_name_is_told_what_was_found() {
    let place = Place::new();
    snapshot(&place, "dev.db", None);
    for name in ["prod.db", "DEV.db", "dev.db.old"] {
        assert_eq!(find_now(&place, name), unknown(&["dev.db"]), "{name}");
    }
}

#[test]
fn the_lineage_of_a_database_that_still_exists_is_not_adopted() {
    let place = Place::new();
    let lineage = claim_now(&place, "dev.db");
    snapshot(&place, "dev.db", Some(lineage));
    std::fs::write(place.beside("dev.db"), b"").unwrap();
    assert_eq!(find_now(&place, "copy/dev.db"), unknown(&["dev.db"]));
    // It was moved, not copied, once the old one is gone.
    std::fs::remove_file(place.beside("dev.db")).unwrap();
    assert_eq!(find_now(&place, "copy/dev.db"), Lineage::Known(lineage));
}

#[test]
fn finding_remembers_nothing() {
    let place = Place::new();
    snapshot(&place, "dev.db", None);
    find_now(&place, "dev.db");
    assert!(!place.repository.path(FILE).exists());
}
