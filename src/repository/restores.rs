//! The journal of restores: what is about to be done is written before it is done, the outcome
//! after it. It outlives the database's own `Snapshot` table, which a restore rewinds.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::folder::Repository;
use super::notes::DAMAGED;
use super::order::{self, Mark};
use crate::error::Result;
use crate::storage::{FileId, Moved, Object};

const FOLDER: &str = "local/restores/";
/// A file for each restore whose outcome nobody may have heard of. Not in the entry: it goes when
/// the repository's lock has been given back, and others may have changed the entry by then.
const UNTOLD: &str = "local/untold/";
/// Finished entries that are kept.
const KEPT: usize = 100;

/// How far a restore got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Outcome {
    /// Written down, not known to be finished.
    Begun,
    Done,
    Failed,
}

/// One restore.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Restore {
    pub(crate) id: Uuid,
    pub(crate) snapshot: Uuid,
    pub(crate) snapshot_name: String,
    /// Canonical path of the database.
    pub(crate) database: std::path::PathBuf,
    /// What the database held before; `None` when there was none.
    pub(crate) safety: Option<Uuid>,
    /// Device and inode of the file before. Nothing is concluded from it any more, nor from the next: an earlier version
    /// that shares the repository cannot read an entry without them.
    pub(crate) identity_before: Option<(u64, u64)>,
    /// Schema cookie before.
    pub(crate) cookie_before: Option<u32>,
    /// The cookie that the transaction sets. It is drawn for this restore, so finding it proves the commit.
    #[serde(default)]
    pub(crate) cookie: Option<u32>,
    /// The files that get other names, the database first.
    #[serde(default)]
    pub(crate) moved: Vec<Moved>,
    /// The file that is published as the database.
    #[serde(default)]
    pub(crate) published: Option<FileId>,
    /// The database was in WAL mode, and is taken out of it to be exchanged as one file.
    #[serde(default)]
    pub(crate) was_wal: bool,
    pub(crate) outcome: Outcome,
    /// Without anything that a command of the application has said: that is told, not kept.
    pub(crate) message: Option<String>,
    pub(crate) at: Timestamp,
    /// Its number in the order of things (`order.rs`): given when it begins, and anew when it has taken place, so that
    /// it comes after the safety snapshot. Entries of earlier versions have none.
    #[serde(default)]
    pub(crate) sequence: Option<u64>,
    /// The table was brought up to date after it; a locked table is left to the next call.
    #[serde(default)]
    pub(crate) mirrored: bool,
    /// Already taken back by `undoRestore`.
    #[serde(default)]
    pub(crate) undone: bool,
    /// Its process ended before it had taken place.
    #[serde(default)]
    pub(crate) cut_off: bool,
    /// What it takes back, once it has taken place.
    #[serde(default)]
    pub(crate) undoes: Option<Undoes>,
}

/// A restore that another one takes back.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Undoes {
    pub(crate) id: Uuid,
    /// Why it counts as failed; `None`: somebody has asked for it.
    pub(crate) because: Option<String>,
}

impl Restore {
    pub(crate) fn mark(&self) -> Mark {
        Mark {
            sequence: self.sequence,
            created_at: self.at,
            id: self.id,
        }
    }

    fn key(&self) -> String {
        format!("{FOLDER}{}", self.id)
    }

    fn untold_key(&self) -> String {
        format!("{UNTOLD}{}", self.id)
    }

    /// Writes the entry, or its new state.
    pub(crate) fn save(&self, repository: &Repository) -> Result<()> {
        if self.outcome == Outcome::Begun && !self.is_untold(repository) {
            repository.replace_private_json(&self.untold_key(), &self.snapshot_name)?;
        }
        repository.replace_private_json(&self.key(), self)
    }

    /// Notes in the restore that this one has taken back that it is undone.
    pub(crate) fn settle_undone(&self, repository: &Repository) -> Result<()> {
        let Some(Undoes { id, because }) = &self.undoes else {
            return Ok(());
        };
        let Some(mut undone) = all(repository)?.into_iter().find(|restore| restore.id == *id) else {
            return Ok(());
        };
        undone.undone = true;
        if let Some(because) = because {
            (undone.outcome, undone.message) = (Outcome::Failed, Some(because.clone()));
        }
        undone.save(repository)
    }

    /// Whether it is possible that nobody heard what became of it: its process was killed, or whoever
    /// had asked for it was gone.
    pub(crate) fn is_untold(&self, repository: &Repository) -> bool {
        repository.path(&self.untold_key()).exists()
    }

    /// Removes an entry: of what is long over, or never began.
    pub(crate) fn forget(&self, repository: &Repository) -> Result<()> {
        repository.local().remove(&self.key())?;
        self.tell(repository)
    }

    /// Its outcome is about to be told.
    pub(crate) fn tell(&self, repository: &Repository) -> Result<()> {
        repository.local().remove(&self.untold_key())
    }
}

/// Whether an entry that was damaged is younger than this one: then nobody knows which restore was the last.
pub(crate) fn is_followed_by_damage(repository: &Repository, restore: &Restore) -> Result<bool> {
    let entries = repository.local().list(FOLDER)?;
    let own = entries.iter().find(|object| object.key == restore.key());
    let is_damaged = |object: &Object| object.key.contains(DAMAGED);
    let is_younger = |object: &Object| own.is_none_or(|own| own.modified < object.modified);
    Ok(entries.iter().any(|object| is_damaged(object) && is_younger(object)))
}

/// Every entry, oldest first.
pub(crate) fn all(repository: &Repository) -> Result<Vec<Restore>> {
    // One that cannot be read never counts, neither as done nor as something to settle.
    let entries = repository.notes::<Restore>(FOLDER)?;
    let mut restores: Vec<Restore> = entries.into_iter().map(|(_, restore)| restore).collect();
    order::oldest_first(&mut restores, Restore::mark);
    Ok(restores)
}

/// Forgets the oldest finished entries.
pub(crate) fn trim(repository: &Repository) -> Result<()> {
    let finished: Vec<Restore> = all(repository)?
        .into_iter()
        .filter(|restore| restore.outcome != Outcome::Begun)
        .collect();
    // Of each database by itself: one that is restored every hour must not take another's undo away.
    for (index, old) in finished.iter().enumerate() {
        let newer = finished[index + 1..].iter();
        if newer.filter(|newer| newer.database == old.database).count() >= KEPT {
            old.forget(repository)?;
        }
    }
    Ok(())
}
