//! Taking the live database's write lock for a restore, and judging what is found under it.

use std::path::Path;
use std::time::Instant;

use rusqlite::{Connection, ErrorCode, TransactionState, ffi};

use super::connect::{retry_while_busy, set_synchronous_extra};
use super::header::{AutoVacuum, Header, JOURNAL_VERSIONS, TextEncoding};
use super::sqlite_error::is_damage;
use super::target::{ImageHeader, ReplaceReason};
use crate::error::Result;

/// Up to this much changed content waits in memory, and readers go on until the commit. A larger
/// restore in rollback mode spills into the file, which keeps readers out from then on.
const CACHE_KIB: u32 = 64 * 1024;

/// Page 1 when the lock was taken, and the size of the database.
pub(super) struct LivePage1 {
    pub(super) bytes: Vec<u8>,
    /// 0 for a file of zero bytes.
    pub(super) page_count: u32,
}

/// Takes the write lock, waiting for it, and reads page 1 under it.
pub(super) fn lock(
    connection: &Connection,
    path: &Path,
    image: &ImageHeader,
    deadline: Instant,
) -> Result<rusqlite::Result<LivePage1>> {
    let is_empty_file = || std::fs::metadata(path).is_ok_and(|file| file.len() == 0);
    retry_while_busy(path, deadline, || {
        set_synchronous_extra(connection)?;
        if image.page_count > 0 {
            // For a file of zero bytes; any other has its own page size.
            connection.execute_batch(&format!("PRAGMA page_size={}", image.page_size))?;
        }
        connection.execute_batch("BEGIN IMMEDIATE")?;
        let prepared = check_may_write(connection).and_then(|()| prepare(connection, is_empty_file()));
        if prepared.is_err() {
            connection.execute_batch("ROLLBACK")?;
        }
        prepared
    })
}

/// Where SQLite may only read, `BEGIN IMMEDIATE` takes no lock and says nothing.
fn check_may_write(connection: &Connection) -> rusqlite::Result<()> {
    match connection.transaction_state(Some("main"))? {
        TransactionState::Write => Ok(()),
        _ => Err(rusqlite::Error::SqliteFailure(
            ffi::Error::new(ffi::SQLITE_READONLY),
            None,
        )),
    }
}

/// The first steps under the lock.
fn prepare(connection: &Connection, is_empty_file: bool) -> rusqlite::Result<LivePage1> {
    let page_size: u32 = connection.query_row("PRAGMA page_size", [], |row| row.get(0))?;
    let page_count: u32 = connection.query_row("PRAGMA page_count", [], |row| row.get(0))?;
    let mut bytes = vec![0; page_size as usize];
    read_page(connection, 1, &mut bytes)?;
    connection.execute_batch(&format!("PRAGMA cache_size=-{CACHE_KIB}"))?;
    if Header::parse(&bytes).is_some_and(|live| live.auto_vacuum == AutoVacuum::Full) {
        // Otherwise the commit would move the image's pages about. Page 1 of the image says what
        // the database is to be from then on.
        connection.execute_batch("PRAGMA auto_vacuum=2")?;
    }
    Ok(LivePage1 {
        bytes,
        // The transaction has given an empty file its first page, which is not there yet.
        page_count: if is_empty_file { 0 } else { page_count },
    })
}

pub(super) fn hindrance(live: &Header, image: &ImageHeader) -> Option<ReplaceReason> {
    if image.page_count == 0 {
        return None;
    }
    if live.page_size != image.page_size {
        return Some(ReplaceReason::PageSize {
            live: live.page_size,
            image: image.page_size,
        });
    }
    // Connections that are open have settled for an encoding: the file's, or UTF-8 when it has none.
    let live_encoding = live.text_encoding.unwrap_or(TextEncoding::Utf8);
    let image_encoding = Header::parse(&image.page1)?.text_encoding;
    image_encoding
        .is_some_and(|encoding| encoding != live_encoding)
        .then_some(ReplaceReason::TextEncoding)
}

/// Whether SQLite refuses the file for its first bytes.
pub(super) fn makes_header_unreadable(connection: &Connection, error: &rusqlite::Error) -> bool {
    // A version that SQLite does not know makes the database read-only, even where the file is not.
    let is_from_the_future =
        error.sqlite_error_code() == Some(ErrorCode::ReadOnly) && reads_unknown_version(connection).unwrap_or(false);
    is_damage(error) || is_from_the_future
}

fn reads_unknown_version(connection: &Connection) -> rusqlite::Result<bool> {
    let page_size: u32 = connection.query_row("PRAGMA page_size", [], |row| row.get(0))?;
    let mut page = vec![0; page_size as usize];
    read_page(connection, 1, &mut page)?;
    Ok(page[JOURNAL_VERSIONS].iter().any(|version| *version > 2))
}

pub(super) fn read_page(connection: &Connection, page: u32, buffer: &mut [u8]) -> rusqlite::Result<()> {
    connection
        .prepare_cached("SELECT data FROM sqlite_dbpage WHERE pgno = ?1")?
        .query_row([page], |row| {
            buffer.copy_from_slice(row.get_ref(0)?.as_blob()?);
            Ok(())
        })
}
