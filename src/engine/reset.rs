//! Emptying the database, after a safety snapshot.

use serde_json::{Value, json};

use super::{Context, safety};
use crate::database::rows::reset_database;
use crate::error::{Result, fail};

/// Deletes every row and keeps the schema. Nothing is deleted when the safety snapshot fails.
pub(crate) fn reset(context: &Context) -> Result<Value> {
    let database = context.database()?;
    if !database.is_file() {
        fail!(
            DatabaseNotFound,
            "the database {} does not exist; nothing was changed",
            database.display()
        );
    }
    let _lock = context.lock_for_writing("_resetDatabase")?;
    let Some(head) = safety::store(context, &database)? else {
        fail!(
            DatabaseCorrupt,
            "{} cannot be read, so no safety snapshot could be made; nothing was reset",
            database.display()
        );
    };
    context.host.check_alive()?;
    reset_database(&database, context.deadline())?;
    Ok(json!({
        "backupPath": context.repository.store().locate(&head.key()),
        "message": format!("the database was emptied; restore {} to get it back", head.name),
    }))
}
