//! Which snapshots of a database there are, and which of them can be relied on.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::Serialize;
use uuid::Uuid;

use super::known_damage::KnownDamage;
use crate::database::plain_snapshots::{Place, PlainSnapshot};
use crate::error::Result;
use crate::record::Status;
use crate::repository::Repository;
use crate::repository::clock::is_ahead;
use crate::repository::manifest::Head;
use crate::repository::order::{self, Mark};

/// A snapshot that is complete.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Snapshot {
    pub(super) name: String,
    pub(super) created_at: Timestamp,
    pub(super) sequence: Option<u64>,
    #[serde(skip)]
    pub(super) id: Uuid,
    pub(super) size: u64,
    /// What SQLite could not judge when it was made.
    pub(super) unjudged: Vec<String>,
}

/// Which snapshots of the configured database can be relied on, as far as is known.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Standing {
    /// Newest one that nothing is known against. One that is dated in the future only where there is no other: nobody
    /// knows how old it is.
    pub(super) good: Option<Snapshot>,
    /// What is known against newer ones, newest first.
    pub(super) bad: Vec<String>,
    /// What verifications said against older ones, newest first.
    pub(super) older_bad: Vec<String>,
    /// Newest one that is dated in the future, if it is newer than the good one.
    pub(super) ahead: Option<Snapshot>,
    /// Where a date went backwards last.
    pub(super) backwards: Option<Backwards>,
}

/// A snapshot that is dated before an older one: one of two clocks was wrong.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Backwards {
    pub(super) snapshot: Snapshot,
    /// The one with the latest date of all that are older.
    pub(super) older: Snapshot,
}

impl Backwards {
    /// Among snapshots of every database: they were dated by one clock.
    pub(super) fn among(heads: &[Head]) -> Option<Self> {
        let snapshots: Vec<Snapshot> = heads.iter().map(Snapshot::packed).collect();
        Self::newest(snapshots.iter())
    }

    /// The newest of them. Of what has no number, the date is all that orders it.
    fn newest<'a>(oldest_first: impl Iterator<Item = &'a Snapshot>) -> Option<Self> {
        let mut latest: Option<&Snapshot> = None;
        let mut found = None;
        for snapshot in oldest_first.filter(|snapshot| snapshot.sequence.is_some()) {
            match latest {
                Some(older) if is_ahead(older.created_at, snapshot.created_at) => found = Some((snapshot, older)),
                Some(older) if older.created_at > snapshot.created_at => {}
                _ => latest = Some(snapshot),
            }
        }
        found.map(|(snapshot, older)| Self {
            snapshot: snapshot.clone(),
            older: older.clone(),
        })
    }
}

impl Snapshot {
    fn packed(head: &Head) -> Self {
        Self {
            name: head.name.clone(),
            created_at: head.created_at,
            sequence: head.sequence,
            id: head.id,
            size: head.size(),
            unjudged: head.unjudged.clone(),
        }
    }

    pub(super) fn mark(&self) -> Mark {
        Mark {
            sequence: self.sequence,
            created_at: self.created_at,
            id: self.id,
        }
    }

    /// `None` when it is not complete.
    fn plain(plain: &PlainSnapshot) -> Option<Self> {
        let record = &plain.record;
        (record.status == Status::Completed).then(|| Self {
            name: record.name.clone(),
            created_at: record.created_at,
            sequence: None,
            id: plain.note_id(),
            size: record.size,
            unjudged: Vec::new(),
        })
    }
}

pub(super) fn complete<'a>(
    heads: &[&Head],
    plain: impl Iterator<Item = &'a PlainSnapshot>,
) -> impl Iterator<Item = Snapshot> {
    let packed = heads.iter().map(|head| Snapshot::packed(head));
    packed.chain(plain.filter_map(Snapshot::plain))
}

pub(super) fn newest<'a>(heads: &[&Head], plain: impl Iterator<Item = &'a PlainSnapshot>) -> Option<Snapshot> {
    order::newest(complete(heads, plain), Snapshot::mark)
}

/// Looks for the newest snapshot that is good. `here`: those of the local tier.
impl Standing {
    pub(super) fn of(
        repository: &Repository,
        heads: &[&Head],
        here: &[&Head],
        plain: &[PlainSnapshot],
        now: Timestamp,
    ) -> Result<Self> {
        let known = KnownDamage::read(repository)?;
        let packed = heads.iter().map(|head| {
            let local = here.iter().find(|local| local.id == head.id).copied();
            (Snapshot::packed(head), local.is_some(), local)
        });
        let plain = plain.iter().filter_map(|plain| {
            let is_here = matches!(plain.place, Place::File(_));
            Some((Snapshot::plain(plain)?, is_here, None))
        });
        let mut candidates: Vec<_> = packed.chain(plain).collect();
        order::newest_first(&mut candidates, |(snapshot, ..)| snapshot.mark());
        // Of an old plain one both copies are told, the file first.
        let mut seen = BTreeSet::new();
        candidates.retain(|(snapshot, ..)| seen.insert(snapshot.id));
        let (mut standing, mut is_found) = (Self::default(), false);
        standing.backwards = Backwards::newest(candidates.iter().rev().map(|(snapshot, ..)| snapshot));
        for (snapshot, is_here, local) in candidates {
            let id = snapshot.id;
            let told = |reason| format!("{}: {reason}", snapshot.name);
            if is_found {
                standing.older_bad.extend(known.noted(id, is_here).map(told));
                continue;
            }
            let is_ahead = is_ahead(snapshot.created_at, now);
            if is_ahead {
                standing.ahead.get_or_insert_with(|| snapshot.clone());
            }
            match known.of(id, is_here, local)? {
                Some(reason) => standing.bad.push(told(reason)),
                None => {
                    is_found = !is_ahead;
                    standing.good = Some(snapshot);
                }
            }
        }
        Ok(standing)
    }
}

#[cfg(test)]
#[path = "standing_tests.rs"]
mod tests;
