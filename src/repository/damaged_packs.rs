//! Packs that somebody found damaged. Other snapshots share them, so no new one is to be built on them.
//!
//! Whoever reads a pack and finds it damaged says so to the process; at the end of a job that becomes a note
//! `local/damaged-packs/<uuid>.<tier>`. The note goes when the pack has gone, or when every page of it was read again
//! and is right: that a snapshot can do without the damaged page says nothing of the pack.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Repository;
use super::extents::Extent;
use super::manifest::{Head, Manifest};
use super::pack::PackEntry;
use super::pack_reader::PackReader;
use super::tiers::Tier;
use crate::error::{Code, Error, Result};
use crate::storage::Store;

const NOTES: &str = "local/damaged-packs/";

/// What was found since the process began; a worker lives for one job.
static FOUND: Mutex<Vec<Note>> = Mutex::new(Vec::new());

/// A damaged pack.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Note {
    pack: PackEntry,
    tier: Tier,
    /// Positions of the pages that are damaged, as far as they were read; `None`: nobody can tell which are not.
    pages: Option<Vec<Range<u32>>>,
    reason: String,
    at: Timestamp,
}

impl Note {
    /// Adds what was known before.
    fn and(mut self, known: Self) -> Self {
        self.pages = self.pages.zip(known.pages).map(|(mut pages, known)| {
            pages.extend(
                known
                    .into_iter()
                    .filter(|range| !pages.contains(range))
                    .collect::<Vec<_>>(),
            );
            pages
        });
        self
    }

    fn concerns(&self, extent: &Extent) -> bool {
        let is_within =
            |range: &Range<u32>| range.start < extent.position + extent.count && extent.position < range.end;
        self.pages.as_ref().is_none_or(|pages| pages.iter().any(is_within))
    }

    fn key(&self) -> String {
        let tier = match self.tier {
            Tier::Local => "local",
            Tier::S3 => "s3",
        };
        format!("{NOTES}{}.{tier}", self.pack.id)
    }
}

/// Says that a pack is damaged where it was read: in the pages at these positions, or wherever.
pub(super) fn found(pack: &PackEntry, is_far: bool, pages: Option<Range<u32>>, why: &Error) {
    let note = Note {
        pack: pack.clone(),
        tier: if is_far { Tier::S3 } else { Tier::Local },
        pages: pages.map(|pages| vec![pages]),
        reason: why.to_string(),
        at: Timestamp::now(),
    };
    let mut found = FOUND.lock().unwrap_or_else(PoisonError::into_inner);
    let note = match found.iter().position(|known| known.key() == note.key()) {
        Some(known) => note.and(found.remove(known)),
        None => note,
    };
    found.push(note);
}

/// Says that what came from the bucket is damaged; the copy of it goes.
pub(super) fn found_far(pack: &PackEntry, why: &Error) {
    let mut all = FOUND.lock().unwrap_or_else(PoisonError::into_inner);
    all.retain(|known| known.pack.id != pack.id);
    drop(all);
    found(pack, true, None, why);
}

/// Says that the way to the bucket was at fault: read once more, the pack is right.
pub(super) fn was_the_way(pack: &PackEntry) {
    let mut found = FOUND.lock().unwrap_or_else(PoisonError::into_inner);
    found.retain(|known| known.tier != Tier::S3 || known.pack.id != pack.id);
}

/// Writes down what was found of the packs of this repository. Best effort: whoever found it says it all the same.
pub(crate) fn write_down(repository: &Repository) {
    if !repository.is_made() {
        return;
    }
    let is_here = |note: &Note| match note.tier {
        Tier::Local => repository.path(&note.pack.key()).exists(),
        Tier::S3 => repository.bucket().is_some(),
    };
    let (mine, others) = {
        let mut found = FOUND.lock().unwrap_or_else(PoisonError::into_inner);
        found.drain(..).partition::<Vec<Note>, _>(|note| is_here(note))
    };
    FOUND.lock().unwrap_or_else(PoisonError::into_inner).extend(others);
    for note in mine {
        let note = match repository.read_note(&note.key()) {
            Ok(Some(known)) => note.and(known),
            _ => note,
        };
        if let Err(error) = repository.replace_json_beside(&note.key(), &note)
            && error.code != Code::RepositoryUnwritable
        {
            tracing::warn!(pack = %note.pack.id, reason = %error, "it could not be written down that a pack is damaged");
        }
    }
}

/// Damage of the local tier, for whoever asks about a snapshot.
pub(crate) struct Here {
    notes: Vec<Note>,
}

impl Here {
    /// With a bucket none counts: what is damaged here is read from there.
    pub(crate) fn read(repository: &Repository) -> Result<Self> {
        let mut notes = match repository.bucket() {
            None => notes(repository)?,
            Some(_) => Vec::new(),
        };
        notes.retain(|note| note.tier == Tier::Local);
        Ok(Self { notes })
    }

    /// Why a snapshot cannot be whole; `None` where it needs no page that is known to be damaged.
    pub(crate) fn known_against(&self, local: &dyn Store, head: &Head) -> Result<Option<String>> {
        if self.notes.is_empty() {
            return Ok(None);
        }
        let manifest = Manifest::open(local, &head.key())?;
        for extent in manifest.extents()? {
            let extent = extent?;
            let Some(pack) = (extent.pack as usize)
                .checked_sub(1)
                .and_then(|index| manifest.packs.get(index))
            else {
                continue;
            };
            let is_it = |note: &&Note| note.pack.id == pack.id && note.concerns(&extent);
            if let Some(note) = self.notes.iter().find(is_it) {
                return Ok(Some(note.reason.clone()));
            }
        }
        Ok(None)
    }
}

/// The packs that new snapshots do without. Below the exclusive lock: notes of packs that have gone are removed.
pub(crate) fn known(repository: &Repository) -> Result<BTreeSet<Uuid>> {
    let mut known = BTreeSet::new();
    for note in notes(repository)? {
        let has_gone = note.tier == Tier::Local && !repository.path(&note.pack.key()).exists();
        if !has_gone {
            known.insert(note.pack.id);
        } else if let Err(error) = repository.local().remove(&note.key()) {
            tracing::warn!(reason = %error, "the note about a pack that has gone could not be removed");
        }
    }
    Ok(known)
}

/// Reads the packs of a tier again that have a note, and takes it from those that are right by now.
pub(crate) fn look_again(repository: &Repository, tier: Tier, store: &dyn Store) -> Result<()> {
    for note in notes(repository)?.into_iter().filter(|note| note.tier == tier) {
        let read = PackReader::open(store, &note.pack).and_then(|pack| pack.read_all());
        let has_gone = || store.list(&note.pack.key()).map(|objects| objects.is_empty());
        if read.is_ok() || has_gone()? {
            repository.local().remove(&note.key())?;
        }
    }
    Ok(())
}

fn notes(repository: &Repository) -> Result<Vec<Note>> {
    let mut notes: Vec<Note> = Vec::new();
    for object in repository.local().list(NOTES)? {
        notes.extend(repository.read_note::<Note>(&object.key)?);
    }
    Ok(notes)
}

#[cfg(test)]
#[path = "damaged_packs_tests.rs"]
mod tests;
