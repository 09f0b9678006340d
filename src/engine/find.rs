//! From a name to a snapshot.

use super::{Context, catalog};
use crate::database::plain_snapshots::{self, PlainSnapshot};
use crate::error::{Result, fail};
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
    if let Some(key) = damaged_manifest(context, name) {
        manifest::read_head(&**context.repository.local(), &key)?;
    }
    fail!(SnapshotNotFound, "Snapshot not found: {name}")
}

/// Key of the manifest that the table's row of that name points to. A manifest whose head is
/// damaged no longer knows its name; the row does.
pub(crate) fn damaged_manifest(context: &Context, name: &str) -> Option<String> {
    let row = catalog::rows(context).into_iter().find(|row| row.name == name)?;
    let store = context.repository.local();
    let objects = store.list("snapshots/").ok()?;
    objects
        .into_iter()
        .map(|object| object.key)
        .find(|key| store.locate(key) == row.s3_key)
}

/// The old plain snapshots of the configured folder.
pub(crate) fn all_plain(context: &Context) -> Result<Vec<PlainSnapshot>> {
    let database = context.database().ok();
    let mut all = plain_snapshots::list(context.repository.root(), &catalog::rows(context))?;
    // The folder may be the database's own.
    all.retain(|plain| database.as_deref() != Some(plain.path.as_path()));
    Ok(all)
}
