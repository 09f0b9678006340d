//! A snapshot of a database that was deleted while a process has it open.

use super::create::{self, Elsewhere};
use super::{Context, names};
use crate::database::left_behind;
use crate::error::{Result, fail};
use crate::record::Record;
use crate::storage::io_error;

/// Stores what the process still has, as a snapshot of the configured database.
pub(crate) fn rescue(context: &Context, name: Option<&str>) -> Result<Record> {
    let database = context.database()?;
    if let Some(name) = name {
        names::validate(name)?;
    }
    let Some(mut deleted) = left_behind::find(&database)? else {
        fail!(
            DatabaseNotFound,
            "no process that can be seen has a deleted {} open (seen are those of this PID namespace and, unless run by root, of \
             this user); nothing was stored",
            database.display()
        );
    };
    if deleted.lacks_wal()? {
        tracing::warn!(
            pid = deleted.holder().pid,
            "the write-ahead log of the deleted database could not be found; the latest commits may be missing"
        );
    }
    let elsewhere = Elsewhere::look(context)?;
    let lock = context.lock_for_writing("rescueDatabase")?;
    let scratch = context.repository.scratch()?;
    let folder = tempfile::tempdir_in(&scratch).map_err(|error| io_error("create a folder in", &scratch, error))?;
    let copy = folder.path().join(database.file_name().unwrap_or_default());
    deleted.copy_to(&copy, context.deadline())?;
    // From here on whoever has it open goes on.
    drop(deleted);
    create::store(context, &copy, &database, name, "rescued", elsewhere, lock)
}
