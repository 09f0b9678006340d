//! The page target: an image written into the live database as one SQLite transaction.
//!
//! The order of the writes, and every value that page 1 keeps, was found by trying: see
//! "A restore is one SQLite transaction in the live file" in `docs/design.md`.

use std::time::Duration;

use rusqlite::{Connection, params};

use super::connect::database_error;
use super::cookie;
#[cfg(test)]
pub(crate) use super::header::same_page_1;
use super::header::{
    AutoVacuum, CHANGE_COUNTER, Header, JOURNAL_VERSIONS, SCHEMA_COOKIE, VERSION_VALID_FOR, empty_page_1,
    lock_byte_page,
};
use super::write_lock::{WriteLock, hindrance};
use crate::error::{Result, fail};

/// What the transaction must know of the image before it begins.
///
/// An image without any page (a zero-byte file) makes an empty database of one page, in the live
/// file's page size; a live file of zero bytes is right already and stays as it is.
pub(crate) struct ImageHeader {
    pub(crate) page_size: u32,
    pub(crate) page_count: u32,
    /// The whole page 1; empty when `page_count` is 0.
    pub(crate) page1: Vec<u8>,
}

/// What can be done with the live file.
pub(crate) enum Begin {
    Ready(RestoreTransaction),
    /// It cannot take the image in place: see [`super::offline::replace`]. The lock is given back.
    Replace(ReplaceReason),
}

/// Why the live file cannot take the image in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReplaceReason {
    /// The pages have another size.
    PageSize { live: u32, image: u32 },
    /// Text is encoded differently: connections that are open could not follow.
    TextEncoding,
    /// SQLite does not recognise the live file as a database.
    UnreadableHeader,
}

/// How a commit ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Committed {
    /// The live database is the image now.
    Done {
        /// The live file's change counter after the commit. In rollback mode, as long as it stays,
        /// nobody has committed since; in WAL mode it says nothing.
        change_counter: u32,
    },
    /// Readers did not leave in time. Everything is rolled back.
    Busy,
}

/// The image, on its way into the live database under the write lock.
///
/// Dropping it rolls back.
pub(crate) struct RestoreTransaction {
    lock: WriteLock,
    /// Page 1 to be written, before the live file's own values are put in.
    image_page_1: Vec<u8>,
    image_page_count: u32,
    live: Header,
    last_page_written: u32,
    /// The schema cookie that the commit sets.
    cookie: u32,
}

impl RestoreTransaction {
    /// Finds out whether the live file can take the image in place.
    pub(crate) fn begin(lock: WriteLock, image: &ImageHeader) -> Result<Begin> {
        check_image(image)?;
        let Some(live) = Header::parse(lock.page_1()) else {
            return Ok(Begin::Replace(ReplaceReason::UnreadableHeader));
        };
        if let Some(reason) = hindrance(&live, image) {
            return Ok(Begin::Replace(reason));
        }
        if live.auto_vacuum == AutoVacuum::Full {
            // Otherwise the commit would move the image's pages about. Page 1 of the image says what
            // the database is to be from then on.
            lock.connection()
                .execute_batch("PRAGMA auto_vacuum=2")
                .map_err(|error| database_error("write", lock.path(), error))?;
        }
        Ok(Begin::Ready(Self {
            cookie: cookie::draw(live.schema_cookie),
            image_page_1: match image.page_count {
                0 => empty_page_1(&live),
                _ => image.page1.clone(),
            },
            image_page_count: image.page_count,
            live,
            last_page_written: 1,
            lock,
        }))
    }

    /// The live file's header as it was when the lock was taken: change counter, journal mode.
    pub(crate) fn live(&self) -> &Header {
        &self.live
    }

    /// The schema cookie by which a commit of this transaction is known.
    pub(crate) fn cookie(&self) -> u32 {
        self.cookie
    }

    /// The lock, and the database as it was when that was taken.
    #[cfg(test)]
    pub(crate) fn lock(&self) -> &WriteLock {
        &self.lock
    }

