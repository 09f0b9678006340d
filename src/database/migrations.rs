//! What Prisma has written down about its migrations.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use rusqlite::Connection;
use serde::Serialize;

use super::connect::wait_while_busy;
use super::content::{PRISMA_MIGRATIONS, tables};
use super::image::ImageDatabase;
use super::look;
use crate::error::Result;

/// The migrations of a database.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct History {
    /// Whether there is a table of migrations at all.
    pub(crate) is_kept: bool,
    /// Whether there is any other table.
    pub(crate) has_tables: bool,
    /// Applied ones, with the checksum of their SQL.
    pub(crate) applied: BTreeMap<String, String>,
    /// Begun, and neither finished nor marked as rolled back: `migrate deploy` refuses to go on.
    pub(crate) failed: Vec<String>,
}

/// Reads the history out of an image.
pub(crate) fn of_image(image: &ImageDatabase) -> Result<History> {
    read(image.connection()).map_err(|error| image.why("the migrations cannot be read", error))
}

/// Reads the history of the live database.
pub(crate) fn of_database(path: &Path, deadline: Instant) -> Result<History> {
    let conn = look::open(path)?.conn;
    wait_while_busy(path, deadline, || read(&conn))
}

pub(super) fn read(conn: &Connection) -> rusqlite::Result<History> {
    let tables = tables(conn)?;
    let mut history = History {
        is_kept: tables.iter().any(|table| table.is(PRISMA_MIGRATIONS)),
        has_tables: tables.iter().any(|table| !table.is(PRISMA_MIGRATIONS)),
        ..History::default()
    };
    if !history.is_kept {
        return Ok(history);
    }
    let mut statement = conn.prepare(&format!(
        "SELECT migration_name, checksum, finished_at IS NOT NULL, rolled_back_at IS NOT NULL
         FROM main.\"{PRISMA_MIGRATIONS}\" ORDER BY started_at"
    ))?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (name, checksum): (String, String) = (row.get(0)?, row.get(1)?);
        match (row.get(2)?, row.get(3)?) {
            // Rolled back: as if it had never been.
            (_, true) => {}
            (true, false) => drop(history.applied.insert(name, checksum)),
            (false, false) => history.failed.push(name),
        }
    }
    Ok(history)
}

#[cfg(test)]
#[path = "migrations_tests.rs"]
mod tests;
