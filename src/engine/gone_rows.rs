//! Rows of deleted snapshots that could not be deleted with them: the database was locked, or lies on the same full
//! disk. A note makes the next call that writes the table remove them. It is an empty file, which says all by its
//! name, because a full disk has room for no more.

use std::fs::File;
use std::path::Path;

use uuid::Uuid;

use super::Context;
use crate::database::rows::Rows;
use crate::error::Result;
use crate::repository::hash::hex;
use crate::storage::{io_error, make_folder};

const NOTES: &str = "local/gone/";

/// Notes that a row of a database is to go. Below the lock.
pub(crate) fn remember(context: &Context, database: &Path, row: &str) -> Result<()> {
    // Our rows have such ids; what an application made up is no file name.
    let Ok(id) = Uuid::try_parse(row) else {
        return Ok(());
    };
    let repository = &context.repository;
    let path = repository.path(&format!("{}{id}", prefix(database)));
    repository.check_held()?;
    make_folder(&repository.path(NOTES), repository.root())?;
    File::create(&path)
        .map(drop)
        .map_err(|error| io_error("create", &path, error))
}

/// Removes from its table what was noted of a database.
pub(crate) fn remove(context: &Context, database: &Path, table: &Rows) -> Result<()> {
    let prefix = prefix(database);
    for note in context.repository.local().list(&prefix)? {
        table.delete(&note.key[prefix.len()..])?;
        context.repository.local().remove(&note.key)?;
    }
    Ok(())
}

/// Several databases may share the repository.
fn prefix(database: &Path) -> String {
    let hash = blake3::hash(database.as_os_str().as_encoded_bytes());
    format!("{NOTES}{}.", hex(&hash.as_bytes()[..8]))
}
