//! Safety snapshots, which every restore makes and no policy counts: they would fill the disk in the end.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use super::Line;
use crate::engine::Context;
use crate::engine::pins::Pins;
use crate::error::Result;
use crate::repository::identity::Identity;
use crate::repository::manifest::Kind;
use crate::repository::order;
use crate::repository::restores::{self, Outcome};
use crate::repository::retention::reckoned;
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
pub(super) fn lines(survey: &Survey, identity: &Identity) -> Vec<Line> {
    let is_own = |listed: &&Listed| identity.owns(&listed.head) && listed.head.kind == Kind::Safety;
    let mut lines: Vec<Line> = survey.snapshots.iter().filter(is_own).map(Line::of).collect();
    order::newest_first(&mut lines, Line::mark);
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
    now: Timestamp,
) -> (Vec<Line>, Vec<Line>) {
    let dates: Vec<Timestamp> = newest
        .into_iter()
        .chain(lines.iter().map(|line| line.created_at))
        .collect();
    let dates = reckoned(&dates, now);
    let own_dates = &dates[dates.len() - lines.len()..];
    let is_young = |index: usize| {
        let age = dates[0].duration_since(own_dates[index]);
        age < SignedDuration::from_hours(24 * DAYS)
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
            ("safety snapshot younger than 30 days", is_young(index)),
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
            place: 0,
            id: Uuid::new_v4(),
            sequence: None,
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
        let (kept, removed) = judge(lines(), &Pins::default(), &none(), day(100), Timestamp::now());
        assert_eq!(
            (days(&kept), days(&removed)),
            (vec![98, 97, 90, 80, 71], vec![70, 69, 1])
        );
        let (kept, removed) = judge(lines(), &Pins::default(), &none(), day(98), Timestamp::now());
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
        let (kept, removed) = judge(lines, &Pins::default(), &needed, day(100), Timestamp::now());
        assert_eq!((days(&kept), days(&removed)), (vec![98, 97, 96, 95, 94, 3, 1], vec![2]));
        assert_eq!(kept[5].reasons, ["undoRestore needs it"]);
        assert_eq!(kept[6].reasons, ["an unfinished restore needs it"]);
    }
}
