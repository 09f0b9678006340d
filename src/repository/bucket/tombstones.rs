//! Tombstones of deleted snapshots. They stay for ever: a host that was away for a year still has
//! the snapshot in its local repository and would upload it again.

use std::collections::HashSet;

use uuid::Uuid;

use super::{SharedStore, list_ids};
use crate::error::Result;
use crate::storage::Store;

/// Nothing reads it; an object without bytes would do, but not on every provider.
const CONTENT: &[u8] = b"{}";

fn key(id: Uuid) -> String {
    format!("deleted/{id}")
}

/// Says for ever that a snapshot was deleted.
pub(crate) fn put(store: &impl SharedStore, id: Uuid) -> Result<()> {
    store.put(&key(id), CONTENT)
}

pub(crate) fn exists(store: &impl SharedStore, id: Uuid) -> Result<bool> {
    Ok(store.get(&key(id))?.is_some())
}

/// Every snapshot that was deleted.
pub(crate) fn all(store: &impl Store) -> Result<HashSet<Uuid>> {
    Ok(list_ids(store, "deleted")?.map(|(id, _)| id).collect())
}
