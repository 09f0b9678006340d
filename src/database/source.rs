//! Reading pages of the live database through `sqlite_dbpage`, so that WAL content, hot journals
//! and locks stay SQLite's business.
//!
//! In WAL mode one read transaction sees one instant and holds up nobody. In rollback mode a
//! reader blocks every commit, so pages are copied in short transactions with pauses between
//! them, and at most one longer transaction decides what changed meanwhile.

use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::connect::{database_error, has_moved, open_for_reading, wait_while_busy};
use crate::error::{Result, fail};

/// A short transaction gives the lock back after this long: a writer with `busy_timeout` 0
/// fails whenever it commits inside one.
const HOLD: Duration = Duration::from_millis(2);
/// How many times longer than the lock was held a busy database is left alone. With 15, such a
/// writer finds the lock taken in one of sixteen tries (measured: docs/design.md).
const PAUSE_FACTOR: u32 = 15;
/// Writers are taken to be active this long after the last sign of them.
const ACTIVE_FOR: Duration = Duration::from_secs(2);
/// Bytes handed on at once.
pub(crate) const BATCH_BYTES: usize = 1 << 20;

/// What page 1 says inside one transaction. Equal marks: nobody committed in between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    change_counter: u32,
    pub(crate) page_count: u32,
    /// In WAL mode a commit need not touch page 1, so marks say nothing.
    pub(crate) wal: bool,
    /// Equal within one connection: nobody committed in between, in either journal mode.
    pub(crate) data_version: i64,
}

impl Mark {
    /// Proves that nobody committed between this mark and `other`.
    pub(crate) fn proves_unchanged(&self, other: &Self) -> bool {
        self == other && !self.wal
    }
}

/// Pages in a row, as read in one transaction.
pub(crate) struct Batch {
    pub(crate) first_page: u32,
    /// Pages of the whole database, for progress.
    pub(crate) of_pages: u32,
    pub(crate) data: Vec<u8>,
}

/// Where batches go.
pub(crate) type Sink<'a> = dyn FnMut(Batch) -> Result<()> + 'a;

/// What a pass in short transactions saw.
pub(crate) struct Sliced {
    /// Every transaction saw the same mark, so the pass is one instant.
    pub(crate) unchanged: Option<Mark>,
    /// How long the lock was held altogether.
    pub(crate) held: Duration,
}

/// Reads pages of the live database.
pub(crate) struct PageSource {
    conn: Rc<Connection>,
    path: PathBuf,
    page_size: u32,
    /// How long each transaction waits for SQLite's locks. Not the whole copy: beside a writer that
    /// takes longer than any wait, and every collision after that would end it.
    patience: Duration,
    last_activity: Option<Instant>,
}

impl PageSource {
    /// Opens the database read-only; each transaction waits for SQLite's locks as long as `patience`.
    pub(crate) fn open(path: &Path, patience: Duration) -> Result<Self> {
        Self::over(Rc::new(open_for_reading(path)?), path, patience)
    }

    /// Reads through a connection that is there already.
    pub(super) fn over(conn: Rc<Connection>, path: &Path, patience: Duration) -> Result<Self> {
        // Pages are pages: a schema that cannot be parsed must not keep us from storing them.
        conn.execute_batch("PRAGMA writable_schema=ON")
            .map_err(|error| database_error("open", path, error))?;
        let mut source = Self {
            conn,
            path: path.to_path_buf(),
            page_size: 0,
            patience,
            last_activity: None,
        };
        source.begin()?;
        source.page_size = source.pragma("page_size")?;
        source.end()?;
        Ok(source)
    }

    pub(crate) fn page_size(&self) -> u32 {
        self.page_size
    }

    /// Fails when the file under the connection is no longer the one at its path.
    pub(crate) fn check_not_moved(&self) -> Result<()> {
        if has_moved(&self.conn)? {
            fail!(
                DatabaseMoved,
                "{} was replaced while it was read; nothing was stored",
                self.path.display()
            );
        }
        Ok(())
    }

    /// Starts a read transaction and reads the mark inside it.
    pub(crate) fn begin(&mut self) -> Result<Mark> {
        let (conn, mut busy) = (&self.conn, false);
        let mark = wait_while_busy(&self.path, Instant::now() + self.patience, || {
            let attempt = conn.execute_batch("BEGIN").and_then(|()| read_mark(conn));
            if attempt.is_err() {
                busy = true;
                if !conn.is_autocommit() {
                    conn.execute_batch("ROLLBACK")?;
                }
            }
            attempt
        })?;
        if busy {
            self.last_activity = Some(Instant::now());
        }
        Ok(mark)
    }

    /// Ends the read transaction.
    pub(crate) fn end(&self) -> Result<()> {
        self.conn
            .execute_batch("COMMIT")
            .map_err(|error| database_error("read", &self.path, error))
    }

