//! Whether SQLite may open a database file. Opening has side effects, and SQLite finds what belongs
//! to a database by its name alone. So every opener asks here first.

use std::fs;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use super::byte_locks::{Bytes, Held, holder};
use super::header::{HEADER_BYTES, Header};
use super::holders::{self, companion};
use super::raw_files::{file_error, open_plain};
use crate::error::{Code, Result, fail};

/// Whoever is just opening or closing the database has one lock and not yet, or no more, the other.
const SECOND_LOOK: Duration = Duration::from_millis(200);
/// How a rollback journal begins while the transaction in it is not finished.
pub(super) const JOURNAL_MAGIC: [u8; 8] = [0xD9, 0xD5, 0x05, 0xF9, 0x20, 0xA1, 0x63, 0xD7];
/// Where it says how many pages the database had before that transaction.
const PAGES_BEFORE: std::ops::Range<usize> = 16..20;

/// Refuses what is no file, and a file that SQLite would open with the wrong companions, or whose
/// companions it would delete.
pub(super) fn check(database: &Path) -> Result<()> {
    check_is_file(database)?;
    // Whoever has it open here has asked before. And closing what is opened below would drop its locks.
    if holders::is_open_here(database) {
        return Ok(());
    }
    let stranded = stranded(database)?;
    if !stranded.is_empty() {
        fail!(
            DatabaseTruncated,
            "{} has zero bytes, but {} beside it is not empty and may hold its last commits. SQLite would delete it, so the \
             database was not opened and nothing was changed. Restoring a snapshot (or bootstrapDatabase) moves these files \
             aside together and keeps them",
            database.display(),
            listed(&stranded)
        );
    }
    // Elsewhere than on Linux nobody knows whether it is open here.
    if holders::are_known() {
        check_companions_are_here(database)?;
    }
    Ok(())
}

/// What SQLite would delete when it opens the database: a file of zero bytes is new to it, so whatever
/// lies beside it cannot be of use. Empty for every other file.
pub(crate) fn stranded(database: &Path) -> Result<Vec<PathBuf>> {
    match fs::metadata(database) {
        Ok(file) if file.is_file() && file.len() == 0 => {}
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(file_error("look at", database, error)),
        _ => return Ok(Vec::new()),
    }
    let database = resolved(database);
    let (wal, journal) = (companion(&database, "-wal"), companion(&database, "-journal"));
    let holds_a_log = fs::metadata(&wal).is_ok_and(|file| file.len() > 0);
    // The journal of a database that had no page yet gives nothing back: somebody makes its first table.
    let holds_pages = unfinished_journal(&database).is_some_and(|pages_before| pages_before > 0);
    let found = [(wal, holds_a_log), (journal, holds_pages)];
    Ok(found
        .into_iter()
        .filter(|(_, counts)| *counts)
        .map(|(path, _)| path)
        .collect())
}

/// Whether a transaction was cut off, which whoever opens the database next rolls back.
pub(super) fn has_hot_journal(database: &Path) -> bool {
    unfinished_journal(database).is_some()
}

/// Pages of the database before the transaction that was not finished; `None` when all were.
fn unfinished_journal(database: &Path) -> Option<u32> {
    let mut start = [0; PAGES_BEFORE.end];
    let mut journal = open_plain(database, &companion(database, "-journal")).ok()?;
    journal.read_exact(&mut start).ok()?;
    start
        .starts_with(&JOURNAL_MAGIC)
        .then(|| super::header::number(&start, PAGES_BEFORE))
}

/// In WAL mode everybody who has the database open holds one lock on the file, whatever its name, and
/// one on the `-shm` beside the name that was used. Somebody with the first one and nobody with the
/// second one here: the WAL is elsewhere.
fn check_companions_are_here(database: &Path) -> Result<()> {
    let database = &resolved(database);
    if elsewhere(database)?.is_none() {
        return Ok(());
    }
    sleep(SECOND_LOOK);
    let Some(user) = elsewhere(database)? else {
        return Ok(());
    };
    let who = user.map_or_else(
        || "a process of another container or host".to_owned(),
        |pid| holders::describe(&[holders::named(pid)]),
    );
    fail!(
        DatabaseAliased,
        "{} is open in WAL mode in {who}, but the -wal and -shm that are used lie elsewhere: the file has another name there \
         (a hard link, or a container that mounts the file without its folder), or they were deleted. Without them the latest \
         commits are missing. Nothing was changed; use the name that the application uses, and mount the whole folder",
        database.display()
    );
}

/// Who has the database open with companions that are not beside this name; `Some(None)`: a process
/// that cannot be seen.
fn elsewhere(database: &Path) -> Result<Option<Option<u32>>> {
    let Some(user) = wal_user(database)? else {
        return Ok(None);
    };
    // Alone with the file: closing it, or in exclusive mode, where SQLite says so.
    if user.is_exclusive {
        return Ok(None);
    }
    let (wal, shm) = (companion(database, "-wal"), companion(database, "-shm"));
    let is_used = match open_plain(database, &shm) {
        Ok(shm) => lock_on(&shm, Bytes::WAL_USERS, database)?.is_some(),
        Err(error) if error.code == Code::DatabaseNotFound => false,
        // Not ours to look into: SQLite says so.
        Err(error) if error.code == Code::DatabaseReadonly => true,
        Err(error) => return Err(error),
    };
    // A reader that may not write has it open without a lock.
    let reads_here = |pid| holders::has_open(pid, &shm);
    let is_here = wal.exists() && (is_used || user.pid.is_some_and(reads_here));
    Ok((!is_here).then_some(user.pid))
}

/// Somebody who has the database open, by whatever name, if it is in WAL mode.
fn wal_user(database: &Path) -> Result<Option<Held>> {
    // What may not be opened, SQLite says better.
    let Ok(mut file) = open_plain(database, database) else {
        return Ok(None);
    };
    let mut start = Vec::new();
    let read = file.by_ref().take(HEADER_BYTES as u64).read_to_end(&mut start);
    if read.is_err() || Header::parse(&start).is_none_or(|header| header.read_version != 2) {
        return Ok(None);
    }
    lock_on(&file, Bytes::SHARED, database)
}

fn lock_on(file: &fs::File, bytes: Bytes, database: &Path) -> Result<Option<Held>> {
    holder(file, bytes).map_err(|error| file_error("look for locks on", database, error))
}

fn check_is_file(path: &Path) -> Result<()> {
    let file = fs::metadata(path).map_err(|error| file_error("open", path, error))?;
    if !file.is_file() {
        fail!(DatabaseNotAFile, "{} is not a regular file", path.display());
    }
    Ok(())
}

/// SQLite looks for the companions beside the file itself, not beside a link to it.
fn resolved(database: &Path) -> PathBuf {
    fs::canonicalize(database).unwrap_or_else(|_| database.to_owned())
}

fn listed(paths: &[PathBuf]) -> String {
    let names: Vec<_> = paths.iter().map(|path| path.display().to_string()).collect();
    names.join(" and ")
}

#[cfg(test)]
#[path = "gate_tests.rs"]
mod tests;
