//! The write lock of the live database. What was learnt before it is true under it only if nobody
//! has committed since, and if the file is still the one at its path.

use std::rc::Rc;
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, TransactionState, ffi};

use super::connect::{database_error, is_busy, retry_while_busy, set_synchronous_extra};
use super::content;
use super::cookie;
use super::header::{Header, JOURNAL_VERSIONS, TextEncoding};
use super::holders::companion;
use super::live::{Live, identity};
use super::moved_set::free_name;
use super::raw_files::file_error;
use super::source::data_version;
use super::sqlite_error::is_damage;
use super::target::{Committed, ImageHeader, ReplaceReason};
use crate::error::{Code, Error, Result, fail};
use crate::failpoint;
use crate::storage::rename_no_replace;

/// Up to this much changed content waits in memory, and readers go on until the commit. A larger
/// restore in rollback mode spills into the file, which keeps readers out from then on.
const CACHE_KIB: u32 = 64 * 1024;

/// What a connection in WAL mode has beside the database.
const WAL: [&str; 2] = ["-wal", "-shm"];

/// What came of asking for the lock.
pub(crate) enum Taken {
    Locked(WriteLock),
    /// SQLite does not recognise the file as a database. Nothing is locked.
    UnreadableHeader,
}

/// The write lock, and the database as it was when it was taken.
///
/// Dropping it rolls back.
pub(crate) struct WriteLock {
    live: Rc<Live>,
    /// SQLite's own copy changes with the first write.
    page_1: Vec<u8>,
    /// 0 for a file of zero bytes.
    page_count: u32,
    /// The WAL and its index, as far as they exist: what is committed goes there.
    wal: Vec<(&'static str, (u64, u64))>,
}

impl WriteLock {
    /// Waits for the lock until `deadline`. A file of zero bytes gets pages of the size named.
    pub(crate) fn take(live: &Rc<Live>, page_size: Option<u32>, deadline: Instant) -> Result<Taken> {
        Self::begin("BEGIN IMMEDIATE", live, page_size, deadline)
    }

    /// As [`Self::take`], with readers kept out as well.
    pub(super) fn take_alone(live: &Rc<Live>, deadline: Instant) -> Result<Taken> {
        Self::begin("BEGIN EXCLUSIVE", live, None, deadline)
    }

    fn begin(statement: &str, live: &Rc<Live>, page_size: Option<u32>, deadline: Instant) -> Result<Taken> {
        let connection = &*live.connection;
        let taken = retry_while_busy(&live.path, deadline, || {
            set_synchronous_extra(connection)?;
            if let Some(page_size) = page_size {
                connection.execute_batch(&format!("PRAGMA page_size={page_size}"))?;
            }
            connection.execute_batch(statement)?;
            let looked = check_may_write(connection).and_then(|()| look(connection));
            if looked.is_err() {
                connection.execute_batch("ROLLBACK")?;
            }
            looked
        })?;
        match taken {
            Err(error) if makes_header_unreadable(connection, &error) => Ok(Taken::UnreadableHeader),
            Err(error) => Err(database_error("write", &live.path, error)),
            Ok((page_1, page_count)) => {
                let mut lock = Self {
                    live: Rc::clone(live),
                    page_1,
                    page_count,
                    wal: WAL
                        .into_iter()
                        .filter_map(|suffix| Some((suffix, identity(&companion(&live.path, suffix))?)))
                        .collect(),
                };
                lock.check_not_moved()?;
                if std::fs::metadata(&live.path).is_ok_and(|file| file.len() == 0) {
                    // The transaction has given it its first page, which is not there yet.
                    lock.page_count = 0;
                }
                Ok(Taken::Locked(lock))
            }
        }
    }

    pub(super) fn connection(&self) -> &Connection {
        &self.live.connection
    }

    pub(super) fn path(&self) -> &std::path::Path {
        &self.live.path
    }

    /// Page 1 as it was when the lock was taken.
    pub(super) fn page_1(&self) -> &[u8] {
        &self.page_1
    }

    /// Pages of the live database; 0 for a file of zero bytes.
    pub(crate) fn page_count(&self) -> u32 {
        self.page_count
    }

    /// Bytes of a page.
    pub(crate) fn page_size(&self) -> u32 {
        self.page_1.len() as u32
    }

    /// Fails when the path of the database leads to another file by now, or to none.
    pub(crate) fn check_not_moved(&self) -> Result<()> {
        self.live.check_not_moved("nothing was changed")
    }

    /// Equal to what a copy through the same connection saw: nobody has committed in between.
    pub(crate) fn data_version(&self) -> Result<i64> {
        data_version(self.connection()).map_err(|error| database_error("read", self.path(), error))
    }

    /// Whether the database has no row that counts, see [`content::is_empty`].
    pub(crate) fn is_empty(&self, core_tables: &[String]) -> Result<bool> {
        if self.page_count == 0 {
            return Ok(true);
        }
        self.with_whole_schema(|connection| content::is_empty(connection, core_tables))
    }

    /// Deletes every row of every table, see [`content::delete_everything`].
    pub(crate) fn delete_everything(&self) -> Result<()> {
        self.with_whole_schema(content::delete_everything)
    }

    /// A damaged schema is a reason to refuse here: a table that could not be read from it would be
    /// passed over.
    fn with_whole_schema<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T> {
        let connection = self.connection();
        let outcome = connection
            .execute_batch("PRAGMA writable_schema=RESET")
            .and_then(|()| work(connection));
        connection
            .execute_batch("PRAGMA writable_schema=ON")
            .and(outcome)
            .map_err(|error| database_error("use", self.path(), error))
    }

