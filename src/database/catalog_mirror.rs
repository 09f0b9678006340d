//! Making the `Snapshot` table say what the repository says.

use std::collections::{HashMap, HashSet};

use rusqlite::types::Value;
use rusqlite::{Connection, Transaction, TransactionBehavior, params};

use super::catalog::{CatalogState, rows, state};
use super::catalog_dates::{DateFormat, detect, encode};
use crate::config::CatalogSize;
use crate::record::{Record, RestoreStatus, Status};

/// Prisma's `Int` as its Rust engines read it; one larger value makes every `findMany` fail.
pub(super) const LARGEST_INT: u64 = i32::MAX as u64;

/// What a change did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Written {
    /// Rows added, changed or removed.
    pub(crate) rows: usize,
    /// A size was cut to what every client can read, which deserves a warning.
    pub(crate) clamped: bool,
}

/// Adds each record, or updates the row with its id.
///
/// A name is unique, and the record takes it over from any other row: that is a `FAILED` attempt,
/// or its snapshot is gone from the repository (where names are unique as well). A record that is
/// itself `FAILED` takes a name from a `FAILED` row only and is otherwise not written: the story of
/// an attempt must not push a snapshot off the list.
pub(crate) fn upsert(conn: &Connection, records: &[Record], size: CatalogSize) -> rusqlite::Result<Written> {
    if records.is_empty() || state(conn)? != CatalogState::Present {
        return Ok(Written::default());
    }
    let tx = Transaction::new_unchecked(conn, TransactionBehavior::Immediate)?;
    let writer = Writer {
        conn: &tx,
        format: detect(&tx)?,
        size,
    };
    let mut written = Written::default();
    for record in records {
        writer.place(record, &mut written)?;
    }
    tx.commit()?;
    Ok(written)
}

/// Makes the table mirror `records`, the manifests of this lineage, after a restore or bootstrap
/// has put an older table in place. The repository is the truth, so:
/// - a record without a row gets one, and a row that says something else is corrected;
/// - a row without a record stays when it is `FAILED` (it tells a story that the repository does
///   not know), when `keep` says that its snapshot exists (old plain snapshots), or when it cannot
///   be read (it may be anything). Otherwise its snapshot is gone, and the row goes too;
/// - unless there are no records at all: then it is more likely that the repository was not found
///   than that everything was deleted, and nothing is removed;
/// - a row that says `IN_PROGRESS` was photographed during a restore that is long over: the caller
///   holds the repository's lock, so no restore is running but its own, whose outcome it writes
///   after this.
///
/// Nothing is locked when nothing differs.
pub(crate) fn reconcile(
    conn: &Connection,
    records: &[Record],
    keep: impl Fn(&Record) -> bool,
    size: CatalogSize,
) -> rusqlite::Result<Written> {
    let records = one_for_each_name(records);
    if state(conn)? != CatalogState::Present || Differences::find(conn, &records, &keep, size)?.is_empty() {
        return Ok(Written::default());
    }
    let tx = Transaction::new_unchecked(conn, TransactionBehavior::Immediate)?;
    // Looked at again: somebody may have written before the lock was ours.
    let differences = Differences::find(&tx, &records, &keep, size)?;
    let mut written = Written::default();
    // The format is that of the table as it was found, even if all its rows go.
    let writer = Writer {
        conn: &tx,
        format: detect(&tx)?,
        size,
    };
    for id in &differences.gone {
        written.rows += tx.execute("DELETE FROM main.\"Snapshot\" WHERE \"id\" = ?1", [id])?;
    }
    for id in &differences.interrupted {
        written.rows += tx.execute(
            "UPDATE main.\"Snapshot\" SET \"restoreStatus\" = NULL, \"restoreMessage\" = NULL WHERE \"id\" = ?1",
            [id],
        )?;
    }
    for record in &differences.to_write {
        writer.place(record, &mut written)?;
    }
    tx.commit()?;
    Ok(written)
}

/// Two hosts may have given two snapshots of one bucket the same name; the table has room for one.
/// The newest has it: the last one, for they are given oldest first.
fn one_for_each_name(records: &[Record]) -> Vec<&Record> {
    let mut newest: HashMap<&str, &Record> = HashMap::new();
    for record in records {
        let holder = newest.entry(&record.name).or_insert(record);
        if holder.id == record.id {
            continue;
        }
        tracing::warn!(
            name = record.name,
            "two snapshots have one name; the table lists the newer one"
        );
        *holder = record;
    }
    records
        .iter()
        .filter(|record| newest[record.name.as_str()].id == record.id)
        .collect()
}

/// What the table says and the repository does not, and the other way round.
#[derive(Default)]
struct Differences<'a> {
    to_write: Vec<&'a Record>,
    gone: Vec<String>,
    interrupted: Vec<String>,
}

