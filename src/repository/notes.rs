//! Notes: small JSON files of this host below `local/`, one way of reading them.
//!
//! They are written atomically, so a damaged one is a disk's doing, and says nothing any more. It stops no
//! operation: it is named in a warning, counts as none, and whoever holds the exclusive lock moves it aside. Each
//! kind of note is such that having none is safe. A note that cannot be read right now is another matter.

use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::folder::Repository;
use crate::error::Result;
use crate::storage::{io_error, sync_folder};

/// Kinds of notes that are about one snapshot and are written before its manifest.
const AHEAD_OF_A_MANIFEST: [&str; 3] = ["local/rows/", "local/pending/", "local/operations/"];

/// Between the name of a note that was moved aside and the time.
pub(crate) const DAMAGED: &str = ".damaged-";

/// While it is there, this process holds the exclusive lock.
pub(crate) struct Exclusive(Repository);

impl Drop for Exclusive {
    fn drop(&mut self) {
        self.0.exclusive.store(false, Ordering::Relaxed);
    }
}

impl Repository {
    /// Says that this process holds the exclusive lock, until what is returned is dropped.
    pub(crate) fn hold_exclusively(&self) -> Exclusive {
        self.exclusive.store(true, Ordering::Relaxed);
        Exclusive(self.clone())
    }

    /// Reads a note; `None` when there is none, or none that can be understood.
    pub(crate) fn read_note<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>> {
        // One that was moved aside is listed with the others.
        if key.contains(DAMAGED) {
            return Ok(None);
        }
        let path = self.path(key);
        let mut text = Vec::new();
        let read = File::open(&path).and_then(|mut file| file.read_to_end(&mut text));
        let reason = match read {
            Ok(_) => match serde_json::from_slice(&text) {
                Ok(note) => return Ok(Some(note)),
                Err(error) => error.to_string(),
            },
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) if error.kind() == ErrorKind::IsADirectory => error.to_string(),
            Err(error) => return Err(io_error("read", &path, error)),
        };
        self.pass_over(key, &reason)?;
        Ok(None)
    }

    /// Every note of a folder that can be understood, with the id in its name. Other names are not ours.
    pub(crate) fn notes<T: DeserializeOwned>(&self, folder: &str) -> Result<Vec<(Uuid, T)>> {
        let mut notes = Vec::new();
        for id in self.note_ids(folder)? {
            if let Some(note) = self.read_note(&format!("{folder}{id}"))? {
                notes.push((id, note));
            }
        }
        Ok(notes)
    }

    /// What a folder has notes about, whatever they say.
    pub(crate) fn note_ids(&self, folder: &str) -> Result<Vec<Uuid>> {
        let path = self.path(folder);
        let entries = match fs::read_dir(&path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(io_error("list", &path, error)),
        };
        let mut ids = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|error| io_error("list", &path, error))?;
            ids.extend(entry.file_name().to_str().and_then(|name| Uuid::try_parse(name).ok()));
        }
        ids.sort();
        Ok(ids)
    }

    fn pass_over(&self, key: &str, reason: &str) -> Result<()> {
        let mut named = self.named.lock().unwrap_or_else(PoisonError::into_inner);
        if named.insert(key.to_owned()) {
            let file = self.path(key);
            tracing::warn!(file = %file.display(), reason, "a damaged note counts as none; a call that writes keeps it as <name>.damaged-<time>");
        }
        match self.exclusive.load(Ordering::Relaxed) {
            true => self.set_aside(key).map(drop),
            false => Ok(()),
        }
    }

    /// Moves a note that cannot be understood out of the way, to `<key>.damaged-<time>`. Returns its new name.
    pub(crate) fn set_aside(&self, key: &str) -> Result<String> {
        let from = self.path(key);
        let time = format!("{:.3}", jiff::Timestamp::now()).replace([':', '.'], "-");
        let aside = format!("{key}{DAMAGED}{time}");
        self.check_held()?;
        match fs::rename(&from, self.path(&aside)) {
            Ok(()) => sync_folder(from.parent().unwrap_or(self.root()))?,
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(io_error("move aside", &from, error)),
        }
        Ok(aside)
    }

    /// Removes notes about snapshots that are gone or never came to be: whatever made them failed, or was
    /// killed. Below the exclusive lock.
    pub(crate) fn forget_notes_of_nothing(&self) -> Result<()> {
        for folder in AHEAD_OF_A_MANIFEST {
            for id in self.note_ids(folder)? {
                let is_here = !self.local().list(&format!("snapshots/{id}."))?.is_empty();
                // One that was brought back may be in the bucket alone.
                if !is_here && !self.has_seen_in_bucket(id)? {
                    remove_note(self, &format!("{folder}{id}"))?;
                }
            }
        }
        Ok(())
    }

    fn has_seen_in_bucket(&self, id: Uuid) -> Result<bool> {
        let seen = self.local().list(&format!("local/heads/{id}."))?;
        Ok(self.bucket().is_some() && !seen.is_empty())
    }
}

/// Also where a disk has made something else of it.
fn remove_note(repository: &Repository, key: &str) -> Result<()> {
    let path = repository.path(key);
    repository.check_held()?;
    match fs::remove_file(&path) {
        Err(error) if error.kind() == ErrorKind::IsADirectory => repository.set_aside(key).map(drop),
        Err(error) if error.kind() != ErrorKind::NotFound => Err(io_error("remove", &path, error)),
        _ => Ok(()),
    }
}
