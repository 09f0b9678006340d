//! What the database holds: its tables, whether they have rows, and how they lose them.

use std::collections::BTreeMap;

use rusqlite::Connection;
use rusqlite::config::DbConfig;

use super::sqlite_error::is_about_the_statement;
use super::stand_ins;

/// The application's catalog of snapshots.
pub(super) const SNAPSHOT_TABLE: &str = "Snapshot";
/// Prisma's record of the migrations that made the schema.
pub(super) const PRISMA_MIGRATIONS: &str = "_prisma_migrations";

/// A table of the main database, without SQLite's own.
#[derive(Clone, Debug)]
pub(super) struct Table {
    pub(super) name: String,
    pub(super) kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Ordinary {
        rowid: bool,
    },
    Virtual,
    /// Where a virtual table keeps what it holds: counted and emptied with its owner.
    Shadow,
}

impl Table {
    /// Names of tables are the same in upper and lower case.
    pub(super) fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    fn is_bookkeeping(&self) -> bool {
        self.is(SNAPSHOT_TABLE) || self.is(PRISMA_MIGRATIONS)
    }
}

/// The tables of the main database in no particular order. The shadow tables of a virtual table
/// whose module this build does not know look like ordinary ones: SQLite cannot tell either.
pub(super) fn tables(conn: &Connection) -> rusqlite::Result<Vec<Table>> {
    conn.prepare_cached(
        "SELECT name, type, wr FROM pragma_table_list
         WHERE schema = 'main' AND type <> 'view' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'",
    )?
    .query_map([], |row| {
        let kind = match row.get_ref(1)?.as_str()? {
            "virtual" => Kind::Virtual,
            "shadow" => Kind::Shadow,
            _ => Kind::Ordinary {
                rowid: !row.get::<_, bool>(2)?,
            },
        };
        Ok(Table {
            name: row.get(0)?,
            kind,
        })
    })?
    .collect()
}

/// A name as SQL takes it, whatever is in it.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Whether no core table has a row; in a database without any core table, whether no table but
/// bookkeeping has one. What cannot be read is not empty.
pub(crate) fn is_empty(conn: &Connection, core_tables: &[String]) -> rusqlite::Result<bool> {
    // Whether there are rows does not depend on their order.
    stand_ins::collations(conn)?;
    // One instant for all the questions; each of them reads one row at most, so nobody is held up.
    let _instant = conn.is_autocommit().then(|| conn.unchecked_transaction()).transpose()?;
    let all = tables(conn)?;
    let core: Vec<&Table> = core_tables.iter().filter_map(|name| named(&all, name)).collect();
    let deciding: Vec<&Table> = if core.is_empty() {
        all.iter()
            .filter(|table| !table.is_bookkeeping() && table.kind != Kind::Shadow)
            .collect()
    } else {
        core
    };
    for table in deciding {
        if has_rows(conn, table, &all)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// How many rows each core table has; none when it is absent. One that cannot be counted is left out.
pub(crate) fn core_counts(conn: &Connection, core_tables: &[String]) -> rusqlite::Result<BTreeMap<String, u64>> {
    stand_ins::collations(conn)?;
    let all = tables(conn)?;
    let mut counts = BTreeMap::new();
    for name in core_tables {
        let rows = match named(&all, name) {
            None => 0,
            Some(table) => match count(conn, table) {
                Err(error) if is_about_the_statement(&error) => {
                    tracing::warn!(table = name, %error, "the rows of a table cannot be counted");
                    continue;
                }
                rows => rows?,
            },
        };
        counts.insert(name.clone(), rows);
    }
    Ok(counts)
}

fn named<'a>(all: &'a [Table], name: &str) -> Option<&'a Table> {
    all.iter().find(|table| table.is(name))
}

fn count(conn: &Connection, table: &Table) -> rusqlite::Result<u64> {
    let sql = format!("SELECT count(*) FROM {}", quoted(&table.name));
    conn.query_row(&sql, [], |row| row.get(0)).map(i64::cast_unsigned)
}

fn has_rows(conn: &Connection, table: &Table, all: &[Table]) -> rusqlite::Result<bool> {
    match has_any(conn, &table.name) {
        // Its module, or a tokenizer that it needs, is the application's. What it holds lies in other tables.
        Err(error) if is_about_the_statement(&error) => {
            let holders = holders(conn, table, all)?;
            tracing::warn!(table = table.name, %error, "a table cannot be read; it counts as empty only if what holds its rows is");
            for holder in &holders {
                if has_any(conn, &holder.name)? {
                    return Ok(true);
                }
            }
            Ok(holders.is_empty())
        }
        answer => answer,
    }
}

fn has_any(conn: &Connection, table: &str) -> rusqlite::Result<bool> {
    let sql = format!("SELECT EXISTS (SELECT 1 FROM {})", quoted(table));
    conn.query_row(&sql, [], |row| row.get(0))
}