    /// Reads the whole database in short transactions.
    pub(crate) fn read_in_slices(&mut self, sink: &mut Sink<'_>) -> Result<Sliced> {
        let journal = journal_path(&self.path);
        let mut first_mark: Option<Mark> = None;
        let mut last_mark: Option<Mark> = None;
        let mut unchanged = true;
        let mut held = Duration::ZERO;
        let mut next = 1;
        loop {
            if is_fresh(&journal) {
                self.last_activity = Some(Instant::now());
            }
            let mark = self.begin()?;
            let begun = Instant::now();
            if last_mark.is_some_and(|last| !mark.proves_unchanged(&last)) {
                unchanged = false;
                self.last_activity = Some(begun);
            }
            unchanged &= !mark.wal;
            first_mark.get_or_insert(mark);
            last_mark = Some(mark);
            let mut batch = Batch {
                first_page: next,
                of_pages: mark.page_count,
                data: Vec::with_capacity(BATCH_BYTES),
            };
            while next <= mark.page_count && batch.data.len() < BATCH_BYTES && begun.elapsed() < HOLD {
                self.read_page(next, &mut batch.data)?;
                next += 1;
            }
            self.end()?;
            let slice = begun.elapsed();
            held += slice;
            if !batch.data.is_empty() {
                sink(batch)?;
            }
            if next > mark.page_count {
                break;
            }
            let active = self.last_activity.is_some_and(|at| at.elapsed() < ACTIVE_FOR);
            std::thread::sleep(if active { slice * PAUSE_FACTOR } else { slice / 4 });
        }
        // The last transaction has to see what the first one saw.
        let same = first_mark
            .zip(last_mark)
            .is_some_and(|(first, last)| last.proves_unchanged(&first));
        Ok(Sliced {
            unchanged: if unchanged && same { last_mark } else { None },
            held,
        })
    }

    /// Reads the whole database inside the read transaction that [`PageSource::begin`] started.
    pub(crate) fn read_in_transaction(&self, mark: &Mark, sink: &mut Sink<'_>) -> Result<()> {
        let mut next = 1;
        while next <= mark.page_count {
            let mut batch = Batch {
                first_page: next,
                of_pages: mark.page_count,
                data: Vec::with_capacity(BATCH_BYTES),
            };
            while next <= mark.page_count && batch.data.len() < BATCH_BYTES {
                self.read_page(next, &mut batch.data)?;
                next += 1;
            }
            sink(batch)?;
        }
        Ok(())
    }

    /// So many pages, evenly spread, with their numbers: in one short transaction.
    pub(crate) fn sample(&mut self, count: u32) -> Result<Vec<(u32, Vec<u8>)>> {
        let pages = self.begin()?.page_count;
        let step = (pages / count).max(1);
        let read = (1..=pages).step_by(step as usize).take(count as usize).map(|page| {
            let mut data = Vec::with_capacity(self.page_size as usize);
            self.read_page(page, &mut data).map(|()| (page, data))
        });
        let read: Result<Vec<_>> = read.collect();
        self.end()?;
        read
    }

    fn read_page(&self, page: u32, out: &mut Vec<u8>) -> Result<()> {
        let mut statement = self
            .conn
            .prepare_cached("SELECT data FROM sqlite_dbpage WHERE pgno = ?1")
            .map_err(|error| database_error("read", &self.path, error))?;
        let before = out.len();
        statement
            .query_row([page], |row| {
                out.extend_from_slice(row.get_ref(0)?.as_blob()?);
                Ok(())
            })
            .map_err(|error| database_error("read", &self.path, error))?;
        if out.len() - before != self.page_size as usize {
            fail!(
                DatabaseMoved,
                "the page size of {} changed while it was read; nothing was stored",
                self.path.display()
            );
        }
        Ok(())
    }

    fn pragma(&self, name: &str) -> Result<u32> {
        self.conn
            .query_row(&format!("PRAGMA {name}"), [], |row| row.get(0))
            .map_err(|error| database_error("read", &self.path, error))
    }
}

impl Drop for PageSource {
    /// The connection may go on to be used: what was begun when a read failed is over.
    fn drop(&mut self) {
        if !self.conn.is_autocommit() {
            let _ = self.conn.execute_batch("ROLLBACK");
        }
    }
}

fn read_mark(conn: &Connection) -> rusqlite::Result<Mark> {
    let page_count = conn.query_row("PRAGMA page_count", [], |row| row.get(0))?;
    let data_version = data_version(conn)?;
    if page_count == 0 {
        return Ok(Mark {
            change_counter: 0,
            page_count,
            wal: false,
            data_version,
        });
    }
    conn.prepare_cached("SELECT data FROM sqlite_dbpage WHERE pgno = 1")?
        .query_row([], |row| {
            let page = row.get_ref(0)?.as_blob()?;
            let counter = page
                .get(24..28)
                .and_then(|bytes| bytes.try_into().ok())
                .map_or(0, u32::from_be_bytes);
            Ok(Mark {
                change_counter: counter,
                page_count,
                wal: page.get(18..20) != Some(&[1, 1]),
                data_version,
            })
        })
}

/// Changes when another connection commits; says nothing to any other connection.
pub(super) fn data_version(conn: &Connection) -> rusqlite::Result<i64> {
    conn.query_row("PRAGMA data_version", [], |row| row.get(0))
}

/// Whether a writer is or was at work just now. Journals that stay (`journal_mode` persist or
/// truncate) are written to, so existence alone says nothing.
fn is_fresh(journal: &Path) -> bool {
    let modified = journal.metadata().and_then(|metadata| metadata.modified());
    modified.is_ok_and(|at| at.elapsed().map_or(true, |age| age < ACTIVE_FOR))
}

/// The rollback journal beside a database; looked at, never opened.
fn journal_path(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push("-journal");
    name.into()
}

/// The schema cookie of the live database.
pub(crate) fn schema_cookie(path: &Path, deadline: Instant) -> Result<u32> {
    let conn = open_for_reading(path)?;
    let cookie: i64 = wait_while_busy(path, deadline, || {
        conn.query_row("PRAGMA schema_version", [], |row| row.get(0))
    })?;
    Ok(cookie as u32)
}

#[cfg(test)]
#[path = "source_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "source_state_tests.rs"]
mod state_tests;
