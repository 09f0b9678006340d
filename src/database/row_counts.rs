//! How many rows each table has, without holding up whoever writes.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, OptionalExtension};

use super::connect::{database_error, wait_while_busy};
use super::content::{Kind, PRISMA_MIGRATIONS, SNAPSHOT_TABLE, Table, quoted, tables};
use super::image::ImageDatabase;
use super::look::{self, Looking};
use super::stand_ins;
use crate::error::Result;

/// Rows that are counted while the lock of a rollback database is held: about a millisecond.
const SLICE: u64 = 500;
/// How many times longer than the lock was held the database is left alone, as for a snapshot.
const PAUSE_FACTOR: u32 = 15;
const STEPS_PER_LOOK: i32 = 10_000;

/// Rows by table; `None` for a table that would have taken too long.
pub(crate) type Counts = BTreeMap<String, Option<u64>>;

/// Counts the rows of an image.
pub(crate) fn of_image(image: &ImageDatabase) -> Result<Counts> {
    let counted = (|| {
        let conn = image.connection();
        stand_ins::collations(conn)?;
        let mut counts = Counts::new();
        for table in counted_tables(conn)? {
            counts.insert(table.name.clone(), Some(count(conn, &table, "count(*)")?));
        }
        Ok::<_, rusqlite::Error>(counts)
    })();
    counted.map_err(|error| image.why("the rows cannot be counted", error))
}

/// How long counting the live database may take.
pub(crate) struct Limits {
    /// Waiting for SQLite's locks ends then.
    pub(crate) deadline: Instant,
    /// The longest time that writers of a rollback database may be held up by one table.
    pub(crate) longest_hold: Duration,
}

/// Counts the rows of the live database. The counts of a rollback database are not of one instant:
/// they tell sizes, not differences.
pub(crate) fn of_database(path: &Path, limits: &Limits, alive: &dyn Fn() -> Result<()>) -> Result<Counts> {
    let Looking { mut conn, is_settled } = look::open(path)?;
    stand_ins::collations(&conn).map_err(|error| database_error("use", path, error))?;
    let holds_up_nobody = is_settled || wait_while_busy(path, limits.deadline, || is_wal(&conn))?;
    let mut counts = Counts::new();
    for table in wait_while_busy(path, limits.deadline, || counted_tables(&conn))? {
        let rows = match (holds_up_nobody, rowid_of(&conn, &table)) {
            _ if Instant::now() >= limits.deadline => None,
            // A reader of a WAL database takes no lock that writers want.
            (true, _) => Some(wait_while_busy(path, limits.deadline, || {
                count(&conn, &table, "count(*)")
            })?),
            (false, Some(rowid)) => count_in_slices(&conn, path, &table, rowid, limits, alive)?,
            (false, None) => wait_while_busy(path, limits.deadline, || {
                count_within(&mut conn, &table, limits.longest_hold)
            })?,
        };
        counts.insert(table.name, rows);
    }
    Ok(counts)
}

/// The tables whose rows say something: not SQLite's, not virtual, no bookkeeping.
fn counted_tables(conn: &Connection) -> rusqlite::Result<Vec<Table>> {
    let mut all = tables(conn)?;
    all.retain(|table| {
        matches!(table.kind, Kind::Ordinary { .. }) && !table.is(SNAPSHOT_TABLE) && !table.is(PRISMA_MIGRATIONS)
    });
    Ok(all)
}

fn count(conn: &Connection, table: &Table, counter: &str) -> rusqlite::Result<u64> {
    let sql = format!("SELECT {counter} FROM main.{}", quoted(&table.name));
    conn.query_row(&sql, [], |row| row.get::<_, i64>(0))
        .map(i64::cast_unsigned)
}

/// One statement, given up when it takes longer than `limit`.
fn count_within(conn: &mut Connection, table: &Table, limit: Duration) -> rusqlite::Result<Option<u64>> {
    let end = Instant::now() + limit;
    conn.progress_handler(STEPS_PER_LOOK, Some(move || Instant::now() >= end))?;
    // `count(*)` is a single step of SQLite's machine, which nothing can interrupt.
    let counted = count(conn, table, "count(1)");
    conn.progress_handler(0, None::<fn() -> bool>)?;
    match counted {
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted) => Ok(None),
        other => other.map(Some),
    }
}

/// Many short reads, with pauses in which others write.
fn count_in_slices(
    conn: &Connection,
    path: &Path,
    table: &Table,
    rowid: &str,
    limits: &Limits,
    alive: &dyn Fn() -> Result<()>,
) -> Result<Option<u64>> {
    let sql = format!(
        "SELECT count(*), max(r) FROM (SELECT {rowid} AS r FROM main.{} WHERE {rowid} > ?1 ORDER BY {rowid} LIMIT {SLICE})",
        quoted(&table.name)
    );
    let (mut rows, mut last) = (0, i64::MIN);
    loop {
        alive()?;
        let mut held = Duration::ZERO;
        let (found, reached): (u64, Option<i64>) = wait_while_busy(path, limits.deadline, || {
            let begun = Instant::now();
            let slice = conn
                .prepare_cached(&sql)?
                .query_row([last], |row| Ok((row.get::<_, i64>(0)?.cast_unsigned(), row.get(1)?)));
            held = begun.elapsed();
            slice
        })?;
        rows += found;
        match reached {
            Some(reached) if found == SLICE => last = reached,
            _ => return Ok(Some(rows)),
        }
        if Instant::now() >= limits.deadline {
            return Ok(None);
        }
        std::thread::sleep(held * PAUSE_FACTOR);
    }
}

/// A name of the table's rowid that no column of its own hides.
fn rowid_of(conn: &Connection, table: &Table) -> Option<&'static str> {
    if table.kind != (Kind::Ordinary { rowid: true }) {
        return None;
    }
    let is_hidden = |name: &&str| {
        let sql = "SELECT 1 FROM pragma_table_xinfo(?1, 'main') WHERE name = ?2 COLLATE NOCASE";
        let found = conn.query_row(sql, [table.name.as_str(), name], |_| Ok(())).optional();
        !matches!(found, Ok(None))
    };
    ["rowid", "_rowid_", "oid"].into_iter().find(|name| !is_hidden(name))
}

fn is_wal(conn: &Connection) -> rusqlite::Result<bool> {
    conn.query_row("PRAGMA journal_mode", [], |row| row.get::<_, String>(0))
        .map(|mode| mode.eq_ignore_ascii_case("wal"))
}

#[cfg(test)]
#[path = "row_counts_tests.rs"]
mod tests;
