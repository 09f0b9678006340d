//! Facts that are worked out rather than read.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use serde_json::json;

use super::*;
use crate::repository::manifest::Description;
use crate::repository::testing::{Place, draft, pages};

const HOUR: i64 = 3600;

fn moment(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

/// A snapshot that added so many bytes.
fn head(place: &Place, second: i64, stored_bytes: u64) -> Head {
    let description = Description {
        created_at: moment(second),
        stored_bytes,
        ..draft(&format!("made at {second}"), 512)
    };
    place.snapshot(description, &pages(3, 512))
}

#[test]
fn growth_is_what_came_after_the_first_snapshot_of_the_last_days() {
    let place = Place::new();
    let now = moment(100 * 24 * HOUR);
    let ago = |days: i64, bytes| head(&place, (100 - days) * 24 * HOUR, bytes);
    let heads = [ago(30, 9_000), ago(6, 500), ago(4, 20), ago(1, 3)];
    let heads: Vec<&Head> = heads.iter().rev().collect();
    assert_eq!(
        growth(&heads, now),
        Some(Growth {
            bytes: 23,
            from: moment(94 * 24 * HOUR),
            to: moment(99 * 24 * HOUR),
        })
    );
    assert_eq!(growth(&heads[2..], now), None, "one recent snapshot grows nothing");
    assert_eq!(growth(&[], now), None);
}

#[test]
fn the_newest_snapshot_may_be_an_old_plain_file() {
    let place = Place::new();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("snapshot_2030-01-02T03-04-05-678Z.db");
    std::fs::write(&file, [0; 100]).unwrap();
    let plain = crate::database::plain_snapshots::list(folder.path(), &[]).unwrap();
    let packed = [head(&place, 0, 1), head(&place, HOUR, 1)];
    let packed: Vec<&Head> = packed.iter().collect();
    assert_eq!(newest(&packed, [].iter()).unwrap().name, "made at 3600");
    let newest = newest(&packed, plain.iter()).unwrap();
    assert_eq!(
        (newest.name.as_str(), newest.size),
        ("snapshot_2030-01-02T03-04-05-678Z", 100)
    );
}

#[test]
fn the_newest_drill_of_each_tier_is_told_and_a_broken_file_is_passed_over() {
    let place = Place::new();
    let repository = &place.repository;
    let note = |name: &str, drill: Value| repository.replace_json(&format!("{DRILLS}{name}"), &drill).unwrap();
    let drill = |second, tier: Option<&str>, outcome| json!({ "at": moment(second), "tier": tier, "outcome": outcome });
    note("a", drill(9, Some("local"), "passed"));
    note("b", drill(5, Some("local"), "failed"));
    note("c", drill(7, Some("s3"), "inconclusive"));
    note("d", drill(8, None, "passed"));
    note("e", json!({ "tier": "local" }));
    std::fs::write(repository.path("local/drills/f"), "{").unwrap();
    let told: Vec<String> = drills(repository)
        .unwrap()
        .iter()
        .map(|drill| format!("{} {}", drill["tier"], drill["outcome"]))
        .collect();
    assert_eq!(
        told,
        [r#""local" "passed""#, r#"null "passed""#, r#""s3" "inconclusive""#]
    );
}
