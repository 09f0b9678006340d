//! Emptying the database, after a safety snapshot.

use std::path::Path;

use serde_json::{Value, json};

use super::Context;
use super::overwrite::{Only, Overwritten, Ran, Work, overwrite};
use super::safety::Safety;
use crate::database::connect::open_for_reading;
use crate::database::live::Live;
use crate::database::write_lock::WriteLock;
use crate::error::{Code, Error, Result, fail};
use crate::repository::manifest::Head;

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
    // Before the lock: what is no database makes no repository.
    drop(open_for_reading(&database)?);
    let _lock = context.lock_for_writing("_resetDatabase")?;
    let mut resetting = Resetting {
        context,
        database: &database,
        before: None,
    };
    let outcome = overwrite(context, &database, Only::Always, &mut resetting)?;
    let (Overwritten::Done, Some(head)) = (outcome, resetting.before) else {
        return Err(unreadable(&database));
    };
    Ok(json!({
        "backupPath": context.repository.local().locate(&head.key()),
        "snapshot": head.name,
        "message": format!("the database was emptied; restore {} to get it back", head.name),
    }))
}

struct Resetting<'a> {
    context: &'a Context,
    database: &'a Path,
    /// What the database held.
    before: Option<Head>,
}

impl Work for Resetting<'_> {
    fn page_size(&self) -> Option<u32> {
        None
    }

    fn prepare(&mut self, _live: &Live, _safety: Option<&Safety>) -> Result<()> {
        Ok(())
    }

    fn go_on_without_pages(&self) -> Result<()> {
        Err(unreadable(self.database))
    }

    fn run(&mut self, lock: WriteLock, safety: Option<&Safety>) -> Result<Ran> {
        self.before = safety.map(|safety| safety.head.clone());
        lock.delete_everything()?;
        self.context.host.check_alive()?;
        let cookie = lock.draw_cookie()?;
        lock.commit(self.context.config.commit_timeout(), cookie)
            .map(Ran::Committed)
    }
}

fn unreadable(database: &Path) -> Error {
    Error::new(
        Code::DatabaseCorrupt,
        format!(
            "{} cannot be read, so no safety snapshot could be made; nothing was reset",
            database.display()
        ),
    )
}