impl<'a> Differences<'a> {
    fn find(
        conn: &Connection,
        records: &[&'a Record],
        keep: impl Fn(&Record) -> bool,
        size: CatalogSize,
    ) -> rusqlite::Result<Self> {
        let rows = rows(conn)?;
        let by_id: HashMap<&str, &Record> = rows.iter().map(|row| (row.id.as_str(), row)).collect();
        let explained: HashSet<&str> = records.iter().map(|record| record.id.as_str()).collect();
        let mut differences = Self::default();
        for record in records {
            if !by_id
                .get(record.id.as_str())
                .is_some_and(|row| says_the_same(row, record, size))
            {
                differences.to_write.push(record);
            }
        }
        for row in &rows {
            let stays = explained.contains(row.id.as_str()) || row.status == Status::Failed || keep(row);
            if !stays && !records.is_empty() {
                differences.gone.push(row.id.clone());
            } else if row.restore_status == Some(RestoreStatus::InProgress) {
                differences.interrupted.push(row.id.clone());
            }
        }
        Ok(differences)
    }

    fn is_empty(&self) -> bool {
        self.to_write.is_empty() && self.gone.is_empty() && self.interrupted.is_empty()
    }
}

/// Whether a row mirrors its record. The dates of a snapshot's making never change, so they are
/// not compared; what a record does not know of restores is the row's to know.
fn says_the_same(row: &Record, record: &Record, size: CatalogSize) -> bool {
    let restores_agree = !knows_of_restores(record)
        || (row.restore_status, &row.restore_message) == (record.restore_status, &record.restore_message)
            && row.last_restored_at.map(|at| at.as_millisecond())
                == record.last_restored_at.map(|at| at.as_millisecond());
    restores_agree
        && (&row.name, &row.s3_key, &row.checksum, row.status)
            == (&record.name, &record.s3_key, &record.checksum, record.status)
        && row.size == stored_size(record, size)
}

fn knows_of_restores(record: &Record) -> bool {
    record.restore_status.is_some() || record.restore_message.is_some() || record.last_restored_at.is_some()
}

fn stored_size(record: &Record, size: CatalogSize) -> u64 {
    match size {
        CatalogSize::Clamped => record.size.min(LARGEST_INT),
        CatalogSize::Exact => record.size,
    }
}

/// Writes records inside a transaction.
struct Writer<'a> {
    conn: &'a Connection,
    format: DateFormat,
    size: CatalogSize,
}

impl Writer<'_> {
    fn place(&self, record: &Record, written: &mut Written) -> rusqlite::Result<()> {
        if record.status == Status::Failed && self.name_is_a_snapshots(record)? {
            tracing::warn!(
                name = record.name,
                "a snapshot has this name; the failed attempt is not listed"
            );
            return Ok(());
        }
        self.clear_the_way(record)?;
        if self.update(record)? == 0 {
            self.insert(record)?;
        }
        written.rows += 1;
        written.clamped |= stored_size(record, self.size) < record.size;
        Ok(())
    }

    fn name_is_a_snapshots(&self, record: &Record) -> rusqlite::Result<bool> {
        self.conn
            .prepare_cached(
                "SELECT EXISTS (SELECT 1 FROM main.\"Snapshot\"
                 WHERE \"name\" = ?1 AND \"id\" <> ?2 AND \"status\" <> 'FAILED')",
            )?
            .query_row([&record.name, &record.id], |row| row.get(0))
    }

    /// The name's former holder goes. So does the record's own row when it tells of a failure that
    /// is over: its message is the reason of that failure and would otherwise stay.
    fn clear_the_way(&self, record: &Record) -> rusqlite::Result<()> {
        self.conn
            .prepare_cached(
                "DELETE FROM main.\"Snapshot\"
                 WHERE \"name\" = ?1 AND \"id\" <> ?2
                    OR \"id\" = ?2 AND \"status\" = 'FAILED' AND ?3 <> 'FAILED'",
            )?
            .execute([&record.name, &record.id, record.status.as_str()])
            .map(drop)
    }

    /// Restores of the snapshot that the record does not know of stay in the row.
    fn update(&self, record: &Record) -> rusqlite::Result<usize> {
        self.conn
            .prepare_cached(
                "UPDATE main.\"Snapshot\" SET
                    \"name\" = ?2, \"s3Key\" = ?3, \"checksum\" = ?4, \"size\" = ?5, \"status\" = ?6,
                    \"restoreStatus\" = iif(?13, ?7, \"restoreStatus\"),
                    \"restoreMessage\" = iif(?13, ?8, \"restoreMessage\"),
                    \"lastRestoredAt\" = iif(?13, ?9, \"lastRestoredAt\"),
                    \"createdAt\" = ?10, \"updatedAt\" = ?11, \"schemaVersion\" = ?12
                 WHERE \"id\" = ?1",
            )?
            .execute(params![
                record.id,
                record.name,
                record.s3_key,
                record.checksum,
                self.size_of(record),
                record.status.as_str(),
                record.restore_status.map(RestoreStatus::as_str),
                record.restore_message,
                self.date(record.last_restored_at),
                self.date(Some(record.created_at)),
                self.date(Some(record.updated_at)),
                record.schema_version,
                knows_of_restores(record),
            ])
    }

    fn insert(&self, record: &Record) -> rusqlite::Result<usize> {
        self.conn
            .prepare_cached(
                "INSERT INTO main.\"Snapshot\"
                    (\"id\", \"name\", \"s3Key\", \"checksum\", \"size\", \"status\", \"restoreStatus\",
                     \"restoreMessage\", \"lastRestoredAt\", \"createdAt\", \"updatedAt\", \"schemaVersion\")
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
            )?
            .execute(params![
                record.id,
                record.name,
                record.s3_key,
                record.checksum,
                self.size_of(record),
                record.status.as_str(),
                record.restore_status.map(RestoreStatus::as_str),
                record.restore_message,
                self.date(record.last_restored_at),
                self.date(Some(record.created_at)),
                self.date(Some(record.updated_at)),
                record.schema_version,
            ])
    }

    fn size_of(&self, record: &Record) -> i64 {
        i64::try_from(stored_size(record, self.size)).unwrap_or(i64::MAX)
    }

    fn date(&self, at: Option<jiff::Timestamp>) -> Value {
        at.map_or(Value::Null, |at| encode(at, self.format))
    }
}

#[cfg(test)]
#[path = "catalog_mirror_tests.rs"]
mod tests;
