//! The schema cookie that a restore sets: by it, a commit is known again.

use std::path::Path;
use std::time::Instant;

use super::connect::{database_error, open_for_restore, retry_while_busy};
use super::source::schema_cookie;
use crate::error::Result;

/// A restore draws a schema cookie at random that is at least this far from the one before it. SQLite only
/// asks whether it is another one; here it tells later, whatever happened to the file, that this very
/// restore had committed. No number of migrations reaches this far.
const STEP: u32 = 1 << 20;

/// Whether the cookie `now` says that the restore that set `drawn` has committed. The application's own
/// changes of its schema add one each.
pub(super) fn is_of(drawn: u32, now: u32) -> bool {
    now.wrapping_sub(drawn) < STEP / 16
}

/// A cookie for the next restore of a database that has this one.
pub(super) fn draw(live: u32) -> u32 {
    loop {
        let (random, _) = uuid::Uuid::new_v4().as_u64_pair();
        let drawn = random as u32;
        if drawn.wrapping_sub(live).min(live.wrapping_sub(drawn)) >= STEP {
            return drawn;
        }
    }
}

/// Whether the transaction that sets `cookie` has committed, as a fresh connection sees it.
pub(crate) fn has_committed(path: &Path, cookie: u32, deadline: Instant) -> Result<bool> {
    if is_of(cookie, schema_cookie(path, deadline)?) {
        return Ok(true);
    }
    overwrite_ghost(path, deadline)?;
    Ok(is_of(cookie, schema_cookie(path, deadline)?))
}

/// In WAL mode a commit whose frames were written, but not synced, counts for nobody; after a crash of all
/// connections it would. The next commit takes its place.
fn overwrite_ghost(path: &Path, deadline: Instant) -> Result<()> {
    let connection = open_for_restore(path)?;
    let overwritten = retry_while_busy(path, deadline, || {
        let mode: String = connection.query_row("PRAGMA journal_mode", [], |row| row.get(0))?;
        if mode != "wal" {
            return Ok(());
        }
        connection.execute_batch("BEGIN IMMEDIATE")?;
        let version: i32 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
        connection.execute_batch(&format!("PRAGMA user_version={version}; COMMIT"))
    })?;
    overwritten.map_err(|error| database_error("write", path, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_known_after_migrations_and_by_no_other() {
        for live in [0, 1, u32::MAX, i32::MAX as u32, STEP] {
            let drawn = draw(live);
            assert!(!is_of(drawn, live), "the one before");
            assert!(!is_of(drawn, live.wrapping_add(500)), "migrations without the restore");
            assert!(is_of(drawn, drawn) && is_of(drawn, drawn.wrapping_add(500)));
            assert!(!is_of(drawn, drawn.wrapping_sub(1)), "a lower one is not raised");
            assert!(!is_of(drawn, draw(drawn)), "the restore after it");
        }
    }
}
