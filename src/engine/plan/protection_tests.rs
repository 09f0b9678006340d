#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::collections::BTreeMap;

use super::*;
use crate::database::plain_snapshots::describe;

const BOTH: [Tier; 2] = [Tier::Local, Tier::S3];

/// The moment of the tests, in the hours in which lines are made.
const NOW: i64 = 500_000;

fn at(hour: i64) -> Timestamp {
    Timestamp::from_second(hour * 3600).unwrap()
}

/// A packed snapshot with content, in both tiers.
fn packed(hour: i64) -> Line {
    Line {
        name: format!("at {hour}"),
        created_at: at(hour),
        place: 0,
        sequence: None,
        tiers: BOTH.to_vec(),
        reasons: Vec::new(),
        id: Uuid::from_u128(hour as u128),
        plain: None,
        is_empty: false,
    }
}

fn empty(hour: i64) -> Line {
    Line {
        is_empty: true,
        ..packed(hour)
    }
}

fn plain(hour: i64) -> Line {
    let record = describe("snapshot_old.db", 4096, at(hour)).unwrap();
    Line {
        plain: Some(Box::new(record)),
        ..packed(hour)
    }
}

/// What protects, while these wait for their upload.
fn with_protection<T>(pending: &[i64], use_it: impl FnOnce(&Protection) -> T) -> T {
    let pending: BTreeSet<Uuid> = pending.iter().map(|hour| Uuid::from_u128(*hour as u128)).collect();
    use_it(&Protection {
        tiers: &BOTH,
        pins: &Pins::default(),
        pending: &pending,
        collapse: None,
        order: &Order::default(),
        now: at(NOW),
    })
}

/// Why each kept snapshot is kept, by its hour; what is missing is removed.
fn kept(policy: &str, pending: &[i64], lines: Vec<Line>) -> BTreeMap<i64, Vec<String>> {
    let policy = Policy::new(&serde_json::from_str(policy).unwrap()).unwrap();
    let (kept, removed) = with_protection(pending, |protection| judge(&policy, lines, protection));
    assert!(removed.iter().all(|line| !line.reasons.is_empty()), "all is explained");
    let hour = |line: &Line| line.created_at.as_second() / 3600;
    kept.into_iter().map(|line| (hour(&line), line.reasons)).collect()
}

#[test]
fn an_old_plain_snapshot_is_better_than_empty_ones() {
    let lines = vec![empty(9), empty(8), plain(3), plain(2)];
    let kept = kept(r#"{ "keepLast": 1 }"#, &[], lines);
    assert_eq!(kept.keys().collect::<Vec<_>>(), [&3, &9]);
    assert_eq!(kept[&3], ["newest verified"]);
}

#[test]
fn a_verified_snapshot_is_better_than_a_newer_plain_one() {
    let kept = kept(r#"{ "keepLast": 1 }"#, &[], vec![empty(9), plain(8), packed(3)]);
    assert_eq!(kept.keys().collect::<Vec<_>>(), [&3, &9]);
}

#[test]
fn where_all_are_empty_the_newest_is_kept() {
    let kept = kept(r#"{ "keepYearly": 1, "keepLast": 1 }"#, &[], vec![empty(9), empty(8)]);
    assert_eq!(kept[&9][0], "newest verified");
}

#[test]
fn what_waits_for_its_upload_pushes_nothing_out() {
    let mut lines: Vec<Line> = (11..21).rev().map(packed).collect();
    lines.iter_mut().for_each(|line| line.tiers = vec![Tier::Local]);
    lines.extend([packed(10), packed(9)]);
    let kept = kept(r#"{ "keepLast": 1 }"#, &Vec::from_iter(11..21), lines);
    assert_eq!(kept[&10], ["newest verified", "last 1 of 1"]);
    assert_eq!(kept[&20], ["newest verified", "not in the bucket yet"], "locally");
    assert_eq!(kept[&11], ["not in the bucket yet"]);
    assert_eq!(kept.len(), 11);
}

#[test]
fn what_waits_for_its_upload_is_not_the_newest_verified_of_the_bucket() {
    // Its manifest is there, and the note that it waits is, too.
    let kept = kept(
        r#"{ "keepYearly": 1, "keepLast": 1 }"#,
        &[11],
        vec![packed(11), empty(10), packed(9)],
    );
    assert_eq!(kept[&9][0], "newest verified");
}

#[test]
fn a_date_in_the_future_says_nothing_about_the_others() {
    let lines = || vec![packed(NOW + 1), empty(NOW - 1), packed(NOW - 2), packed(NOW - 40)];
    let last = kept(r#"{ "keepLast": 1 }"#, &[], lines());
    assert_eq!(last.keys().collect::<Vec<_>>(), [&(NOW - 2), &(NOW - 1), &(NOW + 1)]);
    assert_eq!(last[&(NOW + 1)], ["dated in the future"]);
    assert_eq!(last[&(NOW - 1)], ["last 1 of 1"]);
    assert_eq!(last[&(NOW - 2)], ["newest verified"]);

    let mut lines = lines();
    lines[0] = packed(NOW + 10_000);
    let within = kept(r#"{ "keepWithin": "39h" }"#, &[], lines);
    assert_eq!(within[&(NOW - 2)], ["newest verified", "within 39h"]);
    assert_eq!(within.len(), 3);
}

#[test]
fn one_with_a_number_has_its_place_whatever_its_date() {
    let numbered = |sequence, hour| Line {
        sequence: Some(sequence),
        ..packed(hour)
    };
    let lines = || vec![numbered(3, NOW - 2), numbered(2, NOW + 9000), numbered(1, NOW - 40)];
    let last = kept(r#"{ "keepLast": 2 }"#, &[], lines());
    assert_eq!(last[&(NOW + 9000)], ["last 2 of 2"]);
    assert_eq!(last.len(), 2);
    let newest = kept(r#"{ "keepLast": 1 }"#, &[], lines().split_off(1));
    assert_eq!(newest[&(NOW + 9000)], ["newest verified", "last 1 of 1"]);
    assert_eq!(newest.len(), 1);
}

#[test]
fn a_clock_may_be_a_little_fast() {
    let mut fast = packed(NOW);
    fast.created_at = at(NOW) + jiff::SignedDuration::from_mins(14);
    let kept = kept(r#"{ "keepLast": 1 }"#, &[], vec![fast, packed(NOW - 1)]);
    assert_eq!(kept[&NOW], ["newest verified", "last 1 of 1"]);
    assert_eq!(kept.len(), 1);
}

#[test]
fn the_trash_does_not_lose_the_last_good_one_of_a_tier() {
    let last_good = |left: &[Line], thrown_away: &[Line]| {
        with_protection(&[], |protection| protection.last_good(left, thrown_away))
    };
    let good = |hour| Uuid::from_u128(hour);
    assert_eq!(last_good(&[packed(2)], &[packed(5), packed(3)]), []);
    assert_eq!(
        last_good(&[empty(9), plain(4)], &[empty(8), packed(5), packed(3)]),
        [(Tier::Local, good(5)), (Tier::S3, good(5))]
    );
    let only_local = Line {
        tiers: vec![Tier::Local],
        ..packed(9)
    };
    assert_eq!(last_good(&[only_local], &[packed(5)]), [(Tier::S3, good(5))]);
    assert_eq!(last_good(&[empty(9)], &[empty(5)]), []);
}
