//! Deleting a snapshot and the packs that nothing else needs.

use serde_json::{Value, json};

use super::find::{Found, damaged_manifest, find};
use super::{Context, catalog};
use crate::error::{Code, Result, fail};
use crate::failpoint;
use crate::repository::manifest;
use crate::storage::{io_error, sync_folder};

/// Deletes a snapshot, then its row.
pub(crate) fn delete(context: &Context, name: &str) -> Result<Value> {
    // Before the lock: a name that is not there makes no repository.
    if let Err(error) = find(context, name)
        && error.code != Code::SnapshotDamaged
    {
        return Err(error);
    }
    let _lock = context.lock_for_writing("deleteSnapshot")?;
    let found = match find(context, name) {
        // Its manifest can no longer be read, but it can still be deleted.
        Err(error) if error.code == Code::SnapshotDamaged => None,
        found => Some(found?),
    };
    context.host.check_alive()?;
    failpoint::reached("delete.before-manifest")?;
    let (id, freed) = match found {
        None => {
            let key = damaged_manifest(context, name).unwrap_or_default();
            let Some((id, _)) = manifest::parse_key(&key) else {
                fail!(SnapshotNotFound, "Snapshot not found: {name}");
            };
            context.repository.remove_manifest(id)?;
            (id.to_string(), context.repository.remove_unneeded_packs()?)
        }
        Some(Found::Packed(head)) => {
            // The manifest first: a pack without a manifest is only garbage, the reverse is damage.
            context.repository.remove_manifest(head.id)?;
            (head.id.to_string(), context.repository.remove_unneeded_packs()?)
        }
        Some(Found::Plain(plain)) => {
            std::fs::remove_file(&plain.path).map_err(|error| io_error("delete", &plain.path, error))?;
            sync_folder(context.repository.root())?;
            (plain.record.id, plain.record.size)
        }
    };
    failpoint::reached("delete.after-packs")?;
    if let Ok(database) = context.database()
        && database.is_file()
    {
        catalog::remove_row(context, &database, &id);
    }
    Ok(json!({ "name": name, "freedBytes": freed }))
}
