//! The application's `Snapshot` table, a mirror of the repository.
//!
//! The table belongs to the application's schema: it is looked for by every function and made by
//! none, because a table made behind Prisma's back would stop `migrate deploy`. Where it is
//! missing, or lacks a column, readers find no rows and writers write none; [`state`] tells the
//! caller, who warns. Locks are the caller's business: `SQLITE_BUSY` comes back as it is, and a
//! change is one IMMEDIATE transaction, so a call that failed can be repeated.

use jiff::Timestamp;
use rusqlite::types::{FromSql, Value, ValueRef};
use rusqlite::{Connection, OptionalExtension, Row, Transaction, TransactionBehavior, params};

use super::catalog_dates::{decode, detect, encode};
use super::content::SNAPSHOT_TABLE;
use crate::record::{Record, RestoreStatus, Status};

/// In the order of [`read`] and of the statements in `catalog_mirror.rs`.
pub(super) const COLUMNS: [&str; 12] = [
    "id",
    "name",
    "s3Key",
    "checksum",
    "size",
    "status",
    "restoreStatus",
    "restoreMessage",
    "lastRestoredAt",
    "createdAt",
    "updatedAt",
    "schemaVersion",
];

/// What to say, once, when there is no table.
pub(crate) const MISSING_TABLE_HINT: &str = "the database has no Snapshot table, so snapshots are not listed in it \
     (they are complete and can be restored); to have them listed, run `npx snapshot-writer prisma init` in a Prisma \
     project, else the statements in prisma/migration.sql of this package";

/// Whether there is a catalog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CatalogState {
    Missing,
    Present,
    /// A table of that name that is not the catalog: why not.
    Unusable(String),
}

impl CatalogState {
    /// What to tell the user; nothing when all is well.
    pub(crate) fn warning(&self) -> Option<String> {
        match self {
            Self::Present => None,
            Self::Missing => Some(MISSING_TABLE_HINT.to_owned()),
            Self::Unusable(why) => Some(format!(
                "the Snapshot table cannot be used, so snapshots are not listed in it: {why}; compare it with \
                 prisma/migration.sql of this package"
            )),
        }
    }
}

/// Finds the table and compares its columns with the model.
pub(crate) fn state(conn: &Connection) -> rusqlite::Result<CatalogState> {
    let kind: Option<String> = conn
        .prepare_cached("SELECT type FROM pragma_table_list WHERE schema = 'main' AND name = ?1 COLLATE NOCASE")?
        .query_row([SNAPSHOT_TABLE], |row| row.get(0))
        .optional()?;
    match kind.as_deref() {
        None => Ok(CatalogState::Missing),
        Some("table") => state_of_columns(conn),
        Some(other) => Ok(CatalogState::Unusable(format!("it is a {other}, not a table"))),
    }
}

fn state_of_columns(conn: &Connection) -> rusqlite::Result<CatalogState> {
    struct Column {
        name: String,
        must_be_given: bool,
    }
    let columns = conn
        .prepare_cached("SELECT name, \"notnull\" AND dflt_value IS NULL FROM pragma_table_info(?1, 'main')")?
        .query_map([SNAPSHOT_TABLE], |row| {
            Ok(Column {
                name: row.get(0)?,
                must_be_given: row.get(1)?,
            })
        })?
        .collect::<rusqlite::Result<Vec<_>>>()?;

    let has = |name: &str| columns.iter().any(|column| column.name.eq_ignore_ascii_case(name));
    if let Some(missing) = COLUMNS.iter().find(|name| !has(name)) {
        return Ok(CatalogState::Unusable(format!("the column {missing} is missing")));
    }
    let ours = |name: &str| COLUMNS.iter().any(|column| column.eq_ignore_ascii_case(name));
    if let Some(foreign) = columns
        .iter()
        .find(|column| column.must_be_given && !ours(&column.name))
    {
        return Ok(CatalogState::Unusable(format!(
            "the column {} must be given a value",
            foreign.name
        )));
    }
    Ok(CatalogState::Present)
}

/// Every row that makes sense. Sizes over 2,147,483,647 may be cut to that value here.
pub(crate) fn rows(conn: &Connection) -> rusqlite::Result<Vec<Record>> {
    if state(conn)? != CatalogState::Present {
        return Ok(Vec::new());
    }
    let mut statement = conn.prepare_cached(&select(""))?;
    let mut rows = statement.query([])?;
    let mut records = Vec::new();
    while let Some(row) = rows.next()? {
        records.extend(read_or_warn(row)?);
    }
    Ok(records)
}

/// The row of that name.
#[cfg(test)]
pub(crate) fn find(conn: &Connection, name: &str) -> rusqlite::Result<Option<Record>> {
    find_by(conn, "name", name)
}

/// The row with that id.
#[cfg(test)]
pub(crate) fn find_by_id(conn: &Connection, id: &str) -> rusqlite::Result<Option<Record>> {
    find_by(conn, "id", id)
}

#[cfg(test)]
fn find_by(conn: &Connection, column: &str, value: &str) -> rusqlite::Result<Option<Record>> {
    if state(conn)? != CatalogState::Present {
        return Ok(None);
    }
    let mut statement = conn.prepare_cached(&select(&format!("WHERE \"{column}\" = ?1")))?;
    let mut rows = statement.query([value])?;
    match rows.next()? {
        Some(row) => read_or_warn(row),
        None => Ok(None),
    }
}

