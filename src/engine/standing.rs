//! Which snapshots of a database there are, and which of them can be relied on.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::Serialize;

use super::known_damage::KnownDamage;
use crate::database::plain_snapshots::{Place, PlainSnapshot};
use crate::error::Result;
use crate::record::Status;
use crate::repository::Repository;
use crate::repository::clock::is_ahead;
use crate::repository::manifest::Head;

/// A snapshot that is complete.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Snapshot {
    pub(super) name: String,
    pub(super) created_at: Timestamp,
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
    /// Newest one that is dated in the future.
    pub(super) ahead: Option<Snapshot>,
}

impl Snapshot {
    fn packed(head: &Head) -> Self {
        Self {
            name: head.name.clone(),
            created_at: head.created_at,
            size: head.size(),
            unjudged: head.unjudged.clone(),
        }
    }

    /// `None` when it is not complete.
    fn plain(plain: &PlainSnapshot) -> Option<Self> {
        let record = &plain.record;
        (record.status == Status::Completed).then(|| Self {
            name: record.name.clone(),
            created_at: record.created_at,
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
    complete(heads, plain).max_by_key(|snapshot| snapshot.created_at)
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
            (Snapshot::packed(head), head.id, local.is_some(), local)
        });
        let plain = plain.iter().filter_map(|plain| {
            let is_here = matches!(plain.place, Place::File(_));
            Some((Snapshot::plain(plain)?, plain.note_id(), is_here, None))
        });
        let mut candidates: Vec<_> = packed.chain(plain).collect();
        candidates.sort_by_key(|(snapshot, ..)| std::cmp::Reverse(snapshot.created_at));
        // Of an old plain one both copies are told, the file first.
        let mut seen = BTreeSet::new();
        candidates.retain(|(_, id, ..)| seen.insert(*id));
        let (mut standing, mut is_found) = (Self::default(), false);
        for (snapshot, id, is_here, local) in candidates {
            let is_ahead = is_ahead(snapshot.created_at, now);
            if is_ahead {
                standing.ahead.get_or_insert_with(|| snapshot.clone());
            }
            let told = |reason| format!("{}: {reason}", snapshot.name);
            if is_found {
                standing.older_bad.extend(known.noted(id, is_here).map(told));
                continue;
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
