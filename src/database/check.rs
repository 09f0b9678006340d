//! SQLite's own checks of an image, and what may be concluded from them.

use std::collections::BTreeSet;
use std::sync::Arc;

use rusqlite::{Connection, ErrorCode};

use super::comparable::{has_plain_key, is_plain, knows_entries};
use super::content::{quoted, tables};
use super::findings::{self, Finding};
use super::image::ImageDatabase;
use super::sqlite_error::{is_damage, said};
use super::stand_ins;
use crate::config::Check;
use crate::error::{Code, Error, Result};

/// Findings after which SQLite stops looking: enough to tell a bad page from a bad file.
const MAX_FINDINGS: usize = 10;
/// Virtual machine steps between two looks at whether anybody still waits.
const STEPS_PER_LOOK: i32 = 100_000;

/// Whether somebody still waits for the answer.
pub(crate) type Alive = Arc<dyn Fn() -> bool + Send + Sync>;

/// What a check came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Judgement {
    /// SQLite finds nothing wrong.
    Sound,
    /// The file is not put together as a database is; seen twice, over two connections.
    Damaged(String),
    /// Nothing is known to be damaged. What could not be judged, and content that breaks a rule of the schema; one
    /// sentence each.
    Unjudged(Vec<String>),
}

impl Judgement {
    /// The finding, and what could not be judged.
    pub(crate) fn into_parts(self) -> (Option<String>, Vec<String>) {
        match self {
            Self::Sound => (None, Vec::new()),
            Self::Damaged(finding) => (Some(finding), Vec::new()),
            Self::Unjudged(reasons) => (None, reasons),
        }
    }
}

/// Runs `quick_check` or `integrity_check`. Only damage that shows again on a fresh connection is damage.
pub(crate) fn check(image: &ImageDatabase, level: Check, alive: Alive) -> Result<Judgement> {
    let pragma = match level {
        Check::None => return Ok(Judgement::Sound),
        Check::Quick => "quick_check",
        Check::Full => "integrity_check",
    };
    let examination = Examination { image, pragma, alive };
    match examination.judge()? {
        Judgement::Damaged(first) => {
            let second = examination.judge()?;
            if !matches!(second, Judgement::Damaged(_)) {
                tracing::warn!(
                    finding = first,
                    "SQLite found damage that it does not find a second time"
                );
            }
            Ok(second)
        }
        other => Ok(other),
    }
}

/// What is known of the references between rows.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct ForeignKeys {
    /// Rows that point to missing rows.
    pub(crate) broken: Option<String>,
    /// Tables that could not be asked, one sentence each.
    pub(crate) unjudged: Vec<String>,
}

/// Runs `foreign_key_check`, table by table where one of them stands in the way.
pub(crate) fn check_foreign_keys(image: &ImageDatabase) -> Result<ForeignKeys> {
    let examination = Examination {
        image,
        pragma: "foreign_key_check",
        alive: Arc::new(|| true),
    };
    let conn = examination.connect()?;
    let (mut broken, mut unjudged) = (Vec::new(), Vec::new());
    let (rows, obstacle) = examination.rows(&conn, "PRAGMA foreign_key_check", missing_parent)?;
    match obstacle {
        None => broken = rows,
        Some(_) => examination.by_table(&conn, missing_parent, |table, rows, obstacle| {
            broken.extend(rows);
            unjudged.extend(obstacle.map(|error| not_judged(table, &error)));
        })?,
    }
    broken.truncate(MAX_FINDINGS);
    Ok(ForeignKeys {
        broken: (!broken.is_empty()).then(|| broken.join("; ")),
        unjudged: shortened(unjudged),
    })
}

type Row<'a> = rusqlite::Row<'a>;