/// Writes what became of a restore into the snapshot's own row, and nothing else: `updatedAt`
/// stays, for after a failed restore only these three columns may differ. Without `at`
/// `lastRestoredAt` stays too. Says whether there was such a row.
pub(crate) fn set_restore(
    conn: &Connection,
    id: &str,
    status: RestoreStatus,
    message: Option<&str>,
    at: Option<Timestamp>,
) -> rusqlite::Result<bool> {
    if state(conn)? != CatalogState::Present {
        return Ok(false);
    }
    let tx = Transaction::new_unchecked(conn, TransactionBehavior::Immediate)?;
    let at = match at {
        Some(at) => encode(at, detect(&tx)?),
        None => Value::Null,
    };
    let changed = tx.execute(
        "UPDATE main.\"Snapshot\" SET \"restoreStatus\" = ?2, \"restoreMessage\" = ?3,
                \"lastRestoredAt\" = coalesce(?4, \"lastRestoredAt\")
         WHERE \"id\" = ?1",
        params![id, status.as_str(), message, at],
    )?;
    tx.commit()?;
    Ok(changed > 0)
}

/// Writes where a snapshot has got to into its row. Says whether that changed one.
pub(crate) fn set_status(conn: &Connection, id: &str, status: Status, key: &str) -> rusqlite::Result<bool> {
    if state(conn)? != CatalogState::Present {
        return Ok(false);
    }
    let condition = "WHERE \"id\" = ?1 AND (\"status\" <> ?2 OR \"s3Key\" <> ?3)";
    let differs = format!("SELECT EXISTS (SELECT 1 FROM main.\"Snapshot\" {condition})");
    // Looked at first: a transaction that changes nothing would still hold up others.
    if !conn.query_row(&differs, params![id, status.as_str(), key], |row| row.get::<_, bool>(0))? {
        return Ok(false);
    }
    let tx = Transaction::new_unchecked(conn, TransactionBehavior::Immediate)?;
    let updated_at = encode(Timestamp::now(), detect(&tx)?);
    let changed = tx.execute(
        &format!("UPDATE main.\"Snapshot\" SET \"status\" = ?2, \"s3Key\" = ?3, \"updatedAt\" = ?4 {condition}"),
        params![id, status.as_str(), key, updated_at],
    )?;
    tx.commit()?;
    Ok(changed > 0)
}

/// Takes a snapshot off the list. Says whether it was on it.
pub(crate) fn delete(conn: &Connection, id: &str) -> rusqlite::Result<bool> {
    if state(conn)? != CatalogState::Present {
        return Ok(false);
    }
    let tx = Transaction::new_unchecked(conn, TransactionBehavior::Immediate)?;
    let deleted = tx.execute("DELETE FROM main.\"Snapshot\" WHERE \"id\" = ?1", [id])?;
    tx.commit()?;
    Ok(deleted > 0)
}

fn select(condition: &str) -> String {
    format!(
        "SELECT \"{}\" FROM main.\"Snapshot\" {condition}",
        COLUMNS.join("\", \"")
    )
}

/// A row that cannot be understood is no reason to list none of the others.
fn read_or_warn(row: &Row<'_>) -> rusqlite::Result<Option<Record>> {
    match read(row)? {
        Ok(record) => Ok(Some(record)),
        Err(column) => {
            let id: Option<String> = row.get(0).ok();
            tracing::warn!(
                id,
                column,
                "a row of the Snapshot table cannot be read and is passed over"
            );
            Ok(None)
        }
    }
}

/// The record of a row, or the column that makes no sense. What a record can do without is left
/// out instead; SQLite lets a client write anything anywhere.
fn read(row: &Row<'_>) -> rusqlite::Result<Result<Record, &'static str>> {
    macro_rules! sensible {
        ($index:literal, $read:expr) => {
            match $read(row.get_ref($index)?) {
                Some(value) => value,
                None => return Ok(Err(COLUMNS[$index])),
            }
        };
    }
    Ok(Ok(Record {
        id: sensible!(0, text),
        name: sensible!(1, text),
        s3_key: sensible!(2, text),
        checksum: sensible!(3, text),
        size: sensible!(4, size),
        status: sensible!(5, status),
        restore_status: text(row.get_ref(6)?).and_then(|text| restore_status(&text)),
        restore_message: text(row.get_ref(7)?),
        last_restored_at: decode(row.get_ref(8)?),
        created_at: sensible!(9, decode),
        updated_at: sensible!(10, decode),
        schema_version: i64::column_result(row.get_ref(11)?).unwrap_or(1),
    }))
}

fn text(value: ValueRef<'_>) -> Option<String> {
    value.as_str().ok().map(str::to_owned)
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the range is checked"
)]
fn size(value: ValueRef<'_>) -> Option<u64> {
    match value {
        ValueRef::Integer(bytes) => u64::try_from(bytes).ok(),
        ValueRef::Real(bytes) if (0.0..=9_007_199_254_740_991.0).contains(&bytes) => Some(bytes as u64),
        _ => None,
    }
}

fn status(value: ValueRef<'_>) -> Option<Status> {
    let text = value.as_str().ok()?;
    [Status::Pending, Status::Completed, Status::Failed]
        .into_iter()
        .find(|status| status.as_str() == text)
}

fn restore_status(text: &str) -> Option<RestoreStatus> {
    [RestoreStatus::InProgress, RestoreStatus::Success, RestoreStatus::Failed]
        .into_iter()
        .find(|status| status.as_str() == text)
}

#[cfg(test)]
#[path = "catalog_tests.rs"]
pub(super) mod tests;
