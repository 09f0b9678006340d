//! How the application's database spells a moment in time.
//!
//! SQLite has no type for dates, and clients write them differently: Prisma's driver adapters ISO
//! text by default and integer milliseconds on request. A column that mixes the two breaks the
//! client's filters and ordering without a word, because SQLite sorts every number before every
//! text. So every format is read, and the one that is there already is written.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::Offset;
use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, Row};

use super::content::{Kind, PRISMA_MIGRATIONS, SNAPSHOT_TABLE, Table, quoted, tables};

/// The formats that are written. Text without an offset (`CURRENT_TIMESTAMP`) is only read: it is
/// what a column's default makes of a raw `INSERT` and tells nothing about the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DateFormat {
    /// `2026-11-22T22:00:46.571+00:00`: Prisma's driver adapters.
    IsoText,
    /// `2026-11-22T22:00:46.571Z`: JavaScript's `toISOString()`.
    IsoZulu,
    /// Milliseconds since 1970.
    IntegerMillis,
}

/// The date columns of the `Snapshot` table, the one that the table is ordered by first.
const SNAPSHOT_DATES: [&str; 3] = ["createdAt", "updatedAt", "lastRestoredAt"];

/// How many of a table's last rows are looked at: some may be empty or say nothing.
const SAMPLE: u32 = 16;

/// Finds the format to write: the `Snapshot` table's (its newest row's when they are mixed), else
/// that of the application's other tables, else that of Prisma's own, else ISO text.
///
/// Prisma's bookkeeping comes last because another program writes it (the schema engine), whose
/// format need not be the client's.
pub(crate) fn detect(conn: &Connection) -> rusqlite::Result<DateFormat> {
    let (snapshot, others): (Vec<Table>, Vec<Table>) = tables(conn)?
        .into_iter()
        .filter(|table| matches!(table.kind, Kind::Ordinary { .. }))
        .partition(|table| table.is(SNAPSHOT_TABLE));
    let (migrations, others): (Vec<Table>, Vec<Table>) =
        others.into_iter().partition(|table| table.is(PRISMA_MIGRATIONS));

    if let Some(snapshot) = snapshot.first()
        && let Some(format) = format_of_newest_row(conn, snapshot)?
    {
        return Ok(format);
    }
    for group in [others, migrations] {
        if let Some(format) = format_of_newest_date(conn, &group)? {
            return Ok(format);
        }
    }
    Ok(DateFormat::IsoText)
}

/// All rows of the catalog are looked at: it is short, and its order is not its age.
fn format_of_newest_row(conn: &Connection, snapshot: &Table) -> rusqlite::Result<Option<DateFormat>> {
    let present = columns(conn, &snapshot.name)?;
    let dates: Vec<String> = SNAPSHOT_DATES
        .iter()
        .filter(|date| present.iter().any(|(name, _)| name.eq_ignore_ascii_case(date)))
        .map(|date| quoted(date))
        .collect();
    if dates.is_empty() {
        return Ok(None);
    }
    let sql = format!("SELECT {} FROM {}", dates.join(", "), quoted(&snapshot.name));
    let mut statement = conn.prepare(&sql)?;
    let mut rows = statement.query([])?;
    let mut newest = None;
    while let Some(row) = rows.next()? {
        newest = newest.max_by_time(evidence_of_row(row, dates.len())?);
    }
    Ok(newest.map(|(_, format)| format))
}

/// What a row's first telling date says; its age is its first readable date.
fn evidence_of_row(row: &Row<'_>, dates: usize) -> rusqlite::Result<Option<Evidence>> {
    let (mut time, mut format) = (None, None);
    for index in 0..dates {
        let value = row.get_ref(index)?;
        time = time.or_else(|| decode(value));
        format = format.or_else(|| format_of(value));
    }
    Ok(time.zip(format))
}

fn format_of_newest_date(conn: &Connection, tables: &[Table]) -> rusqlite::Result<Option<DateFormat>> {
    let mut newest = None;
    for table in tables {
        for (column, declared) in columns(conn, &table.name)? {
            if declared.eq_ignore_ascii_case("DATETIME") {
                newest = newest.max_by_time(evidence_of_column(conn, table, &column)?);
            }
        }
    }
    Ok(newest.map(|(_, format)| format))
}

