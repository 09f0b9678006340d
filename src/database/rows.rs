//! The application's `Snapshot` table through a connection of its own, one short transaction a change.

use std::path::{Path, PathBuf};
use std::sync::Once;
use std::time::Instant;

use jiff::Timestamp;
use rusqlite::Connection;

use super::catalog::{self, CatalogState};
use super::catalog_mirror;
use super::connect::{open_for_reading, open_for_rows, wait_while_busy};
use super::look;
use super::plain_snapshots::is_plain_key;
use crate::config::CatalogSize;
use crate::error::Result;
use crate::record::{Record, RestoreStatus};

/// A writing connection to the table; `None` inside when the application has no such table.
pub(crate) struct Rows {
    conn: Option<Connection>,
    path: PathBuf,
    deadline: Instant,
}

impl Rows {
    /// Opens the table. Where it is missing or of another shape, every change is skipped with one warning.
    pub(crate) fn open(path: &Path, deadline: Instant) -> Result<Self> {
        let conn = open_for_rows(path)?;
        let state = wait_while_busy(path, deadline, || catalog::state(&conn))?;
        if let Some(warning) = state.warning() {
            static ONCE: Once = Once::new();
            ONCE.call_once(|| tracing::warn!("{warning}"));
        }
        Ok(Self {
            conn: (state == CatalogState::Present).then_some(conn),
            path: path.to_path_buf(),
            deadline,
        })
    }

    /// See [`catalog::upsert`].
    pub(crate) fn upsert(&self, records: &[Record], size: CatalogSize) -> Result<()> {
        let written = self.change(|conn| catalog_mirror::upsert(conn, records, size))?;
        warn_clamped(written.is_some_and(|written| written.clamped));
        Ok(())
    }

    /// See [`catalog::reconcile`].
    pub(crate) fn reconcile(&self, records: &[Record], size: CatalogSize) -> Result<()> {
        // A manifest is a file as well, perhaps that of another database whose rows came with the image.
        let is_file = |path: &Path| path.is_file() && path.extension().is_some_and(|extension| extension == "db");
        let is_plain = |record: &Record| is_file(Path::new(&record.s3_key)) || is_plain_key(&record.s3_key);
        let written = self.change(|conn| catalog_mirror::reconcile(conn, records, is_plain, size))?;
        warn_clamped(written.is_some_and(|written| written.clamped));
        Ok(())
    }

    /// See [`catalog::set_restore`].
    pub(crate) fn set_restore(
        &self,
        id: &str,
        status: RestoreStatus,
        message: Option<&str>,
        at: Option<Timestamp>,
    ) -> Result<()> {
        self.change(|conn| catalog::set_restore(conn, id, status, message, at))
            .map(drop)
    }

    /// See [`catalog::set_status`].
    pub(crate) fn set_status(&self, record: &Record) -> Result<()> {
        self.change(|conn| catalog::set_status(conn, &record.id, record.status, &record.s3_key))
            .map(drop)
    }

    /// See [`catalog::delete`].
    pub(crate) fn delete(&self, id: &str) -> Result<()> {
        self.change(|conn| catalog::delete(conn, id)).map(drop)
    }

    fn change<T>(&self, mut change: impl FnMut(&Connection) -> rusqlite::Result<T>) -> Result<Option<T>> {
        let Some(conn) = &self.conn else { return Ok(None) };
        wait_while_busy(&self.path, self.deadline, || change(conn)).map(Some)
    }
}

/// Every row of the table, none when it is missing. Leaves nothing beside the database.
pub(crate) fn read(path: &Path, deadline: Instant) -> Result<Vec<Record>> {
    let conn = look::open(path)?.conn;
    wait_while_busy(path, deadline, || match catalog::state(&conn)? {
        CatalogState::Present => catalog::rows(&conn),
        CatalogState::Missing | CatalogState::Unusable(_) => Ok(Vec::new()),
    })
}

fn warn_clamped(clamped: bool) {
    if clamped {
        tracing::warn!(
            "a snapshot is larger than 2,147,483,647 bytes: the Snapshot table holds that number instead, because a Rust-engine \
             Prisma client fails on a larger one; change the model's size to BigInt or Float, or use catalogSize 'exact' with Prisma 7"
        );
    }
}

/// Whether the database has no row that counts, see [`super::content::is_empty`].
pub(crate) fn is_empty(path: &Path, core_tables: &[String], deadline: Instant) -> Result<bool> {
    let conn = open_for_reading(path)?;
    wait_while_busy(path, deadline, || super::content::is_empty(&conn, core_tables))
}

/// Rows of the core tables, see [`super::content::core_counts`].
pub(crate) fn core_counts(
    path: &Path,
    core_tables: &[String],
    deadline: Instant,
) -> Result<std::collections::BTreeMap<String, u64>> {
    let conn = open_for_reading(path)?;
    wait_while_busy(path, deadline, || super::content::core_counts(&conn, core_tables))
}
