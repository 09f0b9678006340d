#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use super::*;

fn mark(sequence: impl Into<Option<u64>>, hour: i64, id: u128) -> Mark {
    Mark {
        sequence: sequence.into(),
        created_at: Timestamp::from_second(1_800_000_000 + hour * 3600).unwrap(),
        id: Uuid::from_u128(id),
    }
}

/// The ids, oldest first.
fn order_of(mut marks: Vec<Mark>) -> Vec<u128> {
    oldest_first(&mut marks, |mark| *mark);
    marks.iter().map(|mark| mark.id.as_u128()).collect()
}

#[test]
fn a_number_counts_more_than_a_date() {
    assert_eq!(order_of(vec![mark(3, 0, 1), mark(1, 9, 2), mark(2, 5, 3)]), [2, 3, 1]);
}

#[test]
fn the_id_decides_between_hosts_that_gave_the_same_number() {
    assert_eq!(order_of(vec![mark(7, 0, 2), mark(7, 9, 1), mark(8, 5, 0)]), [1, 2, 0]);
}

#[test]
fn what_has_no_number_goes_by_date() {
    assert_eq!(
        order_of(vec![mark(None, 2, 1), mark(None, 1, 2), mark(None, 2, 0)]),
        [2, 0, 1]
    );
    // Before numbers there were, and after them an old module that gives none.
    let mixed = vec![
        mark(1, 10, 1),
        mark(None, 3, 3),
        mark(2, 12, 2),
        mark(None, 11, 4),
        mark(None, 20, 5),
    ];
    assert_eq!(order_of(mixed), [3, 1, 4, 2, 5]);
    // On the same moment it comes after.
    assert_eq!(order_of(vec![mark(None, 10, 0), mark(1, 10, 1)]), [1, 0]);
}

#[test]
fn what_has_no_number_comes_after_the_newest_numbered_one_whose_date_is_not_later() {
    // The clock was set back before the second: the third comes after it, although the first is dated later.
    assert_eq!(
        order_of(vec![mark(1, 10, 1), mark(2, 2, 2), mark(None, 3, 3)]),
        [1, 2, 3]
    );
    assert_eq!(
        order_of(vec![mark(1, 10, 1), mark(2, 2, 2), mark(None, 1, 3)]),
        [3, 1, 2]
    );
}

/// A small generator: the mixes are the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }

    fn marks(&mut self) -> Vec<Mark> {
        let count = self.below(12);
        let one = |id| {
            let sequence = (self.below(3) > 0).then(|| self.below(6));
            mark(sequence, self.below(6) as i64, id)
        };
        (0..u128::from(count)).map(one).collect()
    }

    fn shuffle(&mut self, marks: &mut [Mark]) {
        for last in (1..marks.len()).rev() {
            marks.swap(last, self.below(last as u64 + 1) as usize);
        }
    }
}

/// Whether `older` may stand before `newer`, by the rule and among `all`.
fn is_right(older: Mark, newer: Mark, all: &[Mark]) -> bool {
    let number = |mark: Mark| (mark.sequence.unwrap(), mark.id);
    let is_after = |without: Mark, numbered: Mark| {
        let proof = |other: &&Mark| {
            other.sequence.is_some() && number(**other) >= number(numbered) && other.created_at <= without.created_at
        };
        all.iter().any(|other| proof(&other))
    };
    match (older.sequence, newer.sequence) {
        (Some(_), Some(_)) => number(older) < number(newer),
        (None, None) => (older.created_at, older.id) < (newer.created_at, newer.id),
        (Some(_), None) => is_after(newer, older),
        (None, Some(_)) => !is_after(older, newer),
    }
}

#[test]
fn any_mix_has_one_order_whatever_order_it_comes_in() {
    let mut random = Random(1);
    for _ in 0..2000 {
        let mut marks = random.marks();
        let expected = order_of(marks.clone());
        random.shuffle(&mut marks);
        assert_eq!(order_of(marks.clone()), expected, "{marks:?}");
        let mut backwards = marks.clone();
        newest_first(&mut backwards, |mark| *mark);
        backwards.reverse();
        let ids: Vec<u128> = backwards.iter().map(|mark| mark.id.as_u128()).collect();
        assert_eq!(ids, expected);
        // Every pair, not the neighbours alone: so the order is transitive.
        for (index, newer) in backwards.iter().enumerate() {
            for older in &backwards[..index] {
                assert!(
                    is_right(*older, *newer, &marks),
                    "{older:?} before {newer:?} in {marks:?}"
                );
                assert!(Order::of(marks.iter().copied()).is_before(*older, *newer));
            }
        }
        assert_eq!(newest(marks.iter().copied(), |mark| *mark), backwards.last().copied());
    }
}
