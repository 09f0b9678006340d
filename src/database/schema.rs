//! The schema of the live database as far as migrations are concerned: which tables there are, and
//! what Prisma has recorded.

use std::path::Path;
use std::time::Instant;

use rusqlite::Connection;
use serde::Serialize;

use super::catalog::{self, CatalogState};
use super::connect::{open_for_reading, wait_while_busy};
use super::content::{PRISMA_MIGRATIONS, SNAPSHOT_TABLE, tables};
use super::replay::{Script, standing};
use super::shape::Shape;
use crate::error::{Code, Error, Result};

/// What a migration meets.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Schema {
    /// Bytes of the database.
    size: u64,
    /// The application's tables, without bookkeeping.
    tables: Vec<String>,
    /// Whether the `Snapshot` table is there.
    has_catalog: bool,
    /// Why the `Snapshot` table cannot be used.
    catalog_fault: Option<String>,
    /// What Prisma has recorded; `None`: it keeps no history here.
    migrations: Option<Vec<Migration>>,
    /// Migrations that it has had though they are not recorded, see [`super::replay`].
    already: Vec<String>,
    /// Why that cannot be told.
    unclear: Option<String>,
}

/// A row of `_prisma_migrations`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Migration {
    name: String,
    /// `applied`, `failed` (begun and not finished) or `rolled back`.
    state: String,
}

/// Reads it in one short transaction, and compares it with the migrations that there are.
pub(crate) fn inspect(path: &Path, deadline: Instant, scripts: &[Script]) -> Result<Schema> {
    let conn = open_for_reading(path)?;
    let (mut schema, shape) = wait_while_busy(path, deadline, || {
        let instant = conn.unchecked_transaction()?;
        Ok((read(&instant)?, Shape::read(&instant)?))
    })?;
    let recorded: Vec<String> = schema
        .migrations
        .iter()
        .flatten()
        .filter(|migration| migration.state == "applied")
        .map(|migration| migration.name.clone())
        .collect();
    let standing = standing(&shape, &recorded, scripts)
        .map_err(|error| Error::new(Code::Internal, "cannot replay the migrations in memory").because(error))?;
    (schema.already, schema.unclear) = (standing.already, standing.unclear);
    Ok(schema)
}

fn read(conn: &Connection) -> rusqlite::Result<Schema> {
    let all = tables(conn)?;
    let has_history = all.iter().any(|table| table.is(PRISMA_MIGRATIONS));
    let catalog = catalog::state(conn)?;
    let mut names: Vec<String> = all
        .into_iter()
        .filter(|table| !table.is(PRISMA_MIGRATIONS) && !table.is(SNAPSHOT_TABLE))
        .map(|table| table.name)
        .collect();
    names.sort();
    Ok(Schema {
        size: conn.query_row(
            "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size",
            [],
            |row| row.get::<_, i64>(0).map(i64::cast_unsigned),
        )?,
        tables: names,
        has_catalog: catalog != CatalogState::Missing,
        catalog_fault: match catalog {
            CatalogState::Unusable(why) => Some(why),
            CatalogState::Missing | CatalogState::Present => None,
        },
        migrations: has_history.then(|| migrations(conn)).transpose()?,
        already: Vec::new(),
        unclear: None,
    })
}

fn migrations(conn: &Connection) -> rusqlite::Result<Vec<Migration>> {
    conn.prepare(
        "SELECT migration_name, CASE WHEN rolled_back_at IS NOT NULL THEN 'rolled back'
                                     WHEN finished_at IS NULL THEN 'failed' ELSE 'applied' END
         FROM main._prisma_migrations ORDER BY started_at, migration_name",
    )?
    .query_map([], |row| {
        Ok(Migration {
            name: row.get(0)?,
            state: row.get(1)?,
        })
    })?
    .collect()
}

#[cfg(test)]
#[path = "schema_tests.rs"]
mod tests;
