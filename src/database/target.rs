//! The page target: an image written into the live database as one SQLite transaction.
//!
//! The order of the writes, and every value that page 1 keeps, was found by trying: see
//! "A restore is one SQLite transaction in the live file" in `docs/design.md`.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::{Connection, params};

use super::connect::{database_error, has_moved, is_busy, open_for_restore};
use super::cookie;
#[cfg(test)]
pub(crate) use super::header::same_page_1;
use super::header::{
    CHANGE_COUNTER, Header, JOURNAL_VERSIONS, SCHEMA_COOKIE, VERSION_VALID_FOR, empty_page_1, lock_byte_page,
};
use super::write_lock::{LivePage1, hindrance, lock, makes_header_unreadable, read_page};
use crate::error::{Code, Error, Result, fail};
use crate::failpoint;

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
#[expect(
    clippy::large_enum_variant,
    reason = "there is one per restore, and it is taken apart at once"
)]
pub(crate) enum Begin {
    /// The write lock is held.
    Ready(RestoreTransaction),
    /// It cannot take the image in place: see [`super::offline::replace`]. Nothing is locked.
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

/// The write lock on the live database, and what is written under it.
///
/// Dropping it rolls back.
pub(crate) struct RestoreTransaction {
    connection: Connection,
    path: PathBuf,
    /// Page 1 to be written, before the live file's own values are put in.
    image_page_1: Vec<u8>,
    image_page_count: u32,
    page_size: u32,
    /// Page 1 as it was when the lock was taken; SQLite's own copy changes from then on.
    live_page_1: Vec<u8>,
    live: Header,
    /// 0 for a file of zero bytes.
    page_count: u32,
    last_page_written: u32,
    /// The schema cookie that the commit sets.
    cookie: u32,
}

impl RestoreTransaction {
    /// Takes the write lock, and finds out whether the live file can take the image in place.
    pub(crate) fn begin(path: &Path, image: &ImageHeader, deadline: Instant) -> Result<Begin> {
        check_image(image)?;
        let connection = open_for_restore(path)?;
        match lock(&connection, path, image, deadline)? {
            Err(error) if makes_header_unreadable(&connection, &error) => {
                Ok(Begin::Replace(ReplaceReason::UnreadableHeader))
            }
            Err(error) => Err(database_error("write", path, error)),
            Ok(live) => Self::decide(connection, path, image, live),
        }
    }

    fn decide(connection: Connection, path: &Path, image: &ImageHeader, live: LivePage1) -> Result<Begin> {
        if has_moved(&connection)? {
            return Err(moved(path, "nothing was written"));
        }
        let Some(header) = Header::parse(&live.bytes) else {
            return Ok(Begin::Replace(ReplaceReason::UnreadableHeader));
        };
        if let Some(reason) = hindrance(&header, image) {
            return Ok(Begin::Replace(reason));
        }
        Ok(Begin::Ready(Self {
            connection,
            path: path.to_owned(),
            cookie: cookie::draw(header.schema_cookie),
            image_page_1: match image.page_count {
                0 => empty_page_1(&header),
                _ => image.page1.clone(),
            },
            image_page_count: image.page_count,
            page_size: header.page_size,
            live_page_1: live.bytes,
            live: header,
            page_count: live.page_count,
            last_page_written: 1,
        }))
    }

    /// Pages of the live database; 0 for a file of zero bytes.
    pub(crate) fn page_count(&self) -> u32 {
        self.page_count
    }

    /// Bytes of a page.
    pub(crate) fn page_size(&self) -> u32 {
        self.page_size
    }

    /// The live file's header as it was when the lock was taken: change counter, journal mode.
    pub(crate) fn live(&self) -> &Header {
        &self.live
    }

    /// The schema cookie by which a commit of this transaction is known.
    pub(crate) fn cookie(&self) -> u32 {
        self.cookie
    }

    /// Page 1 of the live database as it was when the lock was taken.
    #[cfg(test)]
    pub(crate) fn live_page_1(&self) -> &[u8] {
        &self.live_page_1
    }

    /// Reads a page of the live database. Once it is written, the new content is read;
    /// page 1 stays the old one.
    pub(crate) fn read_page(&mut self, page: u32, buffer: &mut [u8]) -> Result<()> {
        if page == 0 || page > self.page_count || buffer.len() != self.page_size as usize {
            fail!(
                Internal,
                "page {page} of {} cannot be read into {} bytes",
                self.page_count,
                buffer.len()
            );
        }
        if page == 1 {
            buffer.copy_from_slice(&self.live_page_1);
            return Ok(());
        }
        read_page(&self.connection, page, buffer).map_err(|error| database_error("read", &self.path, error))
    }

    /// Writes a page of the image, any but the first, in any order. The lock-byte page is passed over.
    pub(crate) fn write_page(&mut self, page: u32, data: &[u8]) -> Result<()> {
        if page < 2 || page > self.image_page_count || data.len() != self.page_size as usize {
            fail!(
                Internal,
                "{} bytes cannot be written as page {page} of {}",
                data.len(),
                self.image_page_count
            );
        }
        if page == lock_byte_page(self.page_size) {
            return Ok(());
        }
        write_page(&self.connection, page, data).map_err(|error| database_error("write", &self.path, error))?;
        self.last_page_written = self.last_page_written.max(page);
        Ok(())
    }