/// The tables in which a virtual table that cannot be read keeps its rows. A full-text index keeps them in one; of
/// others nobody knows, so each table that is named after it counts.
fn holders<'a>(conn: &Connection, table: &Table, all: &'a [Table]) -> rusqlite::Result<Vec<&'a Table>> {
    let content = format!("{}_content", table.name);
    if is_full_text(&definition(conn, &table.name)?)
        && let Some(content) = named(all, &content)
    {
        return Ok(vec![content]);
    }
    let prefix = format!("{}_", table.name).to_ascii_lowercase();
    let is_holder = |other: &&Table| other.name.to_ascii_lowercase().starts_with(&prefix);
    Ok(all.iter().filter(is_holder).collect())
}

/// Deletes every row and keeps the schema, in the transaction that is open. Rows of the `Snapshot` table go too
/// (the repository is the truth and the table is filled from it again), those of
/// `_prisma_migrations` stay: they belong to the schema, and `migrate deploy` fails without them.
pub(super) fn delete_everything(conn: &Connection) -> rusqlite::Result<()> {
    let _switches = Switches::turn_off(conn)?;
    let all = tables(conn)?;
    // Indexes over another table's content go first, while that content can still be read.
    for table in all.iter().filter(|table| table.kind == Kind::Virtual) {
        empty_virtual_table(conn, table)?;
    }
    for table in &all {
        if matches!(table.kind, Kind::Ordinary { .. }) && !table.is(PRISMA_MIGRATIONS) {
            delete_rows(conn, &table.name)?;
        }
    }
    restart_autoincrement(conn)
}

fn delete_rows(conn: &Connection, table: &str) -> rusqlite::Result<()> {
    conn.execute(&format!("DELETE FROM {}", quoted(table)), []).map(drop)
}

/// By `DELETE` when the module can do it. What cannot (contentless indexes, FTS5 over another
/// table, views of another index) holds nothing of its own and is made anew from its definition.
fn empty_virtual_table(conn: &Connection, table: &Table) -> rusqlite::Result<()> {
    let definition = definition(conn, &table.name)?;
    if is_fts5(&definition) {
        // Over another table's content or none FTS5 has a command of its own, and `DELETE` would
        // ask that content what to forget. A table with its own content refuses the command.
        let name = quoted(&table.name);
        let command = format!("INSERT INTO {name} ({name}) VALUES ('delete-all')");
        match conn.execute(&command, []) {
            Err(error) if is_about_the_statement(&error) => {}
            outcome => return outcome.map(drop),
        }
    }
    match delete_rows(conn, &table.name) {
        Err(error) if is_about_the_statement(&error) => {
            conn.execute_batch(&format!("DROP TABLE {}; {definition}", quoted(&table.name)))
        }
        outcome => outcome,
    }
}

fn definition(conn: &Connection, table: &str) -> rusqlite::Result<String> {
    conn.query_row(
        "SELECT sql FROM main.sqlite_schema WHERE type = 'table' AND name = ?1",
        [table],
        |row| row.get(0),
    )
}

fn is_fts5(definition: &str) -> bool {
    module(definition) == "fts5"
}

fn is_full_text(definition: &str) -> bool {
    ["fts3", "fts4", "fts5"].contains(&module(definition).as_str())
}

/// The module that a definition names, in lower case.
fn module(definition: &str) -> String {
    let mut words = definition
        .split_whitespace()
        .skip_while(|word| !word.eq_ignore_ascii_case("using"));
    let module = words.nth(1).unwrap_or_default().to_ascii_lowercase();
    let end = module.find(|c: char| !(c.is_alphanumeric() || c == '_'));
    module[..end.unwrap_or(module.len())].to_owned()
}

/// `sqlite_sequence` exists once a table with AUTOINCREMENT does.
fn restart_autoincrement(conn: &Connection) -> rusqlite::Result<()> {
    let exists: bool = conn.query_row(
        "SELECT EXISTS (SELECT 1 FROM main.sqlite_schema WHERE name = 'sqlite_sequence')",
        [],
        |row| row.get(0),
    )?;
    if exists {
        delete_rows(conn, "sqlite_sequence")
    } else {
        Ok(())
    }
}

/// Foreign keys and triggers of a connection, off as long as this lives: rows go in any order,
/// and no trigger writes what was just deleted somewhere else. Both are the connection's own
/// settings; nothing of it is stored in the database.
struct Switches<'a> {
    conn: &'a Connection,
    foreign_keys: bool,
    triggers: bool,
}

impl<'a> Switches<'a> {
    fn turn_off(conn: &'a Connection) -> rusqlite::Result<Self> {
        let before = Self {
            conn,
            foreign_keys: conn.db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_FKEY)?,
            triggers: conn.db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER)?,
        };
        before.set(false, false)?;
        Ok(before)
    }

    fn set(&self, foreign_keys: bool, triggers: bool) -> rusqlite::Result<()> {
        self.conn
            .set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_FKEY, foreign_keys)?;
        self.conn
            .set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, triggers)?;
        Ok(())
    }
}

impl Drop for Switches<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.set(self.foreign_keys, self.triggers) {
            tracing::warn!(%error, "could not switch foreign keys and triggers on again");
        }
    }
}

#[cfg(test)]
#[path = "content_tests.rs"]
mod tests;
