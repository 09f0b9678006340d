//! Which snapshot counts as the newest good one.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use super::*;
use crate::repository::manifest::Description;
use crate::repository::testing::{Place, draft, pages};

const HOUR: i64 = 3600;

fn moment(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn head(place: &Place, second: i64) -> Head {
    numbered(place, None, second)
}

fn numbered(place: &Place, sequence: Option<u64>, second: i64) -> Head {
    let description = Description {
        created_at: moment(second),
        sequence,
        ..draft(&format!("made at {second}"), 512)
    };
    place.snapshot(description, &pages(3, 512))
}

#[test]
fn the_newest_snapshot_may_be_an_old_plain_file() {
    let place = Place::new();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("snapshot_2030-01-02T03-04-05-678Z.db");
    std::fs::write(&file, [0; 100]).unwrap();
    let plain = crate::database::plain_snapshots::list(folder.path(), &[]).unwrap();
    let packed = [head(&place, 0), head(&place, HOUR)];
    let packed: Vec<&Head> = packed.iter().collect();
    assert_eq!(newest(&packed, [].iter()).unwrap().name, "made at 3600");
    let newest = newest(&packed, plain.iter()).unwrap();
    assert_eq!(
        (newest.name.as_str(), newest.size),
        ("snapshot_2030-01-02T03-04-05-678Z", 100)
    );
}

#[test]
fn one_whose_packs_are_gone_is_passed_over_and_told() {
    let place = Place::new();
    let heads = [head(&place, 0), head(&place, HOUR)];
    let heads: Vec<&Head> = heads.iter().collect();
    let standing = |here: &[&Head]| Standing::of(&place.repository, &heads, here, &[], moment(2 * HOUR)).unwrap();
    assert_eq!(standing(&heads).good.unwrap().name, "made at 3600");

    let (_, packs) = crate::repository::manifest::pack_table(&**place.repository.local(), &heads[1].key()).unwrap();
    std::fs::remove_file(place.repository.path(&packs[0].key())).unwrap();
    let damaged = standing(&heads);
    assert_eq!(damaged.good.unwrap().name, "made at 0");
    assert_eq!(damaged.bad, [format!("made at 3600: {} is missing", packs[0].key())]);
    // Of one that only the bucket has, nothing is known.
    assert_eq!(standing(&[]).good.unwrap().name, "made at 3600");
}

#[test]
fn one_that_is_dated_in_the_future_does_not_hide_how_old_the_others_are() {
    let place = Place::new();
    let heads = [head(&place, 0), head(&place, 20 * 60)];
    let heads: Vec<&Head> = heads.iter().collect();
    let standing = |heads: &[&Head], now| Standing::of(&place.repository, heads, heads, &[], moment(now)).unwrap();
    let name = |snapshot: Option<Snapshot>| snapshot.map(|snapshot| snapshot.name);

    let ahead = standing(&heads, 60);
    assert_eq!(name(ahead.good).as_deref(), Some("made at 0"));
    assert_eq!(name(ahead.ahead).as_deref(), Some("made at 1200"));
    // A quarter of an hour is how far clocks may differ.
    let near = standing(&heads, 300);
    assert_eq!(name(near.good).as_deref(), Some("made at 1200"));
    assert!(near.ahead.is_none());
    // Where there is no other, it is better than none.
    let alone = standing(&heads[1..], 60);
    assert_eq!(name(alone.good).as_deref(), Some("made at 1200"));
    assert!(alone.ahead.is_some());
}

#[test]
fn one_that_was_made_after_a_date_in_the_future_is_the_newest() {
    let place = Place::new();
    let heads = [
        numbered(&place, Some(1), 0),
        numbered(&place, Some(2), 99 * HOUR),
        numbered(&place, Some(3), HOUR),
    ];
    let heads: Vec<&Head> = heads.iter().collect();
    let standing = |heads: &[&Head]| Standing::of(&place.repository, heads, heads, &[], moment(2 * HOUR)).unwrap();
    let name = |snapshot: Option<Snapshot>| snapshot.map(|snapshot| snapshot.name);
    assert_eq!(newest(&heads, [].iter()).unwrap().name, "made at 3600");

    let before = standing(&heads[..2]);
    assert_eq!(name(before.ahead).as_deref(), Some("made at 356400"));
    assert_eq!(name(before.good).as_deref(), Some("made at 0"));
    assert_eq!(before.backwards, None);

    let after = standing(&heads);
    assert_eq!(
        (name(after.ahead), name(after.good).as_deref()),
        (None, Some("made at 3600"))
    );
    let backwards = after.backwards.unwrap();
    assert_eq!(backwards.snapshot.name, "made at 3600");
    assert_eq!(backwards.older.name, "made at 356400");
}

#[test]
fn a_few_minutes_back_are_no_reason_to_say_anything() {
    let place = Place::new();
    let backwards = |second| {
        let heads = [numbered(&place, Some(1), HOUR), numbered(&place, Some(2), second)];
        Backwards::among(&heads).map(|backwards| backwards.older.name)
    };
    assert_eq!(backwards(HOUR - 15 * 60), None);
    assert_eq!(backwards(HOUR - 15 * 60 - 1).as_deref(), Some("made at 3600"));
    // What has no number is ordered by its date, which tells nothing.
    assert_eq!(Backwards::among(&[head(&place, HOUR), head(&place, 0)]), None);
}
