//! One writer at a time: a lock on a file of the repository, which excludes threads, instances
//! and processes alike and dies with its holder.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::error::{Code, Error, Result, fail};
use crate::storage::{Anchor, adopt, io_error, is_at, make_folder};

/// How often a waiting operation looks again.
const POLL: Duration = Duration::from_millis(20);

/// Who holds the lock, for the message of those who wait in vain.
#[derive(Serialize, Deserialize)]
struct Holder {
    pid: u32,
    operation: String,
    since: Timestamp,
}

/// The lock, held until dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    file: File,
    path: PathBuf,
    /// Names us while we hold the lock exclusively.
    holder: Option<PathBuf>,
}

/// What a lock is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    /// The objects of the local tier.
    Repository,
    /// Who copies between the tiers, which takes long and needs no other lock.
    Mirror,
    /// Who claims the tick of a schedule.
    Schedule,
    /// The counters, for the moment of counting.
    Counters,
}

impl Subject {
    const fn file(self) -> &'static str {
        match self {
            Self::Repository => "lock",
            Self::Mirror => "mirror.lock",
            Self::Schedule => "schedule.lock",
            Self::Counters => "metrics.lock",
        }
    }

    fn holder_path(self, root: &Path) -> PathBuf {
        root.join("local").join(match self {
            Self::Repository => "lock.json",
            Self::Mirror => "mirror.json",
            Self::Schedule => "schedule.lock.json",
            Self::Counters => "metrics.lock.json",
        })
    }
}

/// Shared for reading, exclusive for everything that adds or removes objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Shared,
    Exclusive,
}

impl Lock {
    /// Waits for the lock until `timeout`, then `REPOSITORY_BUSY` names the holder.
    pub(crate) fn acquire(
        root: &Path,
        subject: Subject,
        mode: Mode,
        operation: &str,
        timeout: Duration,
    ) -> Result<Self> {
        let deadline = Instant::now() + timeout;
        let (file, path) = loop {
            let (file, path) = open_file(root, subject)?;
            wait_for(&file, &path, mode, deadline, || busy(root, subject, timeout))?;
            // Whoever comes next locks what is at the path then; on anything else we would not be alone.
            let is_there = is_at(&file, &path).map_err(|error| io_error("look at the lock", &path, error))?;
            if is_there {
                break (file, path);
            }
            if Instant::now() >= deadline {
                fail!(
                    RepositoryMoved,
                    "{} was replaced while it was waited for; nothing was changed",
                    path.display()
                );
            }
        };
        // Only for messages, all of it: failing must not fail the operation.
        if mode == Mode::Shared {
            // The writer before is gone, and is not to be blamed for a reader.
            let _ = std::fs::remove_file(subject.holder_path(root));
        } else {
            let holder = Holder {
                pid: std::process::id(),
                operation: operation.to_owned(),
                since: Timestamp::now(),
            };
            if let Ok(json) = serde_json::to_vec(&holder) {
                let _ = std::fs::write(subject.holder_path(root), json);
                let _ = adopt(&subject.holder_path(root), root);
            }
        }
        let holder = (mode == Mode::Exclusive).then(|| subject.holder_path(root));
        Ok(Self { file, path, holder })
    }

    /// From now on `anchor` tells whether this lock is still the one at its path: whoever finds
    /// another file there, or none, may get a lock of their own.
    pub(super) fn anchor(&self, anchor: &Anchor) -> Result<()> {
        anchor.cast(&self.path, &self.file)
    }
}

fn open_file(root: &Path, subject: Subject) -> Result<(File, PathBuf)> {
    let folder = root.join("local");
    make_folder(&folder, root)?;
    let path = folder.join(subject.file());
    let is_new = !path.exists();
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(&path)
        .map_err(|error| io_error("open the lock", &path, error))?;
    if is_new {
        adopt(&path, root)?;
    }
    Ok((file, path))
}

fn wait_for(file: &File, path: &Path, mode: Mode, deadline: Instant, busy: impl FnOnce() -> Error) -> Result<()> {
    loop {
        let attempt = match mode {
            Mode::Shared => file.try_lock_shared(),
            Mode::Exclusive => file.try_lock(),
        };
        match attempt {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => std::thread::sleep(POLL),
            Err(TryLockError::WouldBlock) => return Err(busy()),
            Err(TryLockError::Error(error)) => return Err(io_error("lock", path, error)),
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Where another file has taken the lock's place, the name may be another holder's.
        if let Some(holder) = &self.holder
            && is_at(&self.file, &self.path).unwrap_or(false)
        {
            let _ = std::fs::remove_file(holder);
        }
        let _ = self.file.unlock();
    }
}

fn busy(root: &Path, subject: Subject, timeout: Duration) -> Error {
    let holder = std::fs::read(subject.holder_path(root))
        .ok()
        .and_then(|json| serde_json::from_slice::<Holder>(&json).ok());
    let who = holder.map_or_else(
        || "another operation".to_owned(),
        |holder| {
            format!(
                "process {} ({} since {:.0})",
                holder.pid, holder.operation, holder.since
            )
        },
    );
    Error::new(
        Code::RepositoryBusy,
        format!(
            "{} is in use by {who}; gave up after {} ms, nothing was changed",
            root.display(),
            timeout.as_millis()
        ),
    )
}

#[cfg(test)]
#[path = "lock_tests.rs"]
mod tests;
