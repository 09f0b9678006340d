//! Counters that outlive the processes that count: `local/metrics.json`, one set for each database.
//!
//! A job adds what it did in one step, under a lock of its own. A process that was killed adds nothing, so whoever
//! makes a snapshot keeps a locked note in `local/running/` meanwhile: a note that nobody holds is a failure.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tempfile::{NamedTempFile, TempPath};
use uuid::Uuid;

use super::folder::Repository;
use super::lock::{Lock, Mode, Subject};
use super::order::Mark;
use crate::config::Check;
use crate::error::{Code, Error, Result};
use crate::failpoint;
use crate::storage::{adopt, io_error, make_folder, replace};

const FILE: &str = "local/metrics.json";
const UNFINISHED: &str = "local/metrics.json.new";
const NOTES: &str = "local/running";
/// The lock is held for milliseconds; counting is not worth a longer wait.
const PATIENCE: Duration = Duration::from_secs(5);

/// Upper bounds of the histogram of durations, in milliseconds; what took longer is in one more bucket.
pub(crate) const BOUNDS: [u64; 8] = [100, 500, 1_000, 5_000, 15_000, 60_000, 300_000, 1_800_000];

/// What has been done for one database since somebody began to count.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Counters {
    /// Calls of `createSnapshot` that resolved, and those that did not.
    pub(crate) created: u64,
    pub(crate) failed: u64,
    /// Of the last call, when it failed for a reason that may stop the next one as well.
    pub(crate) last_failure: Option<Failure>,
    /// When the newest snapshot was made, complete locally at least.
    pub(crate) last_created: Option<Timestamp>,
    /// Bytes of its image.
    pub(crate) last_size: Option<u64>,
    /// Calls by duration, as [`BOUNDS`] divide them.
    pub(crate) durations: Vec<u64>,
    pub(crate) duration_ms: u64,
    /// Bytes that all snapshots added to the local repository.
    pub(crate) added_bytes: u64,
    pub(crate) uploads: u64,
    pub(crate) upload_failures: u64,
    pub(crate) uploaded_bytes: u64,
    pub(crate) last_uploaded: Option<Timestamp>,
    pub(crate) restores: u64,
    pub(crate) restore_failures: u64,
    pub(crate) verified_good: u64,
    pub(crate) verified_bad: u64,
    /// Drills by outcome.
    pub(crate) drills: BTreeMap<String, u64>,
    pub(crate) integrity: Option<Integrity>,
    pub(crate) in_bucket: Option<InBucket>,
}

/// A call of `createSnapshot` that brought no snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Failure {
    pub(crate) at: Timestamp,
    pub(crate) code: String,
}

/// What SQLite said of the newest image that it has checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Integrity {
    pub(crate) healthy: bool,
    /// When the database was like that image.
    pub(crate) image_of: Timestamp,
    /// The number of its snapshot (`order.rs`).
    #[serde(default)]
    pub(crate) sequence: Option<u64>,
    /// How thoroughly it looked; of damage, how thoroughly it has to look to say that it is gone.
    pub(crate) level: Check,
}

/// What the bucket held when it was last listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct InBucket {
    pub(crate) snapshots: u64,
    pub(crate) bytes: u64,
    /// When the newest one of the database was made.
    #[serde(default)]
    pub(crate) newest: Option<Timestamp>,
    /// Its number (`order.rs`).
    #[serde(default)]
    pub(crate) sequence: Option<u64>,
}

impl Counters {
    pub(crate) fn count_created(&mut self, took: Duration) {
        let took = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let bucket = BOUNDS.iter().position(|bound| took <= *bound).unwrap_or(BOUNDS.len());
        self.durations.resize(BOUNDS.len() + 1, 0);
        self.durations[bucket] += 1;
        self.duration_ms += took;
        self.created += 1;
    }

    /// The database itself was found damaged. Nothing that is known of it is newer, and the next image that is checked
    /// is newer than this.
    pub(crate) fn found_damaged(&mut self, now: Timestamp, level: Check) {
        let image = Mark {
            sequence: self.integrity.and_then(|known| match known.healthy {
                true => known.sequence?.checked_add(1),
                false => known.sequence,
            }),
            created_at: now,
            id: Uuid::nil(),
        };
        self.examined(false, image, level);
    }

    /// An image was checked. The newest image decides: that an old snapshot is good says nothing of a database
    /// that was damaged since. And a check that would not have found the damage does not say that it is gone.
    pub(crate) fn examined(&mut self, healthy: bool, image: Mark, level: Check) {
        let found = Integrity {
            healthy,
            image_of: image.created_at,
            sequence: image.sequence,
            level,
        };
        let is_older = |known: Integrity| match (image.sequence, known.sequence) {
            (Some(number), Some(known)) => number < known,
            _ => image.created_at < known.image_of,
        };
        self.integrity = match self.integrity {
            Some(known) if is_older(known) => Some(known),
            Some(known) if !known.healthy && level < known.level => match healthy {
                true => Some(known),
                false => Some(Integrity {
                    level: known.level,
                    ..found
                }),
            },
            _ => Some(found),
        };
    }
}

/// All there is in the file.
#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Book {
    databases: BTreeMap<PathBuf, Counters>,
    /// Notes that are counted but may still be there: somebody was killed before removing them.
    counted: BTreeSet<Uuid>,
}