/// The newest telling date among a table's last rows: a large table is not read from end to end.
fn evidence_of_column(conn: &Connection, table: &Table, column: &str) -> rusqlite::Result<Option<Evidence>> {
    let last_first = match table.kind {
        Kind::Ordinary { rowid: true } => "ORDER BY rowid DESC",
        _ => "",
    };
    let (column, table) = (quoted(column), quoted(&table.name));
    let mut statement = conn.prepare(&format!("SELECT {column} FROM {table} {last_first} LIMIT {SAMPLE}"))?;
    let mut rows = statement.query([])?;
    let mut newest = None;
    while let Some(row) = rows.next()? {
        newest = newest.max_by_time(evidence_of_row(row, 1)?);
    }
    Ok(newest)
}

/// A moment and the format it was found in.
type Evidence = (Timestamp, DateFormat);

trait Newest {
    /// The newer of the two; of equal ones the later seen.
    fn max_by_time(self, other: Self) -> Self;
}

impl Newest for Option<Evidence> {
    fn max_by_time(self, other: Self) -> Self {
        match (self, other) {
            (Some(kept), Some(seen)) if kept.0 > seen.0 => Some(kept),
            (kept, seen) => seen.or(kept),
        }
    }
}

/// Names and declared types of a table's columns.
fn columns(conn: &Connection, table: &str) -> rusqlite::Result<Vec<(String, String)>> {
    conn.prepare_cached("SELECT name, type FROM pragma_table_xinfo(?1, 'main')")?
        .query_map([table], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect()
}

/// What a stored date says about the client that wrote it.
fn format_of(value: ValueRef<'_>) -> Option<DateFormat> {
    decode(value)?;
    match value {
        // Digits in a column declared TEXT: an integer written there turns into digits by itself.
        ValueRef::Integer(_) | ValueRef::Real(_) => Some(DateFormat::IntegerMillis),
        ValueRef::Text(text) if number(text).is_some() => Some(DateFormat::IntegerMillis),
        ValueRef::Text(text) if !text.contains(&b'T') => None,
        ValueRef::Text([.., b'Z' | b'z']) => Some(DateFormat::IsoZulu),
        ValueRef::Text(_) => Some(DateFormat::IsoText),
        ValueRef::Null | ValueRef::Blob(_) => None,
    }
}

/// A moment as it is stored; finer than milliseconds is cut off, as JavaScript's `Date` does.
pub(crate) fn encode(time: Timestamp, format: DateFormat) -> Value {
    match format {
        DateFormat::IsoText => Value::Text(time.strftime("%Y-%m-%dT%H:%M:%S%.3f+00:00").to_string()),
        DateFormat::IsoZulu => Value::Text(time.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()),
        DateFormat::IntegerMillis => Value::Integer(time.as_millisecond()),
    }
}

/// Reads what any client may have written. Text without an offset is UTC, as SQLite's own
/// functions and Prisma have it.
pub(crate) fn decode(value: ValueRef<'_>) -> Option<Timestamp> {
    match value {
        ValueRef::Integer(millis) => Timestamp::from_millisecond(millis).ok(),
        ValueRef::Real(millis) => from_float(millis),
        ValueRef::Text(text) => number(text).map_or_else(|| from_iso(text), from_float),
        ValueRef::Null | ValueRef::Blob(_) => None,
    }
}

fn number(text: &[u8]) -> Option<f64> {
    let text = str::from_utf8(text).ok()?.trim();
    // `parse` also takes "inf" and "nan"; a moment begins with a digit or a sign.
    if text.starts_with(|c: char| c.is_ascii_digit() || c == '-') {
        text.parse().ok()
    } else {
        None
    }
}

/// Every moment that jiff knows is well below 2^53 milliseconds, so nothing is lost on the way.
#[allow(clippy::cast_possible_truncation, reason = "from_millisecond refuses what saturated")]
fn from_float(millis: f64) -> Option<Timestamp> {
    Timestamp::from_millisecond(millis.is_finite().then_some(millis as i64)?).ok()
}

fn from_iso(text: &[u8]) -> Option<Timestamp> {
    let text = str::from_utf8(text).ok()?.trim();
    let time = text.parse::<Timestamp>().ok().or_else(|| {
        let time: DateTime = text.parse().ok()?;
        Offset::UTC.to_timestamp(time).ok()
    })?;
    Timestamp::from_millisecond(time.as_millisecond()).ok()
}

#[cfg(test)]
#[path = "catalog_dates_tests.rs"]
mod tests;
