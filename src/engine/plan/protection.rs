//! What no policy removes.

use std::collections::BTreeSet;

use jiff::Timestamp;
use uuid::Uuid;

use super::Line;
use crate::engine::collapse::Collapse;
use crate::engine::pins::Pins;
use crate::repository::clock::is_ahead;
use crate::repository::order::Order;
use crate::repository::retention::{Policy, Verdict};
use crate::repository::tiers::Tier;

pub(super) struct Protection<'a> {
    /// Those that are pruned.
    pub(super) tiers: &'a [Tier],
    pub(super) pins: &'a Pins,
    /// What is not in the bucket yet.
    pub(super) pending: &'a BTreeSet<Uuid>,
    pub(super) collapse: Option<&'a Collapse>,
    pub(super) order: &'a Order,
    pub(super) now: Timestamp,
}

/// The policy decides, unless something protects a snapshot. Returns what is kept and what is not.
pub(super) fn judge(policy: &Policy, lines: Vec<Line>, protection: &Protection) -> (Vec<Line>, Vec<Line>) {
    let verified = protection.newest_verified(&lines);
    let counted = lines.iter().filter(|line| protection.is_counted(line));
    let dates: Vec<_> = counted.map(|line| line.created_at).collect();
    let mut verdicts = policy.judge(&dates, protection.now).into_iter();
    let (mut kept, mut removed) = (Vec::new(), Vec::new());
    for mut line in lines {
        // What the rules do not count is kept for a reason of its own.
        let verdict = protection.is_counted(&line).then(|| verdicts.next()).flatten();
        let Verdict { kept_by, not_kept_by } = verdict.unwrap_or_default();
        line.reasons = protection.reasons(&line, &verified).chain(kept_by).collect();
        if line.reasons.is_empty() {
            line.reasons = not_kept_by;
            removed.push(line);
        } else {
            kept.push(line);
        }
    }
    (kept, removed)
}

impl Protection<'_> {
    /// Why a snapshot stays whatever the policy says.
    fn reasons(&self, line: &Line, verified: &BTreeSet<Uuid>) -> impl Iterator<Item = String> {
        let is_before = |first: &Collapse| self.order.is_before(line.mark(), first.mark());
        let reasons = [
            ("newest verified", verified.contains(&line.id)),
            ("pinned", self.pins.contains(line.id)),
            ("not in the bucket yet", self.pending.contains(&line.id)),
            ("dated in the future", self.is_lost(line)),
            ("before a collapse", self.collapse.is_some_and(is_before)),
            (
                "first after a collapse",
                self.collapse.is_some_and(|first| line.id == first.id),
            ),
        ];
        let given = reasons.into_iter().filter(|(_, is_given)| *is_given);
        given.map(|(reason, _)| reason.to_owned())
    }

    /// Whether the rules count a snapshot. One that waits for its upload must not push out those that
    /// the bucket has, and one without a place says nothing about the age of the others.
    fn is_counted(&self, line: &Line) -> bool {
        !self.pending.contains(&line.id) && !self.is_lost(line)
    }

    /// Whether nobody knows where it belongs: it has no number, and its date is wrong.
    fn is_lost(&self, line: &Line) -> bool {
        line.sequence.is_none() && is_ahead(line.created_at, self.now)
    }

    /// In each tier the newest snapshot that a bootstrap would take; where there is none, the newest
    /// of whatever there is.
    fn newest_verified(&self, lines: &[Line]) -> BTreeSet<Uuid> {
        let newest = |tier: &Tier| {
            let there = self.sound_in(*tier, lines);
            newest_good(&there).or_else(|| there.first().copied())
        };
        self.tiers.iter().filter_map(newest).map(|line| line.id).collect()
    }

    /// What is the last good snapshot of a tier although it is in the trash.
    pub(super) fn last_good(&self, left: &[Line], thrown_away: &[Line]) -> Vec<(Tier, Uuid)> {
        let last_good = |tier: &Tier| {
            let thrown_away = self.sound_in(*tier, thrown_away);
            let all = [self.sound_in(*tier, left), thrown_away.clone()].concat();
            let good = newest_good(&all)?.id;
            thrown_away.iter().any(|line| line.id == good).then_some((*tier, good))
        };
        self.tiers.iter().filter_map(last_good).collect()
    }

    /// What is whole in a tier and has a place in the order.
    fn sound_in<'l>(&self, tier: Tier, lines: &'l [Line]) -> Vec<&'l Line> {
        let is_whole = |line: &Line| tier == Tier::Local || !self.pending.contains(&line.id);
        let is_sound = |line: &&Line| line.tiers.contains(&tier) && is_whole(line) && !self.is_lost(line);
        lines.iter().filter(is_sound).collect()
    }
}

/// The first of those that a bootstrap would take: verified when it was made and not empty. An old plain
/// one, into which nobody has looked, is better than one that is known to be empty.
fn newest_good<'l>(newest_first: &[&'l Line]) -> Option<&'l Line> {
    let packed = newest_first.iter().find(|line| line.plain.is_none() && !line.is_empty);
    let good = packed.or_else(|| newest_first.iter().find(|line| line.plain.is_some()));
    good.copied()
}

#[cfg(test)]
#[path = "protection_tests.rs"]
mod tests;