fn missing_parent(row: &Row<'_>) -> rusqlite::Result<String> {
    let (table, rowid, parent): (String, Option<i64>, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
    let rowid = rowid.map_or("?".to_owned(), |id| id.to_string());
    Ok(format!("row {rowid} of {table} points to a missing row of {parent}"))
}

fn line(row: &Row<'_>) -> rusqlite::Result<String> {
    Ok(String::from_utf8_lossy(row.get_ref(0)?.as_bytes()?).into_owned())
}

fn not_judged(table: &str, error: &rusqlite::Error) -> String {
    format!("{table} could not be judged: {}", said(error))
}

/// One examination of an image, over connections of its own.
struct Examination<'a> {
    image: &'a ImageDatabase,
    pragma: &'static str,
    alive: Alive,
}

/// What has come up so far.
#[derive(Default)]
struct Notes {
    damage: Vec<String>,
    unjudged: Vec<String>,
}

impl Examination<'_> {
    fn judge(&self) -> Result<Judgement> {
        let conn = self.connect()?;
        let mut notes = Notes::default();
        let ask = |most: usize| self.rows(&conn, &format!("PRAGMA {}({most})", self.pragma), line);
        let (mut rows, mut obstacle) = ask(MAX_FINDINGS)?;
        self.take_down(&conn, &rows, &mut notes);
        if obstacle.is_none() && rows.len() >= MAX_FINDINGS && notes.damage.is_empty() {
            // Content against the rules, in row after row, must not hide what comes behind it.
            (rows, obstacle) = ask(i32::MAX as usize)?;
            notes = Notes::default();
            self.take_down(&conn, &rows, &mut notes);
        }
        match obstacle {
            // Damage that stops the check comes after what it has found already.
            Some(error) if is_damage(&error) => notes.damage.push(said(&error)),
            // One table that cannot be judged must not hide what is wrong with the file.
            Some(_) if notes.damage.is_empty() => {
                self.look_at_structure(&mut notes)?;
                self.look_at_tables(&conn, &mut notes)?;
            }
            _ => {}
        }
        Ok(if !notes.damage.is_empty() {
            notes.damage.truncate(MAX_FINDINGS);
            Judgement::Damaged(notes.damage.join("; "))
        } else if notes.unjudged.is_empty() {
            Judgement::Sound
        } else {
            Judgement::Unjudged(shortened(notes.unjudged))
        })
    }

    /// Every page of the file, whatever the schema needs that is not here. What SQLite says of the content then comes
    /// from the stand-ins and counts for nothing.
    fn look_at_structure(&self, notes: &mut Notes) -> Result<()> {
        let conn = self.connect()?;
        stand_ins::forget_modules(&conn);
        stand_ins::collations(&conn).map_err(cannot_prepare)?;
        let mut missing = BTreeSet::new();
        loop {
            let (rows, obstacle) = self.rows(&conn, &format!("PRAGMA quick_check({MAX_FINDINGS})"), line)?;
            if let Some(error) = &obstacle
                && missing.insert(said(error))
                && stand_ins::function(&conn, error).map_err(cannot_prepare)?
            {
                continue;
            }
            for finding in rows.iter().flat_map(|row| findings::read(row)) {
                match finding {
                    Finding::Structure(line) => notes.damage.push(line.to_owned()),
                    Finding::Machine(line) => notes.unjudged.push(line.to_owned()),
                    _ => {}
                }
            }
            match obstacle {
                Some(error) if is_damage(&error) => notes.damage.push(said(&error)),
                Some(error) => notes.unjudged.push(format!(
                    "the structure of the file could not be judged: {}",
                    said(&error)
                )),
                None => {}
            }
            return Ok(());
        }
    }

    /// The content of each table by itself.
    fn look_at_tables(&self, conn: &Connection, notes: &mut Notes) -> Result<()> {
        self.by_table(conn, line, |table, rows, obstacle| {
            self.take_down(conn, &rows, notes);
            match obstacle {
                Some(error) if is_damage(&error) => notes.damage.push(said(&error)),
                Some(error) => notes.unjudged.push(not_judged(table, &error)),
                None => {}
            }
        })
    }

    fn by_table(
        &self,
        conn: &Connection,
        read: fn(&Row<'_>) -> rusqlite::Result<String>,
        mut take: impl FnMut(&str, Vec<String>, Option<rusqlite::Error>),
    ) -> Result<()> {
        let tables = match tables(conn) {
            Ok(tables) => tables,
            Err(error) => {
                self.stop_for(&error)?;
                take("the list of tables", Vec::new(), Some(error));
                return Ok(());
            }
        };
        for table in tables {
            let sql = format!("PRAGMA {}({})", self.pragma, quoted(&table.name));
            let (rows, obstacle) = self.rows(conn, &sql, read)?;
            take(&table.name, rows, obstacle);
        }
        Ok(())
    }

    /// Sorts what the check of a whole image, or of a table, has said.
    fn take_down(&self, conn: &Connection, rows: &[String], notes: &mut Notes) {
        for row in rows.iter().filter(|row| *row != "ok") {
            for finding in findings::read(row) {
                let (is_damage, what) = match finding {
                    Finding::Structure(line) => (true, line),
                    Finding::Machine(line) => (false, line),
                    Finding::Count { index } => (knows_entries(conn, index), row.as_str()),
                    Finding::Entries { index } => (knows_entries(conn, index) && is_plain(conn, index), row.as_str()),
                    Finding::Order { table } => (has_plain_key(conn, table), row.as_str()),
                    Finding::Content => (false, row.as_str()),
                };
                let notes = if is_damage {
                    &mut notes.damage
                } else {
                    &mut notes.unjudged
                };
                notes.push(what.to_owned());
            }
        }
    }

    fn connect(&self) -> Result<Connection> {
        let mut conn = self.image.another_connection()?;
        let alive = Arc::clone(&self.alive);
        conn.progress_handler(STEPS_PER_LOOK, Some(move || !alive()))
            .map_err(cannot_prepare)?;
        Ok(conn)
    }

    /// What a statement gives, of many rows that say the same the first ones, and the error of SQLite that ended it.
    fn rows(
        &self,
        conn: &Connection,
        sql: &str,
        read: fn(&Row<'_>) -> rusqlite::Result<String>,
    ) -> Result<(Vec<String>, Option<rusqlite::Error>)> {
        let (mut rows, mut kinds) = (Vec::new(), BTreeSet::new());
        let outcome = (|| {
            let mut statement = conn.prepare(sql)?;
            for row in statement.query_map([], read)? {
                let row = row?;
                let is_new = kinds.insert(findings::kind(&row));
                if is_new || rows.len() < MAX_FINDINGS {
                    rows.push(row);
                }
            }
            Ok(())
        })();
        // SQLite makes a finding of a page that cannot be read; why it could not is known here.
        if let Some(inner) = self.image.take_error() {
            return Err(inner);
        }
        let obstacle = outcome.err();
        if let Some(error) = &obstacle {
            self.stop_for(error)?;
        }
        Ok((rows, obstacle))
    }

    fn stop_for(&self, error: &rusqlite::Error) -> Result<()> {
        if let Some(inner) = self.image.take_error() {
            return Err(inner);
        }
        match error.sqlite_error_code() {
            Some(ErrorCode::OperationInterrupted) => {
                Err(Error::new(Code::Aborted, "the application ended; nothing was changed"))
            }
            _ => Ok(()),
        }
    }
}

/// A list that a manifest and a line of a log can hold.
fn shortened(mut reasons: Vec<String>) -> Vec<String> {
    const LONGEST: usize = 300;
    reasons.dedup();
    let more = reasons.len().saturating_sub(MAX_FINDINGS);
    reasons.truncate(MAX_FINDINGS);
    for reason in &mut reasons {
        if let Some((end, _)) = reason.char_indices().nth(LONGEST) {
            reason.truncate(end);
            reason.push('…');
        }
    }
    if more > 0 {
        reasons.push(format!("and {more} more"));
    }
    reasons
}

fn cannot_prepare(error: rusqlite::Error) -> Error {
    Error::new(Code::Internal, "cannot prepare the check").because(error)
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