    /// Reads a page of the live database. Once it is written, the new content is read;
    /// page 1 stays the old one.
    pub(crate) fn read_page(&self, page: u32, buffer: &mut [u8]) -> Result<()> {
        if page == 0 || page > self.page_count || buffer.len() != self.page_1.len() {
            fail!(
                Internal,
                "page {page} of {} cannot be read into {} bytes",
                self.page_count,
                buffer.len()
            );
        }
        if page == 1 {
            buffer.copy_from_slice(&self.page_1);
            return Ok(());
        }
        read_page(self.connection(), page, buffer).map_err(|error| database_error("read", self.path(), error))
    }

    /// Sets a schema cookie by which the commit will be known.
    pub(crate) fn draw_cookie(&self) -> Result<u32> {
        let before = Header::parse(&self.page_1).map_or(0, |header| header.schema_cookie);
        let cookie = cookie::draw(before);
        // SQLite reads and writes it as a signed number.
        self.connection()
            .execute_batch(&format!("PRAGMA schema_version={}", cookie.cast_signed()))
            .map_err(|error| database_error("write", self.path(), error))?;
        Ok(cookie)
    }

    /// Commits, waiting `timeout` for readers to leave. `cookie`: the schema cookie by which the commit is known.
    pub(crate) fn commit(self, timeout: Duration, cookie: u32) -> Result<Committed> {
        self.check_not_moved()?;
        failpoint::reached("restore.before-commit")?;
        match retry_commit(self.connection(), Instant::now() + timeout) {
            Err(error) if is_busy(&error) => {
                self.rollback()?;
                return Ok(Committed::Busy);
            }
            Err(error) => self.look_up(error, cookie, Instant::now() + timeout)?,
            Ok(()) => {}
        }
        // From here on it has taken place, whatever fails.
        if let Err(error) = failpoint::reached("restore.after-commit") {
            tracing::warn!(reason = %error, "what was written has been committed");
        }
        self.live
            .check_not_moved("what was written went into the old file, which is under another name now, or deleted")
            .or_else(|moved| self.set_wal_aside().and(Err(moved)))?;
        // A transaction adds one, however many pages it writes.
        let before = Header::parse(&self.page_1).map_or(0, |header| header.change_counter);
        Ok(Committed::Done {
            change_counter: before.wrapping_add(1),
        })
    }

    /// What became of a COMMIT that failed: the error may have come after it had taken place. Nothing is learnt from
    /// the connection that failed.
    fn look_up(&self, error: rusqlite::Error, cookie: u32, deadline: Instant) -> Result<()> {
        if let Err(error) = self.roll_back() {
            tracing::warn!(%error, "a failed commit cannot be rolled back; the next connection does it");
        }
        match cookie::has_committed(self.path(), cookie, deadline) {
            Ok(true) => {
                tracing::warn!(%error, "the commit reported an error, but has taken place; a power loss may still undo it");
                Ok(())
            }
            Ok(false) => Err(database_error("commit to", self.path(), error)),
            Err(unknown) => {
                let story = format!(
                    "the commit to {} reported an error ({error}), and whether it has taken place cannot be looked up; \
                     the next call that writes settles it",
                    self.path().display()
                );
                Err(Error::new(Code::Unsettled, story).because(unknown))
            }
        }
    }

    /// The database was replaced while we committed. Our WAL would be applied to the file that has
    /// taken its place, which is to stay as it is.
    fn set_wal_aside(&self) -> Result<()> {
        let aside = free_name(self.path(), "orphaned")?;
        for (suffix, ours) in &self.wal {
            let (from, to) = (companion(self.path(), suffix), companion(&aside, suffix));
            if identity(&from) == Some(*ours) {
                rename_no_replace(&from, &to).map_err(|error| file_error("move aside", &from, error))?;
                tracing::warn!(file = %to.display(), "what belongs to the database that was replaced was moved aside");
            }
        }
        Ok(())
    }

    /// Leaves the live database as it was.
    pub(crate) fn rollback(self) -> Result<()> {
        self.roll_back()
            .map_err(|error| database_error("roll back", self.path(), error))
    }

    fn roll_back(&self) -> rusqlite::Result<()> {
        if self.connection().is_autocommit() {
            // After a commit; and after some errors (disk full) SQLite has rolled back by itself.
            return Ok(());
        }
        self.connection().execute_batch("ROLLBACK")
    }
}

impl Drop for WriteLock {
    fn drop(&mut self) {
        if let Err(error) = self.roll_back() {
            tracing::warn!(%error, "the transaction could not be rolled back; the end of the connection does that");
        }
    }
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

/// Page 1 and the number of pages, first thing under the lock.
fn look(connection: &Connection) -> rusqlite::Result<(Vec<u8>, u32)> {
    let page_size: u32 = connection.query_row("PRAGMA page_size", [], |row| row.get(0))?;
    let page_count: u32 = connection.query_row("PRAGMA page_count", [], |row| row.get(0))?;
    let mut page_1 = vec![0; page_size as usize];
    read_page(connection, 1, &mut page_1)?;
    connection.execute_batch(&format!("PRAGMA cache_size=-{CACHE_KIB}"))?;
    Ok((page_1, page_count))
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

#[cfg(test)]
#[path = "write_lock_tests.rs"]
mod tests;
