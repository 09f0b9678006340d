//! Safety snapshots, which every restore makes and no policy counts: they would fill the disk in the end.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use super::Line;
use crate::engine::Context;
use crate::engine::pins::Pins;
use crate::error::Result;
use crate::repository::manifest::Kind;
use crate::repository::restores::{self, Outcome};
use crate::repository::survey::{Listed, Survey};

/// So many are kept, whatever their age,
const NEWEST: usize = 5;
/// and those that are younger, seen from the newest snapshot of the database.
const DAYS: i64 = 30;

/// What something still needs.
pub(super) struct Needed {
    by_undo: BTreeSet<Uuid>,
    by_unfinished: BTreeSet<Uuid>,
}

/// Safety snapshots of one database, newest first.
pub(super) fn lines(survey: &Survey, lineage: Option<Uuid>) -> Vec<Line> {
    let is_own = |listed: &&Listed| Some(listed.head.lineage) == lineage && listed.head.kind == Kind::Safety;
    let mut lines: Vec<Line> = survey.snapshots.iter().filter(is_own).map(Line::of).collect();
    lines.sort_by_key(|line| std::cmp::Reverse((line.created_at, line.id)));
    lines
}

impl Needed {
    /// The safety snapshots of restores that were cut off, and of the newest one of each database, which
    /// `undoRestore` would take back.
    pub(super) fn read(context: &Context) -> Result<Self> {
        let mut all = restores::all(&context.repository)?;
        all.reverse();
        let unfinished = all.iter().filter(|restore| restore.outcome == Outcome::Begun);
        let by_unfinished = unfinished.filter_map(|restore| restore.safety).collect();
        let mut seen = BTreeSet::new();
        let to_undo = all
            .iter()
            .filter(|restore| restore.outcome == Outcome::Done && !restore.undone)
            .filter(|restore| seen.insert(&restore.database));
        Ok(Self {
            by_undo: to_undo.filter_map(|restore| restore.safety).collect(),
            by_unfinished,
        })
    }

    pub(super) fn contains(&self, id: Uuid) -> bool {
        self.by_undo.contains(&id) || self.by_unfinished.contains(&id)
    }
}

/// What is kept and what is not, each with its reasons. `newest`: when the newest snapshot was made; ages count
/// back from it, so that nothing ages out while no snapshots are made.
pub(super) fn judge(
    lines: Vec<Line>,
    pins: &Pins,
    needed: &Needed,
    newest: Option<Timestamp>,
) -> (Vec<Line>, Vec<Line>) {
    let newest = newest.max(lines.first().map(|line| line.created_at));
    let is_young = |line: &Line| {
        let age = newest.map(|newest| newest.duration_since(line.created_at));
        age.is_none_or(|age| age < SignedDuration::from_hours(24 * DAYS))
    };
    let judged = lines.into_iter().enumerate().map(|(index, line)| {
        let reasons = [
            ("undoRestore needs it", needed.by_undo.contains(&line.id)),
            (
                "an unfinished restore needs it",
                needed.by_unfinished.contains(&line.id),
            ),
            ("pinned", pins.contains(line.id)),
            ("among the newest 5 safety snapshots", index < NEWEST),
            ("safety snapshot younger than 30 days", is_young(&line)),
        ];
        let given = reasons.iter().filter(|(_, is_given)| *is_given);
        let reasons = given.map(|(reason, _)| (*reason).to_owned()).collect();
        Line { reasons, ..line }
    });
    let (kept, mut removed): (Vec<Line>, Vec<Line>) = judged.partition(|line| !line.reasons.is_empty());
    for line in &mut removed {
        let reason = "safety snapshot, neither among the newest 5 nor younger than 30 days";
        line.reasons.push(reason.to_owned());
    }
    (kept, removed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repository::tiers::Tier;

    fn line(day: i64) -> Line {
        Line {
            name: format!("safety of day {day}"),
            created_at: Timestamp::from_second(day * 86_400).unwrap(),
            tiers: vec![Tier::Local],
            reasons: Vec::new(),
            id: Uuid::new_v4(),
            plain: None,
            is_empty: false,
        }
    }

    fn none() -> Needed {
        Needed {
            by_undo: BTreeSet::new(),
            by_unfinished: BTreeSet::new(),
        }
    }

    fn days(lines: &[Line]) -> Vec<i64> {
        let day = |line: &Line| line.created_at.as_second() / 86_400;
        lines.iter().map(day).collect()
    }

    fn day(day: i64) -> Option<Timestamp> {
        Timestamp::from_second(day * 86_400).ok()
    }

    #[test]
    fn the_newest_five_and_those_of_thirty_days_before_the_newest_snapshot_are_kept() {
        let lines = || [98, 97, 90, 80, 71, 70, 69, 1].map(line).to_vec();
        let (kept, removed) = judge(lines(), &Pins::default(), &none(), day(100));
        assert_eq!(
            (days(&kept), days(&removed)),
            (vec![98, 97, 90, 80, 71], vec![70, 69, 1])
        );
        let (kept, removed) = judge(lines(), &Pins::default(), &none(), day(98));
        assert_eq!(
            (days(&kept), days(&removed)),
            (vec![98, 97, 90, 80, 71, 70, 69], vec![1])
        );
        assert!(removed[0].reasons[0].contains("neither"));
    }

    #[test]
    fn what_an_undo_or_an_unfinished_restore_needs_is_kept() {
        let lines = [98, 97, 96, 95, 94, 3, 2, 1].map(line).to_vec();
        let needed = Needed {
            by_undo: BTreeSet::from([lines[5].id]),
            by_unfinished: BTreeSet::from([lines[7].id]),
        };
        let (kept, removed) = judge(lines, &Pins::default(), &needed, day(100));
        assert_eq!((days(&kept), days(&removed)), (vec![98, 97, 96, 95, 94, 3, 1], vec![2]));
        assert_eq!(kept[5].reasons, ["undoRestore needs it"]);
        assert_eq!(kept[6].reasons, ["an unfinished restore needs it"]);
    }
}
