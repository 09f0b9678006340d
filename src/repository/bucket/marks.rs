//! Marks on packs that no manifest needed when it was looked. A mark's age is the time that
//! readers have had to finish with the pack.

use std::collections::HashMap;

use jiff::Timestamp;
use uuid::Uuid;

use super::{SharedStore, list_ids};
use crate::error::Result;
use crate::storage::Store;

/// Nothing reads it; an object without bytes would do, but not on every provider.
const CONTENT: &[u8] = b"{}";

/// Key of the mark on a pack.
pub(super) fn key(pack: Uuid) -> String {
    format!("marks/{pack}")
}

pub(super) fn put(store: &impl SharedStore, pack: Uuid) -> Result<()> {
    store.put(&key(pack), CONTENT)
}

/// Every marked pack, and since when, by the server's clock.
pub(super) fn all(store: &impl Store) -> Result<HashMap<Uuid, Timestamp>> {
    Ok(list_ids(store, "marks")?
        .map(|(id, object)| (id, object.modified))
        .collect())
}
