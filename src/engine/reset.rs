//! Emptying the database, after a safety snapshot.

use std::path::Path;

use serde_json::{Value, json};

use super::Context;
use super::safety::{self, Before};
use crate::database::rows::reset_database;
use crate::database::watch::CommitWatch;
use crate::error::{Result, fail};
use crate::repository::manifest::Head;

/// Safety snapshots that are made while others commit before the reset is given up.
const ATTEMPTS: u32 = 3;

/// Deletes every row and keeps the schema. Nothing is deleted when the safety snapshot fails.
pub(crate) fn reset(context: &Context) -> Result<Value> {
    let database = context.settled_database()?;
    if !database.is_file() {
        fail!(
            DatabaseNotFound,
            "the database {} does not exist; nothing was changed",
            database.display()
        );
    }
    let _lock = context.lock_for_writing("_resetDatabase")?;
    let head = safety_snapshot(context, &database)?;
    context.host.check_alive()?;
    reset_database(&database, context.deadline())?;
    Ok(json!({
        "backupPath": context.repository.local().locate(&head.key()),
        "snapshot": head.name,
        "message": format!("the database was emptied; restore {} to get it back", head.name),
    }))
}

/// A safety snapshot that nobody has committed after, as far as a short time allows.
fn safety_snapshot(context: &Context, database: &Path) -> Result<Head> {
    let watch = CommitWatch::start(database, context.config.lock_timeout())?;
    for _ in 0..ATTEMPTS {
        match safety::store(context, database)? {
            Before::Stored(head) if !watch.somebody_committed()? => return Ok(*head),
            Before::Stored(head) => context.repository.remove_manifest(head.id)?,
            Before::TooBusy => {}
            Before::Unreadable => {
                fail!(
                    DatabaseCorrupt,
                    "{} cannot be read, so no safety snapshot could be made; nothing was reset",
                    database.display()
                )
            }
        }
    }
    fail!(
        WritersTooBusy,
        "{} is written to all the time, so no safety snapshot is up to date; nothing was reset",
        database.display()
    )
}
