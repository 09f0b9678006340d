//! Pins: snapshots that no host may delete from the bucket.
//!
//! Whoever pins looks for the tombstone, and whoever deletes lists the pins, each while holding the
//! lease: so one of them sees the other.

use std::collections::HashSet;
use std::time::Duration;

use uuid::Uuid;

use super::lease::Lease;
use super::{SharedStore, list_ids, tombstones};
use crate::error::Result;
use crate::storage::Store;

/// Nothing reads it; an object without bytes would do, but not on every provider.
const CONTENT: &[u8] = b"{}";

fn key(id: Uuid) -> String {
    format!("pins/{id}")
}

/// Pins a snapshot for every host. `false`: it was deleted before that.
pub(crate) fn put(
    store: &impl SharedStore,
    id: Uuid,
    timeout: Duration,
    alive: &dyn Fn() -> Result<()>,
) -> Result<bool> {
    let _lease = Lease::acquire_if_any(store, "pinSnapshot", timeout, alive)?;
    if tombstones::exists(store, id)? {
        return Ok(false);
    }
    store.put(&key(id), CONTENT)?;
    Ok(true)
}

pub(crate) fn remove(store: &impl Store, id: Uuid) -> Result<()> {
    store.remove(&key(id))
}

/// Every pinned snapshot.
pub(crate) fn all(store: &impl Store) -> Result<HashSet<Uuid>> {
    Ok(list_ids(store, "pins")?.map(|(id, _)| id).collect())
}
