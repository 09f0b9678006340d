//! The database's files under other names: moved aside as one set, and back.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::holders::{COMPANIONS, companion};
use super::raw_files::{file_error, file_id};
use crate::error::{Code, Error, Result, fail};
use crate::failpoint;
use crate::storage::{Moved, is_one_file, rename_no_replace, sync_folder};

/// What of the database is there, and the names that it is to get: one set, for SQLite opens
/// `<new name>` with `<new name>-wal`. The database itself comes first.
pub(super) fn plan(database: &Path, why: &str) -> Result<Vec<Moved>> {
    let name = free_name(database, why)?;
    let mut moves = Vec::new();
    for suffix in std::iter::once("").chain(COMPANIONS) {
        let (from, to) = (companion(database, suffix), companion(&name, suffix));
        if let Some(file) = file_id(database, &from)? {
            moves.push(Moved { from, to, file });
        }
    }
    Ok(moves)
}

/// The part of a plan that is carried out so far, in order.
pub(super) struct MovedSet<'a> {
    database: &'a Path,
    plan: &'a [Moved],
    moved: Vec<&'a Moved>,
}

impl<'a> MovedSet<'a> {
    pub(super) fn of(database: &'a Path, plan: &'a [Moved]) -> Self {
        Self {
            database,
            plan,
            moved: Vec::new(),
        }
    }

    /// The database itself, unless it was missing.
    pub(super) fn main(&self) -> Option<&'a Moved> {
        main(self.database, self.plan)
    }

    /// What the plan names beside the database.
    pub(super) fn companions(&self) -> impl Iterator<Item = &'a Moved> + use<'a> {
        let database = self.database;
        self.plan.iter().filter(move |moved| moved.from != database)
    }

    /// Only what was planned: a file that has come into being since may be a living database's.
    pub(super) fn move_aside(&mut self, moves: impl Iterator<Item = &'a Moved>) -> Result<()> {
        if self.main().is_none() && exists(self.database)? {
            fail!(
                DatabaseMoved,
                "{} has come into being during the restore; it was left as it is",
                self.database.display()
            );
        }
        for moved in moves {
            if exists(&moved.from)? && !moved.file.has_number_of(&moved.from) {
                fail!(
                    DatabaseMoved,
                    "{} is another file by now; it was left as it is",
                    moved.from.display()
                );
            }
            match rename_no_replace(&moved.from, &moved.to) {
                Ok(()) => {
                    self.moved.push(moved);
                    failpoint::reached("aside.moved")?;
                }
                // A companion that has gone meanwhile was SQLite's to remove.
                Err(error) if error.kind() == ErrorKind::NotFound && moved.from != self.database => {}
                Err(error) => return Err(file_error("move aside", &moved.from, error)),
            }
        }
        Ok(())
    }

    /// Moves back what was moved, because of `reason`, and returns that. What could not be moved is told
    /// with the place where it is now.
    pub(super) fn move_back(self, reason: Error) -> Error {
        if self.moved.is_empty() {
            return reason;
        }
        // SQLite would apply companions to whatever else has come into being there.
        let is_old = self.main().is_some_and(|main| main.file.has_number_of(self.database));
        if !is_old && exists(self.database).unwrap_or(true) {
            let story = format!(
                "{} has come into being during the restore; what was there before is {}",
                self.database.display(),
                names(&self.moved)
            );
            return Error::new(Code::DatabaseMoved, story).because(reason);
        }
        let is_left = |moved: &&&Moved| rename_no_replace(&moved.to, &moved.from).is_err();
        // The companions first: a database without its WAL is an older database.
        let left: Vec<&Moved> = self.moved.iter().rev().filter(is_left).copied().collect();
        sync_database_folder(self.database);
        if left.is_empty() {
            return reason;
        }
        let story = format!(
            "the restore failed, and these files could not be moved back: {}; the next call tries again",
            names(&left)
        );
        Error::new(Code::Unsettled, story).because(reason)
    }
}

fn main<'a>(database: &Path, plan: &'a [Moved]) -> Option<&'a Moved> {
    plan.iter().find(|moved| moved.from == database)
}

fn names(moves: &[&Moved]) -> String {
    let name = |moved: &&Moved| format!("{} (was {})", moved.to.display(), moved.from.display());
    moves.iter().map(name).collect::<Vec<_>>().join(", ")
}

/// Whether the database is aside while nothing has its name.
pub(crate) fn is_aside(database: &Path, plan: &[Moved]) -> Result<bool> {
    match main(database, plan) {
        Some(main) if !exists(database)? => lies_at(database, main, &main.to),
        _ => Ok(false),
    }
}

/// Puts back what a process that was killed had moved, where it is still what the plan says and nothing
/// else has come into its place; returns the names that exist again.
pub(crate) fn put_back(database: &Path, plan: &[Moved]) -> Result<Vec<PathBuf>> {
    let main = main(database, plan);
    if let Some(main) = main
        && is_one_file(&main.from, &main.to)
    {
        // Killed between the two steps of an exchange, the database has two names.
        fs::remove_file(&main.to).map_err(|error| file_error("remove", &main.to, error))?;
    }
    let may_return = match main {
        _ if !exists(database)? => main.is_none() || is_aside(database, plan)?,
        Some(main) => lies_at(database, main, database)?,
        None => false,
    };
    let mut returned = Vec::new();
    for moved in plan.iter().rev().filter(|_| may_return) {
        if !exists(&moved.from)? && lies_at(database, moved, &moved.to)? {
            rename_no_replace(&moved.to, &moved.from).map_err(|error| file_error("move back", &moved.to, error))?;
            returned.push(moved.from.clone());
        }
    }
    if !returned.is_empty() {
        sync_database_folder(database);
    }
    Ok(returned)
}

/// Whether the file of that plan is the one at `path`.
fn lies_at(database: &Path, moved: &Moved, path: &Path) -> Result<bool> {
    Ok(file_id(database, path)?.is_some_and(|found| found.is(&moved.file)))
}

/// `<database>.<why>-<time>`, with a number when the set of that millisecond exists.
pub(super) fn free_name(database: &Path, why: &str) -> Result<PathBuf> {
    let time = Timestamp::now().strftime("%Y-%m-%dT%H-%M-%S-%3fZ");
    let mut name = companion(database, &format!(".{why}-{time}"));
    for number in 2_u32.. {
        let mut is_free = true;
        for suffix in std::iter::once("").chain(COMPANIONS) {
            is_free &= !exists(&companion(&name, suffix))?;
        }
        if is_free {
            break;
        }
        name = companion(database, &format!(".{why}-{time}-{number}"));
    }
    Ok(name)
}

pub(super) fn exists(path: &Path) -> Result<bool> {
    match fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(file_error("look at", path, error)),
    }
}

pub(super) fn folder_of(database: &Path) -> &Path {
    match database.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// The names are what they are by now: that a power loss may undo them is no failure.
pub(super) fn sync_database_folder(database: &Path) {
    if let Err(error) = sync_folder(folder_of(database)) {
        tracing::warn!(reason = %error, "the folder of the database cannot be synced: a power loss may bring back the names from before");
    }
}

#[cfg(test)]
#[path = "moved_set_tests.rs"]
mod tests;
