//! What is known against a snapshot without reading its pages: a verification that found damage, and packs that are
//! missing or have another size.
//!
//! A verification that found damage leaves a note `local/damage/<uuid>.<tier>`, which stays until the snapshot
//! verifies good. Notes about snapshots that are gone are passed over. No later snapshot is built on one with a note, nor
//! on a pack that anybody has found damaged ([`damaged_packs`]), whichever snapshot that was of.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Context;
use super::create;
use super::verify::{Level, Verdict};
use crate::error::{Code, Result, fail};
use crate::repository::manifest::{self, Head};
use crate::repository::tiers::Tier;
use crate::repository::{Repository, damaged_packs, mirror, survey};
use crate::storage::Store;

const NOTES: &str = "local/damage/";
/// Notes that are kept.
const KEPT: usize = 100;

/// A verification that found damage.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Note {
    id: Uuid,
    /// The tier that was verified; `None`: both, local first.
    tier: Option<Tier>,
    /// How deep a verification has to go to say that the damage is gone.
    level: Level,
    reason: String,
    at: Timestamp,
}

impl Note {
    fn key(&self) -> String {
        key(self.id, self.tier)
    }
}

fn key(id: Uuid, tier: Option<Tier>) -> String {
    let tier = match tier {
        None => "any",
        Some(Tier::Local) => "local",
        Some(Tier::S3) => "s3",
    };
    format!("{NOTES}{id}.{tier}")
}

/// Remembers what a verification of a snapshot said. Best effort: it is said all the same.
pub(crate) fn remember(context: &Context, id: Uuid, verdict: &Verdict) {
    if !context.repository.is_made() {
        return;
    }
    let noted = match verdict.problems.first() {
        Some(problem) if verdict.damaged => note(context, id, verdict.level, problem),
        _ => settle(context, id, verdict.level),
    };
    if let Err(error) = noted
        && error.code != Code::RepositoryUnwritable
    {
        tracing::warn!(code = error.code.as_str(), reason = %error, "what the verification found could not be written down for status and metrics");
    }
}

fn note(context: &Context, id: Uuid, level: Level, problem: &str) -> Result<()> {
    let tier = tier(context);
    let known = context.repository.read_note::<Note>(&key(id, tier))?;
    let note = Note {
        id,
        tier,
        level: known.map_or(level, |known| known.level.max(level)),
        reason: problem.to_owned(),
        at: create::now(),
    };
    context.repository.replace_json(&note.key(), &note)?;
    let mut notes = notes(&context.repository)?;
    notes.sort_by_key(|note| std::cmp::Reverse((note.at, note.id)));
    let too_old = notes.iter().skip(KEPT);
    too_old
        .map(Note::key)
        .try_for_each(|key| context.repository.local().remove(&key))
}

/// A snapshot that is good in one tier can be read from both; the reverse does not hold.
fn settle(context: &Context, id: Uuid, level: Level) -> Result<()> {
    let good = tier(context);
    for note in notes(&context.repository)? {
        let is_meant = note.id == id && (note.tier == good || note.tier.is_none());
        if is_meant && note.level <= level {
            context.repository.local().remove(&note.key())?;
        }
    }
    if level < Level::Data {
        return Ok(());
    }
    let read = match good {
        // Local first: what the bucket has was not looked at.
        None | Some(Tier::Local) => Tier::Local,
        Some(Tier::S3) => Tier::S3,
    };
    damaged_packs::look_again(&context.repository, read, &*context.repository.reading(Some(read))?)
}

/// Writes down which packs of a repository were found damaged by this process, whatever it was doing.
pub(crate) fn remember_packs(repository: &Repository) {
    damaged_packs::write_down(repository);
}

/// The tier that a verification reads. Without a bucket there is one, whether it was named or not.
fn tier(context: &Context) -> Option<Tier> {
    match context.repository.bucket() {
        None => Some(Tier::Local),
        Some(_) => context.tier,
    }
}

fn notes(repository: &Repository) -> Result<Vec<Note>> {
    let mut notes = Vec::new();
    for object in repository.local().list(NOTES)? {
        notes.extend(repository.read_note::<Note>(&object.key)?);
    }
    Ok(notes)
}

/// Everything that is known.
pub(crate) struct KnownDamage<'a> {
    repository: &'a Repository,
    notes: Vec<Note>,
    packs: damaged_packs::Here,
}

impl<'a> KnownDamage<'a> {
    pub(crate) fn read(repository: &'a Repository) -> Result<Self> {
        let notes = notes(repository)?;
        let packs = damaged_packs::Here::read(repository)?;
        Ok(Self {
            repository,
            notes,
            packs,
        })
    }

    /// What a verification said against a snapshot. `is_here`: whether the local tier has it.
    pub(crate) fn noted(&self, id: Uuid, is_here: bool) -> Option<String> {
        let counts = |note: &&Note| match note.tier {
            Some(Tier::Local) => is_here,
            Some(Tier::S3) => self.repository.bucket().is_some(),
            None => true,
        };
        let mut notes = self.notes.iter().filter(|note| note.id == id).filter(counts);
        notes.next().map(|note| note.reason.clone())
    }

    /// As [`KnownDamage::noted`], or what is missing, or damaged in a pack that it shares. `here`: its local manifest.
    pub(crate) fn of(&self, id: Uuid, is_here: bool, here: Option<&Head>) -> Result<Option<String>> {
        if let Some(noted) = self.noted(id, is_here) {
            return Ok(Some(noted));
        }
        let Some(head) = here else { return Ok(None) };
        if let Some(gap) = gap(self.repository, head)? {
            return Ok(Some(gap));
        }
        match self.packs.known_against(&**self.repository.local(), head) {
            // It has been repacked or removed since it was listed.
            Err(error) if error.code == Code::SnapshotDamaged => Ok(None),
            known => known,
        }
    }
}

/// Fails when a verification found the local copy of a snapshot damaged: what is built on it would be as well, and
/// nobody would know.
pub(crate) fn refuse(repository: &Repository, head: &Head) -> Result<()> {
    let notes = notes(repository)?;
    let is_meant = |note: &&Note| note.id == head.id && note.tier != Some(Tier::S3);
    match notes.iter().find(is_meant) {
        Some(note) => fail!(SnapshotDamaged, "a verification said: {}", note.reason),
        None => Ok(()),
    }
}

/// What the local tier lacks of a snapshot. No lock is taken, so what is missing is looked for a second time: the
/// snapshot may have been repacked or removed since it was listed.
fn gap(repository: &Repository, head: &Head) -> Result<Option<String>> {
    let local = &**repository.local();
    if gap_of(local, &head.key())?.is_none() {
        return Ok(None);
    }
    match survey::newest(local, head.id)? {
        Some((generation, _)) => gap_of(local, &manifest::key(head.id, generation)),
        None => Ok(None),
    }
}

fn gap_of(local: &dyn Store, key: &str) -> Result<Option<String>> {
    let packs = match manifest::pack_table(local, key) {
        Ok((_, packs)) => packs,
        Err(error) if error.code == Code::SnapshotDamaged => return Ok(Some(error.to_string())),
        Err(error) => return Err(error),
    };
    // Listed after the manifest was read: what it names was there before it.
    let there = mirror::inventory(local)?;
    Ok(packs.iter().find_map(|pack| match there.get(&pack.key()) {
        Some(size) if *size == pack.size => None,
        Some(size) => Some(format!("{} has {size} bytes instead of {}", pack.key(), pack.size)),
        None => Some(format!("{} is missing", pack.key())),
    }))
}

#[cfg(test)]
#[path = "known_damage_tests.rs"]
mod tests;
