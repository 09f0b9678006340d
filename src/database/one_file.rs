//! A database brought to one file and kept to ourselves, so that it can be exchanged in one step.
//!
//! Beside the `-wal` of the file before it, a new file would show the old tables; and between the moves of
//! several files, a kill would leave no database.

use std::io::Read;
use std::path::Path;
use std::rc::Rc;
use std::time::Instant;

use rusqlite::{Connection, ffi};

use super::connect::{database_error, open_for_restore, retry_while_busy};
use super::header::{HEADER_BYTES, Header};
use super::live::Live;
use super::raw_files::{file_error, open_plain};
use super::sqlite_error::is_damage;
use super::write_lock::{Taken, WriteLock};
use crate::error::Result;

/// Whether the file says that it keeps a write-ahead log.
pub(crate) fn is_wal(database: &Path) -> Result<bool> {
    let mut start = Vec::new();
    open_plain(database, database)?
        .take(HEADER_BYTES as u64)
        .read_to_end(&mut start)
        .map_err(|error| file_error("read", database, error))?;
    Ok(Header::parse(&start).is_some_and(|header| header.read_version == 2))
}

/// Brings everything that belongs to the database into its file. `false`: SQLite cannot read it.
pub(super) fn collect(database: &Path, deadline: Instant) -> Result<bool> {
    let connection = open_for_restore(database)?;
    let collected = retry_while_busy(database, deadline, || {
        let is_blocked: bool = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
        // By way of `truncate`, a journal that was to stay is removed as well.
        set_journal_mode(&connection, "truncate")?;
        set_journal_mode(&connection, "delete")?;
        if is_blocked { Err(busy()) } else { Ok(()) }
    })?;
    match collected {
        Ok(()) => Ok(true),
        Err(error) if is_damage(&error) => Ok(false),
        Err(error) => Err(database_error("write", database, error)),
    }
}

/// Makes the database again what [`collect`] had found.
pub(crate) fn return_to_wal(database: &Path, deadline: Instant) -> Result<()> {
    let connection = open_for_restore(database)?;
    retry_while_busy(database, deadline, || set_journal_mode(&connection, "wal"))?
        .map_err(|error| database_error("write", database, error))
}

/// Nobody else reads or writes the database while the lock lives. `None`: somebody was faster, and it is no longer
/// as [`collect`] has left it.
pub(super) fn keep_to_ourselves(database: &Path, deadline: Instant) -> Result<Option<WriteLock>> {
    let live = Rc::new(Live::open(database)?);
    let Taken::Locked(lock) = WriteLock::take_alone(&live, deadline)? else {
        return Ok(None);
    };
    let mode: String = lock
        .connection()
        .query_row("PRAGMA journal_mode", [], |row| row.get(0))
        .map_err(|error| database_error("lock", database, error))?;
    Ok((mode != "wal").then_some(lock))
}

/// SQLite answers with the mode that the database has then.
fn set_journal_mode(connection: &Connection, wanted: &str) -> rusqlite::Result<()> {
    let mode: String = connection.query_row(&format!("PRAGMA journal_mode={wanted}"), [], |row| row.get(0))?;
    if mode == wanted { Ok(()) } else { Err(busy()) }
}

fn busy() -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_BUSY), None)
}
