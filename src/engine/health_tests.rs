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

fn drill(second: i64, tier: Option<Tier>, outcome: crate::finding::Outcome) -> Drill {
    Drill {
        id: Uuid::new_v4(),
        outcome,
        reason: None,
        snapshot: None,
        tier,
        lineage: Some(Uuid::from_u128(1)),
        newest: true,
        rto_ms: None,
        rpo_ms: None,
        checks: Vec::new(),
        at: moment(second),
    }
}

const OURS: Ours = Ours::Of(Uuid::from_u128(1));

#[test]
fn the_last_drill_of_each_tier_is_told() {
    let all = || {
        vec![
            drill(9, None, Passed),
            drill(8, Some(Tier::Local), Passed),
            drill(7, Some(Tier::S3), Inconclusive),
            drill(5, Some(Tier::Local), Failed),
        ]
    };
    let told = |has_bucket| {
        let last = last_drills(all(), &OURS, has_bucket).into_iter();
        last.map(|drill| (drill.tier, drill.outcome)).collect::<Vec<_>>()
    };
    let (any, local, s3) = (None, Some(Tier::Local), Some(Tier::S3));
    assert_eq!(told(true), [(any, Passed), (local, Passed), (s3, Inconclusive)]);
    assert_eq!(told(false), [(any, Passed)], "without a bucket there is one tier");
}

#[test]
fn drills_of_older_snapshots_and_other_databases_are_not_told() {
    let old = Drill {
        newest: false,
        ..drill(9, None, Passed)
    };
    let foreign = Drill {
        lineage: Some(Uuid::from_u128(2)),
        ..drill(8, None, Passed)
    };
    let nobodys = Drill {
        lineage: None,
        ..drill(7, None, Inconclusive)
    };
    let all = vec![old, foreign.clone(), nobodys.clone(), drill(6, None, Failed)];
    let told = |ours| last_drills(all.clone(), &ours, true).pop().unwrap().outcome;
    assert_eq!(told(OURS), Failed);
    assert_eq!(told(Ours::All), foreign.outcome);
    assert_eq!(told(Ours::Unknown), nobodys.outcome);
}
