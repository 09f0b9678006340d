//! Facts that are worked out rather than read.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use super::*;
use crate::finding::Outcome::{Failed, Inconclusive, Passed};
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
fn the_newest_drill_of_each_tier_is_told() {
    let place = Place::new();
    for (second, tier, outcome) in [
        (9, Some(Tier::Local), Passed),
        (5, Some(Tier::Local), Failed),
        (7, Some(Tier::S3), Inconclusive),
        (8, None, Passed),
    ] {
        let drill = Drill {
            id: Uuid::new_v4(),
            outcome,
            reason: None,
            snapshot: None,
            tier,
            rto_ms: None,
            rpo_ms: None,
            checks: Vec::new(),
            at: moment(second),
        };
        drill.save(&place.repository).unwrap();
    }
    let told = drills(&place.repository).unwrap();
    let told: Vec<_> = told.iter().map(|drill| (drill.tier, drill.outcome)).collect();
    assert_eq!(
        told,
        [
            (Some(Tier::Local), Passed),
            (None, Passed),
            (Some(Tier::S3), Inconclusive)
        ]
    );
}
