//! Which of two snapshots came later.
//!
//! A wall clock is set back and jumps ahead, so dates order nothing that has a number. Whoever makes a snapshot or
//! restores one gives it a number above all that it sees (see [`super::sequence`]). Hosts that did not see each other
//! may give the same number: then the id decides, so that everybody sees one order. What has no number (it was made
//! before there were any, or is an old plain file) comes after the newest numbered one whose date is not later, and
//! goes by date among its like.

use std::cmp::Reverse;

use jiff::Timestamp;
use uuid::Uuid;

use super::manifest::Head;

/// What orders one snapshot, or one restore, among the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) sequence: Option<u64>,
    pub(crate) created_at: Timestamp,
    pub(crate) id: Uuid,
}

/// Where something stands in an [`Order`]: later ones are greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// The number of its own; without one, that of the newest numbered one that it comes after.
    number: Option<(u64, Uuid)>,
    /// Without a number of its own.
    date: Option<(Timestamp, Uuid)>,
}

/// The order of some snapshots: the numbered ones tell where those without a number belong.
#[derive(Clone, Debug, Default)]
pub(crate) struct Order {
    /// Ascending; with each the earliest date from there on.
    numbered: Vec<(u64, Uuid, Timestamp)>,
}

impl Head {
    pub(crate) fn mark(&self) -> Mark {
        Mark {
            sequence: self.sequence,
            created_at: self.created_at,
            id: self.id,
        }
    }
}

impl Order {
    pub(crate) fn of(marks: impl IntoIterator<Item = Mark>) -> Self {
        let numbered = marks
            .into_iter()
            .filter_map(|mark| Some((mark.sequence?, mark.id, mark.created_at)));
        let mut numbered: Vec<_> = numbered.collect();
        numbered.sort_unstable();
        let mut earliest = Timestamp::MAX;
        for (_, _, date) in numbered.iter_mut().rev() {
            earliest = earliest.min(*date);
            *date = earliest;
        }
        Self { numbered }
    }

    pub(crate) fn place(&self, mark: Mark) -> Place {
        if let Some(sequence) = mark.sequence {
            return Place {
                number: Some((sequence, mark.id)),
                date: None,
            };
        }
        let older = self
            .numbered
            .partition_point(|(.., earliest_from_here)| *earliest_from_here <= mark.created_at);
        Place {
            number: older
                .checked_sub(1)
                .map(|last| (self.numbered[last].0, self.numbered[last].1)),
            date: Some((mark.created_at, mark.id)),
        }
    }

    pub(crate) fn is_before(&self, one: Mark, other: Mark) -> bool {
        self.place(one) < self.place(other)
    }
}

/// Equals keep the order that they have.
pub(crate) fn oldest_first<T>(items: &mut [T], mark: impl Fn(&T) -> Mark) {
    let order = Order::of(items.iter().map(&mark));
    items.sort_by_cached_key(|item| order.place(mark(item)));
}

/// As [`oldest_first`], the other way round.
pub(crate) fn newest_first<T>(items: &mut [T], mark: impl Fn(&T) -> Mark) {
    let order = Order::of(items.iter().map(&mark));
    items.sort_by_cached_key(|item| Reverse(order.place(mark(item))));
}

/// Of equals the first.
pub(crate) fn newest<T>(items: impl Iterator<Item = T>, mark: impl Fn(&T) -> Mark) -> Option<T> {
    let mut items: Vec<T> = items.collect();
    newest_first(&mut items, mark);
    items.into_iter().next()
}

#[cfg(test)]
#[path = "order_tests.rs"]
mod tests;