/// The counters of a database; without one, those of the only database that the repository knows.
pub(crate) fn read(repository: &Repository, database: Option<&Path>) -> Result<Counters> {
    if !repository.is_made() {
        return Ok(Counters::default());
    }
    // Who may only read the repository cannot take its locks, and goes without.
    let _lock = lock(repository, Mode::Shared).ok();
    let mut book = load(repository)?.unwrap_or_default();
    let dead = dead_notes(repository)?;
    book.count(&dead);
    let database = match database {
        Some(database) => Some(database.to_path_buf()),
        None if book.databases.len() == 1 => book.databases.keys().next().cloned(),
        None => None,
    };
    Ok(database
        .and_then(|database| book.databases.remove(&database))
        .unwrap_or_default())
}

/// Adds what a job did, and the failures of processes that died. `note` is that of the job.
pub(crate) fn add(
    repository: &Repository,
    database: &Path,
    note: Option<&Note>,
    change: impl FnOnce(&mut Counters),
) -> Result<()> {
    let _lock = lock(repository, Mode::Exclusive)?;
    let mut book = match load(repository)? {
        Some(book) => book,
        None => {
            repository.set_aside(FILE)?;
            Book::default()
        }
    };
    let mut done = dead_notes(repository)?;
    book.count(&done);
    change(book.databases.entry(database.to_path_buf()).or_default());
    if let Some(note) = note {
        done.insert(note.id, database.to_path_buf());
    }
    book.counted = done.keys().copied().collect();
    failpoint::reached("count.before-write")?;
    write(repository, &book)?;
    failpoint::reached("count.after-write")?;
    done.keys().try_for_each(|id| remove_note(repository, *id))
}

impl Book {
    fn count(&mut self, dead: &BTreeMap<Uuid, PathBuf>) {
        for (id, database) in dead {
            if !self.counted.contains(id) {
                self.databases.entry(database.clone()).or_default().failed += 1;
            }
        }
    }
}

/// Kept by a process while it makes a snapshot of a database.
#[derive(Debug)]
pub(crate) struct Note {
    id: Uuid,
    /// Locked for as long as the process lives.
    _file: File,
}

impl Note {
    pub(crate) fn leave(repository: &Repository, database: &Path) -> Result<Self> {
        // Whoever looks at notes holds the lock too, so nobody sees one that is not locked yet.
        let _lock = lock(repository, Mode::Exclusive)?;
        let id = Uuid::new_v4();
        let path = note_path(repository, id);
        make_folder(&repository.path(NOTES), repository.root())?;
        let mut file = File::create_new(&path).map_err(|error| io_error("create", &path, error))?;
        let text = serde_json::to_vec(database).map_err(encoding)?;
        file.lock()
            .and_then(|()| file.write_all(&text))
            .map_err(|error| io_error("write", &path, error))?;
        adopt(&path, repository.root())?;
        Ok(Self { id, _file: file })
    }

    /// Without counting anything: a job that could not be counted is no failure.
    pub(crate) fn take_back(self, repository: &Repository) -> Result<()> {
        remove_note(repository, self.id)
    }
}

/// Notes that no process holds, and the databases that they are about.
fn dead_notes(repository: &Repository) -> Result<BTreeMap<Uuid, PathBuf>> {
    let folder = repository.path(NOTES);
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(error) => return Err(io_error("list", &folder, error)),
    };
    let mut dead = BTreeMap::new();
    for entry in entries {
        let path = entry.map_err(|error| io_error("list", &folder, error))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let (Ok(id), Ok(file)) = (Uuid::try_parse(&name), File::open(&path)) else {
            continue;
        };
        if file.try_lock_shared().is_ok() {
            // Killed before it had written down the database: nobody knows which one.
            let database = fs::read(&path).ok().and_then(|text| serde_json::from_slice(&text).ok());
            dead.insert(id, database.unwrap_or_default());
        }
    }
    Ok(dead)
}

fn note_path(repository: &Repository, id: Uuid) -> PathBuf {
    repository.path(NOTES).join(id.to_string())
}

fn remove_note(repository: &Repository, id: Uuid) -> Result<()> {
    let path = note_path(repository, id);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(io_error("remove", &path, error)),
        _ => Ok(()),
    }
}

fn lock(repository: &Repository, mode: Mode) -> Result<Lock> {
    Lock::acquire(repository.root(), Subject::Counters, mode, "counting", PATIENCE)
}

/// What was counted so far; `None` when the file cannot be understood.
fn load(repository: &Repository) -> Result<Option<Book>> {
    let path = repository.path(FILE);
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Some(Book::default())),
        // Not to be understood either.
        Err(error) if error.kind() == ErrorKind::IsADirectory => Vec::new(),
        Err(error) => return Err(io_error("read", &path, error)),
    };
    Ok(serde_json::from_slice(&text)
        .inspect_err(|error| tracing::warn!(reason = %error, "{FILE} cannot be understood; counting starts from zero"))
        .ok())
}

/// Not by way of the scratch folder: that belongs to whoever holds the repository's lock.
fn write(repository: &Repository, book: &Book) -> Result<()> {
    let path = repository.path(UNFINISHED);
    let create = || {
        Ok(NamedTempFile::from_parts(
            File::create(&path)?,
            TempPath::try_from_path(&path)?,
        ))
    };
    let mut file = create().map_err(|error| io_error("create", &path, error))?;
    adopt(&path, repository.root())?;
    let json = serde_json::to_vec_pretty(book).map_err(encoding)?;
    file.write_all(&json).map_err(|error| io_error("write", &path, error))?;
    replace(file, &repository.path(FILE))
}

fn encoding(error: serde_json::Error) -> Error {
    Error::new(Code::Internal, "cannot encode JSON").because(error)
}

#[cfg(test)]
#[path = "counters_tests.rs"]
mod tests;
