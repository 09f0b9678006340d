//! Facts that are worked out rather than read.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use uuid::Uuid;

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
        instance: Some("app".to_owned()),
        newest: true,
        rto_ms: None,
        rpo_ms: None,
        checks: Vec::new(),
        at: moment(second),
    }
}

/// Those of the database `app`, whose content is of lineage 1.
fn ours(place: &Place) -> Ours {
    let mut identity = Identity::named(&place.repository, "app", &[]).unwrap();
    identity.lineage = Some(Uuid::from_u128(1));
    Ours::new(Some(identity), &[], &[])
}

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
    let place = Place::new();
    let told = |has_bucket| {
        let last = last_drills(all(), &ours(&place), has_bucket).into_iter();
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
    let copys = Drill {
        instance: Some("copy".to_owned()),
        ..drill(8, None, Passed)
    };
    let older = |lineage, second, outcome| Drill {
        lineage: Some(Uuid::from_u128(lineage)),
        instance: None,
        ..drill(second, None, outcome)
    };
    let place = Place::new();
    let all = vec![
        old,
        copys,
        older(2, 7, Passed),
        drill(6, None, Failed),
        older(1, 5, Inconclusive),
    ];
    let told = |all: Vec<Drill>, ours| last_drills(all, &ours, true).pop().unwrap().outcome;
    assert_eq!(told(all.clone(), ours(&place)), Failed);
    // An older version noted the lineage alone.
    assert_eq!(told(all[4..].to_vec(), ours(&place)), Inconclusive);
    assert_eq!(
        told(all, Ours::new(None, &[], &[])),
        Passed,
        "without a database all are meant"
    );
}
