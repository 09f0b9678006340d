//! SQLite's own checks of an image.

use std::sync::Arc;

use rusqlite::Connection;

use super::connect::is_damage;
use super::image::ImageDatabase;
use crate::config::Check;
use crate::error::{Code, Error, Result};

/// Findings after which SQLite stops looking: enough to tell a bad page from a bad file.
const MAX_FINDINGS: usize = 10;
/// Virtual machine steps between two looks at whether anybody still waits.
const STEPS_PER_LOOK: i32 = 100_000;

/// Runs `quick_check` or `integrity_check`; returns SQLite's findings, `None` when all is well.
pub(crate) fn check(
    image: &mut ImageDatabase,
    level: Check,
    alive: Arc<dyn Fn() -> bool + Send + Sync>,
) -> Result<Option<String>> {
    let pragma = match level {
        Check::None => return Ok(None),
        Check::Quick => "quick_check",
        Check::Full => "integrity_check",
    };
    let interrupt = move || !alive();
    image
        .connection_mut()
        .progress_handler(STEPS_PER_LOOK, Some(interrupt))
        .map_err(|error| Error::new(Code::Internal, "cannot watch the check").because(error))?;
    let findings = rows(image.connection(), &format!("PRAGMA {pragma}({MAX_FINDINGS})"), |row| {
        row.get(0)
    });
    judge(image, findings, |findings| findings == ["ok"])
}

/// Runs `foreign_key_check`; returns what it found, `None` when all is well.
pub(crate) fn check_foreign_keys(image: &ImageDatabase) -> Result<Option<String>> {
    let findings = rows(image.connection(), "PRAGMA foreign_key_check", |row| {
        let (table, rowid, parent): (String, Option<i64>, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
        Ok(format!(
            "row {} of {table} points to a missing row of {parent}",
            rowid.map_or("?".to_owned(), |id| id.to_string())
        ))
    });
    judge(image, findings, <[String]>::is_empty)
}

fn rows(
    conn: &Connection,
    sql: &str,
    read: impl Fn(&rusqlite::Row<'_>) -> rusqlite::Result<String>,
) -> rusqlite::Result<Vec<String>> {
    let mut statement = conn.prepare(sql)?;
    let mut findings = Vec::new();
    for finding in statement.query_map([], |row| read(row))?.take(MAX_FINDINGS) {
        match finding {
            Ok(finding) => findings.push(finding),
            // Damage that stops the check comes after what it has found already.
            Err(error) if is_damage(&error) && !findings.is_empty() => findings.push(error.to_string()),
            Err(error) => return Err(error),
        }
    }
    Ok(findings)
}

fn judge(
    image: &ImageDatabase,
    findings: rusqlite::Result<Vec<String>>,
    is_good: impl Fn(&[String]) -> bool,
) -> Result<Option<String>> {
    match findings {
        Ok(findings) if is_good(&findings) => Ok(None),
        Ok(findings) => Ok(Some(findings.join("; "))),
        Err(error) => {
            if let Some(inner) = image.take_error() {
                return Err(inner);
            }
            match error.sqlite_error_code() {
                Some(rusqlite::ErrorCode::OperationInterrupted) => {
                    Err(Error::new(Code::Aborted, "the application ended; nothing was changed").because(error))
                }
                // A damaged schema shows as an error of the check, not as a finding.
                _ => Ok(Some(error.to_string())),
            }
        }
    }
}
