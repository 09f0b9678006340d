//! From a name to a snapshot.

use super::{Context, catalog};
use crate::database::plain_snapshots::{self, PlainSnapshot};
use crate::error::{Error, Result, fail};
use crate::repository::manifest::{self, Head};

/// A snapshot in either of its forms.
pub(crate) enum Found {
    Packed(Box<Head>),
    /// A whole `.db` file of the module before this one.
    Plain(Box<PlainSnapshot>),
}

/// Finds a snapshot by its name.
pub(crate) fn find(context: &Context, name: &str) -> Result<Found> {
    if let Some(head) = context
        .repository
        .heads()?
        .into_iter()
        .rev()
        .find(|head| head.name == name)
    {
        return Ok(Found::Packed(Box::new(head)));
    }
    if let Some(plain) = all_plain(context)?.into_iter().find(|plain| plain.record.name == name) {
        return Ok(Found::Plain(Box::new(plain)));
    }
    if let Some(damage) = damage_of(context, name) {
        return Err(damage);
    }
    fail!(SnapshotNotFound, "Snapshot not found: {name}")
}

/// A manifest whose head is damaged no longer knows its name; the row in the table does.
fn damage_of(context: &Context, name: &str) -> Option<Error> {
    let row = catalog::rows(context).into_iter().find(|row| row.name == name)?;
    let store = context.repository.store();
    let manifest = store
        .list("snapshots/")
        .ok()?
        .into_iter()
        .find(|object| store.locate(&object.key) == row.s3_key)?;
    manifest::read_head(&**store, &manifest.key).err()
}

/// The old plain snapshots of the configured folder.
pub(crate) fn all_plain(context: &Context) -> Result<Vec<PlainSnapshot>> {
    let database = context.database().ok();
    let mut all = plain_snapshots::list(context.repository.root(), &catalog::rows(context))?;
    // The folder may be the database's own.
    all.retain(|plain| database.as_deref() != Some(plain.path.as_path()));
    Ok(all)
}