    /// Writes a page of the image, any but the first, in any order. The lock-byte page is passed over.
    pub(crate) fn write_page(&mut self, page: u32, data: &[u8]) -> Result<()> {
        if page < 2 || page > self.image_page_count || data.len() != self.lock.page_size() as usize {
            fail!(
                Internal,
                "{} bytes cannot be written as page {page} of {}",
                data.len(),
                self.image_page_count
            );
        }
        if page == lock_byte_page(self.lock.page_size()) {
            return Ok(());
        }
        write_page(self.lock.connection(), page, data)
            .map_err(|error| database_error("write", self.lock.path(), error))?;
        self.last_page_written = self.last_page_written.max(page);
        Ok(())
    }

    /// Finishes the image and commits, waiting `commit_timeout` for readers to leave.
    pub(crate) fn commit(self, commit_timeout: Duration) -> Result<Committed> {
        if self.image_page_count == 0 && self.lock.page_count() == 0 {
            // SQLite has begun a database in the transaction; the file shall stay empty.
            self.rollback()?;
            return Ok(Committed::Done { change_counter: 0 });
        }
        self.check_every_new_page_is_written()?;
        let write_error = |error| database_error("write", self.lock.path(), error);
        self.write_page_1().map_err(write_error)?;
        self.truncate().map_err(write_error)?;
        self.invalidate_schemas().map_err(write_error)?;
        self.lock.commit(commit_timeout, self.cookie)
    }

    /// Leaves the live database as it was.
    pub(crate) fn rollback(self) -> Result<()> {
        self.lock.rollback()
    }

    /// A page that the file does not have yet would silently become zeros.
    fn check_every_new_page_is_written(&self) -> Result<()> {
        if self.image_page_count > self.lock.page_count() && self.last_page_written < self.image_page_count {
            fail!(
                Internal,
                "the image has {} pages but only those up to {} were written; nothing was changed",
                self.image_page_count,
                self.last_page_written
            );
        }
        Ok(())
    }

    /// Page 1 comes after all others and with the live file's own cookie: otherwise SQLite would
    /// look for the new schema in pages that are not there yet.
    fn write_page_1(&self) -> rusqlite::Result<()> {
        let mut page = self.image_page_1.clone();
        for kept in [CHANGE_COUNTER, SCHEMA_COOKIE, VERSION_VALID_FOR] {
            page[kept.clone()].copy_from_slice(&self.lock.page_1()[kept]);
        }
        if self.lock.page_count() > 0 {
            // Open connections go by the journal mode that they have; an empty file has none.
            page[JOURNAL_VERSIONS].copy_from_slice(&self.lock.page_1()[JOURNAL_VERSIONS]);
        }
        write_page(self.lock.connection(), 1, &page)
    }

    /// The last write to `sqlite_dbpage`: any later one would cancel it.
    fn truncate(&self) -> rusqlite::Result<()> {
        let pages = self.image_page_count.max(1);
        if pages < self.lock.page_count() {
            self.lock.connection().execute(
                "INSERT INTO sqlite_dbpage(pgno, data) VALUES (?1, NULL)",
                params![pages + 1],
            )?;
        }
        Ok(())
    }

    /// Makes open connections read the new schema before their next statement.
    fn invalidate_schemas(&self) -> rusqlite::Result<()> {
        // SQLite reads and writes the cookie as a signed number.
        let cookie = self.cookie.cast_signed();
        self.lock
            .connection()
            .execute_batch(&format!("PRAGMA schema_version={cookie}"))
    }
}

fn check_image(image: &ImageHeader) -> Result<()> {
    let is_whole = image.page1.len() == image.page_size as usize
        && Header::parse(&image.page1).is_some_and(|header| header.page_size == image.page_size);
    if image.page_count > 0 && !is_whole {
        fail!(
            SnapshotDamaged,
            "page 1 of the image is not the first page of a database"
        );
    }
    Ok(())
}

fn write_page(connection: &Connection, page: u32, data: &[u8]) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT INTO sqlite_dbpage(pgno, data) VALUES (?1, ?2)")?
        .execute(params![page, data])
        .map(drop)
}

#[cfg(test)]
#[path = "target_tests/mod.rs"]
mod tests;
