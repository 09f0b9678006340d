//! Nothing is counted twice and nothing is lost, whoever dies when.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use super::*;
use crate::repository::testing::{Place, code};

const APP: &str = "/srv/app.db";

fn count_one(place: &Place, database: &str) {
    add(&place.repository, Path::new(database), None, |counters| {
        counters.created += 1;
    })
    .unwrap();
}

fn counters(place: &Place) -> Counters {
    read(&place.repository, Some(Path::new(APP))).unwrap()
}

/// A note as a killed process leaves it: there, and held by nobody.
fn dead_note(place: &Place) -> Uuid {
    Note::leave(&place.repository, Path::new(APP)).unwrap().id
}

fn moment(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

#[test]
fn each_database_has_its_own_counters() {
    let place = Place::new();
    count_one(&place, APP);
    count_one(&place, APP);
    count_one(&place, "/srv/other.db");
    assert_eq!(counters(&place).created, 2);
    let other = read(&place.repository, Some(Path::new("/srv/other.db"))).unwrap();
    assert_eq!(other.created, 1);
    assert_eq!(read(&place.repository, None).unwrap(), Counters::default());
}

#[test]
fn without_a_database_the_only_one_is_meant() {
    let place = Place::new();
    count_one(&place, APP);
    assert_eq!(read(&place.repository, None).unwrap().created, 1);
}

#[test]
fn a_folder_that_is_no_repository_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let repository = Repository::open(folder.path(), None).unwrap();
    assert_eq!(read(&repository, None).unwrap(), Counters::default());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn durations_are_divided_by_their_upper_bounds() {
    let mut counters = Counters::default();
    for ms in [1, 100, 101, 60_000, 9_999_999] {
        counters.count_created(Duration::from_millis(ms));
    }
    assert_eq!(counters.durations, [2, 1, 0, 0, 0, 1, 0, 0, 1]);
    assert_eq!((counters.created, counters.duration_ms), (5, 10_060_201));
}

#[test]
fn the_newest_image_that_was_checked_decides() {
    let mut counters = Counters::default();
    let mut examined = |healthy, second| {
        counters.examined(healthy, image(None, second), Check::Quick);
        counters.integrity.unwrap().healthy
    };
    examined(true, 20);
    assert!(examined(false, 10), "an old damaged snapshot");
    assert!(!examined(false, 20), "the same image, looked at again");
    assert!(!examined(true, 19), "an old good snapshot");
    assert!(examined(true, 30), "the database was mended");
}

#[test]
fn an_image_that_was_made_later_counts_though_it_is_dated_earlier() {
    let mut counters = Counters::default();
    let mut examined = |healthy, number, second| {
        counters.examined(healthy, image(Some(number), second), Check::Quick);
        counters.integrity.unwrap().healthy
    };
    examined(true, 1, 20);
    assert!(!examined(false, 2, 10), "the clock was set back");
    assert!(!examined(true, 1, 30), "looked at again");
    assert!(examined(true, 3, 12));
}

fn image(sequence: Option<u64>, second: i64) -> Mark {
    Mark {
        sequence,
        created_at: moment(second),
        id: Uuid::nil(),
    }
}

#[test]
fn damage_is_gone_when_a_check_that_would_have_found_it_says_so() {
    let mut counters = Counters::default();
    let mut examined = |healthy, second, level| {
        counters.examined(healthy, image(None, second), level);
        counters.integrity.unwrap().healthy
    };
    assert!(examined(true, 10, Check::Full));
    assert!(!examined(false, 20, Check::Quick), "a weaker check finds damage");
    assert!(examined(true, 30, Check::Quick), "and that it is gone");
    assert!(!examined(false, 30, Check::Full));
    assert!(!examined(true, 40, Check::Quick), "it would not have found that");
    assert!(!examined(false, 50, Check::Quick), "something else is damaged");
    assert!(!examined(true, 60, Check::Quick), "that is gone, the first perhaps not");
    assert!(!examined(true, 40, Check::Full), "before what is known");
    assert!(examined(true, 60, Check::Full));
}

#[test]
fn a_killed_process_is_one_failure_seen_at_once_and_counted_once() {
    let place = Place::new();
    dead_note(&place);
    assert_eq!(counters(&place).failed, 1, "seen before anybody counted it");
    count_one(&place, APP);
    count_one(&place, APP);
    assert_eq!((counters(&place).failed, counters(&place).created), (1, 2));
    assert_eq!(fs::read_dir(place.repository.path(NOTES)).unwrap().count(), 0);
}

#[test]
fn a_process_that_lives_is_no_failure_and_its_note_stays() {
    let place = Place::new();
    let note = Note::leave(&place.repository, Path::new(APP)).unwrap();
    count_one(&place, APP);
    assert_eq!(counters(&place).failed, 0);
    assert!(note_path(&place.repository, note.id).exists());
    add(&place.repository, Path::new(APP), Some(&note), |counters| {
        counters.created += 1
    })
    .unwrap();
    assert!(!note_path(&place.repository, note.id).exists());
    drop(note);
    assert_eq!((counters(&place).failed, counters(&place).created), (0, 2));
}

#[test]
fn a_note_that_was_counted_and_not_removed_is_not_counted_again() {
    let place = Place::new();
    let id = dead_note(&place);
    let note = fs::read(note_path(&place.repository, id)).unwrap();
    count_one(&place, APP);
    fs::write(note_path(&place.repository, id), note).unwrap();
    assert_eq!(counters(&place).failed, 1);
    count_one(&place, APP);
    assert_eq!(counters(&place).failed, 1);
    assert!(!note_path(&place.repository, id).exists());
}

#[test]
fn a_job_that_could_not_be_counted_takes_its_note_back() {
    let place = Place::new();
    let note = Note::leave(&place.repository, Path::new(APP)).unwrap();
    note.take_back(&place.repository).unwrap();
    assert_eq!(counters(&place).failed, 0);
}

#[test]
fn a_damaged_file_is_kept_aside_and_counting_starts_from_zero() {
    let place = Place::new();
    count_one(&place, APP);
    place.tamper(FILE, |text| text.truncate(20));
    let damaged = fs::read(place.repository.path(FILE)).unwrap();
    assert_eq!(counters(&place), Counters::default());
    count_one(&place, APP);
    assert_eq!(counters(&place).created, 1);
    let aside = place.repository.local().list("local/metrics.json.damaged-").unwrap();
    assert_eq!(fs::read(place.repository.path(&aside[0].key)).unwrap(), damaged);
}

#[test]
fn a_file_of_another_version_is_understood() {
    let place = Place::new();
    let text = format!(r#"{{ "databases": {{ "{APP}": {{ "created": 7, "invented": [] }} }}, "later": 1 }}"#);
    fs::write(place.repository.path(FILE), text).unwrap();
    count_one(&place, APP);
    assert_eq!(counters(&place).created, 8);
}

#[test]
fn what_cannot_be_written_is_an_error_and_leaves_the_old_counters() {
    let place = Place::new();
    count_one(&place, APP);
    fs::create_dir(place.repository.path(UNFINISHED)).unwrap();
    let outcome = add(&place.repository, Path::new(APP), None, |counters| {
        counters.created += 1
    });
    assert_eq!(code(outcome), Some(Code::RepositoryIo));
    assert_eq!(counters(&place).created, 1);
}

#[test]
fn those_who_count_at_the_same_time_lose_nothing() {
    let place = Place::new();
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| (0..10).for_each(|_| count_one(&place, APP)));
        }
    });
    assert_eq!(counters(&place).created, 60);
}