    /// Finishes the image and commits, waiting `commit_timeout` for readers to leave.
    pub(crate) fn commit(self, commit_timeout: Duration) -> Result<Committed> {
        if self.image_page_count == 0 && self.page_count == 0 {
            // SQLite has begun a database in the transaction; the file shall stay empty.
            self.rollback()?;
            return Ok(Committed::Done { change_counter: 0 });
        }
        self.check_every_new_page_is_written()?;
        let write_error = |error| database_error("write", &self.path, error);
        self.write_page_1().map_err(write_error)?;
        self.truncate().map_err(write_error)?;
        self.invalidate_schemas().map_err(write_error)?;
        if has_moved(&self.connection)? {
            return Err(moved(&self.path, "nothing was written"));
        }
        failpoint::reached("restore.before-commit")?;
        let deadline = Instant::now() + commit_timeout;
        match retry_commit(&self.connection, deadline) {
            Err(error) if is_busy(&error) => {
                self.rollback()?;
                return Ok(Committed::Busy);
            }
            Err(error) => return self.look_up(error, Instant::now() + commit_timeout),
            Ok(()) => {}
        }
        // From here on it has taken place, whatever fails.
        match failpoint::reached("restore.after-commit").and_then(|()| has_moved(&self.connection)) {
            Ok(false) => {}
            Ok(true) => {
                return Err(moved(
                    &self.path,
                    "the restored database is under its new name, or deleted",
                ));
            }
            Err(error) => {
                tracing::warn!(reason = %error, "the restore has committed, but cannot be looked at afterwards");
            }
        }
        Ok(self.done())
    }

    fn done(&self) -> Committed {
        // A transaction adds one, however many pages it writes.
        let change_counter = self.live.change_counter.wrapping_add(1);
        Committed::Done { change_counter }
    }

    /// What became of a COMMIT that failed: the error may have come after it had taken place.
    fn look_up(self, error: rusqlite::Error, deadline: Instant) -> Result<Committed> {
        let done = self.done();
        let Self {
            connection,
            path,
            cookie,
            ..
        } = self;
        if !connection.is_autocommit()
            && let Err(error) = connection.execute_batch("ROLLBACK")
        {
            tracing::warn!(%error, "a failed commit cannot be rolled back; the next connection does it");
        }
        // What this connection believes is no evidence.
        drop(connection);
        match cookie::has_committed(&path, cookie, deadline) {
            Ok(true) => {
                tracing::warn!(%error, "the commit reported an error, but has taken place; a power loss may still undo it");
                Ok(done)
            }
            Ok(false) => Err(database_error("commit to", &path, error)),
            Err(unknown) => {
                let story = format!(
                    "the commit to {} reported an error ({error}), and whether it has taken place cannot be looked up; \
                     the next call that writes settles it",
                    path.display()
                );
                Err(Error::new(Code::Unsettled, story).because(unknown))
            }
        }
    }

    /// Leaves the live database as it was.
    pub(crate) fn rollback(self) -> Result<()> {
        if self.connection.is_autocommit() {
            // After some errors (disk full) SQLite has rolled back by itself.
            return Ok(());
        }
        self.connection
            .execute_batch("ROLLBACK")
            .map_err(|error| database_error("roll back", &self.path, error))
    }

    /// A page that the file does not have yet would silently become zeros.
    fn check_every_new_page_is_written(&self) -> Result<()> {
        if self.image_page_count > self.page_count && self.last_page_written < self.image_page_count {
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
            page[kept.clone()].copy_from_slice(&self.live_page_1[kept]);
        }
        if self.page_count > 0 {
            // Open connections go by the journal mode that they have; an empty file has none.
            page[JOURNAL_VERSIONS].copy_from_slice(&self.live_page_1[JOURNAL_VERSIONS]);
        }
        write_page(&self.connection, 1, &page)
    }

    /// The last write to `sqlite_dbpage`: any later one would cancel it.
    fn truncate(&self) -> rusqlite::Result<()> {
        let pages = self.image_page_count.max(1);
        if pages < self.page_count {
            self.connection.execute(
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
        self.connection
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

/// COMMIT until the readers have left or the time is over; then the last refusal.
fn retry_commit(connection: &Connection, deadline: Instant) -> rusqlite::Result<()> {
    loop {
        match connection.execute_batch("COMMIT") {
            Err(error) if is_busy(&error) && Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(5));
            }
            outcome => return outcome,
        }
    }
}

fn moved(path: &Path, what_is_left: &str) -> Error {
    Error::new(
        Code::DatabaseMoved,
        format!(
            "{} was renamed or replaced during the restore; {what_is_left}",
            path.display()
        ),
    )
}

#[cfg(test)]
#[path = "target_tests/mod.rs"]
mod tests;
