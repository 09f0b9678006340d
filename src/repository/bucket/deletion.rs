//! Deleting a snapshot from a bucket that other hosts use too, and the check that keeps an upload
//! whole while they delete.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use uuid::Uuid;

use super::lease::Lease;
use super::{SharedStore, list_ids, marks, tombstones};
use crate::error::{Result, fail};
use crate::failpoint;
use crate::repository::manifest;
use crate::repository::pack::PackEntry;

pub(crate) use super::sweep::{Deleted, mark_and_sweep};

/// Waits for the turn to delete. Only then look which snapshots are pinned or were brought back:
/// nobody pins or brings back anything meanwhile.
pub(crate) fn turn<S: SharedStore>(
    store: &S,
    operation: &str,
    timeout: Duration,
    alive: &dyn Fn() -> Result<()>,
) -> Result<Lease<S>> {
    failpoint::reached("bucket-delete.before-lease")?;
    Lease::acquire(store, operation, timeout, alive)
}

/// Deletes snapshots; their packs go when nothing has needed them for `grace`. A snapshot that is
/// not there gets its tombstone all the same: no host will upload it.
pub(crate) fn delete_all<S: SharedStore>(
    lease: &Lease<S>,
    ids: &[Uuid],
    grace: Duration,
    alive: &dyn Fn() -> Result<()>,
) -> Result<Deleted> {
    let store = lease.store();
    for id in ids {
        alive()?;
        // Whoever has the next turn looks for tombstones: ours must not come later.
        lease.check()?;
        failpoint::reached("bucket-delete.before-tombstone")?;
        // The tombstone before the manifest: whoever has the snapshot locally finds one of the two.
        tombstones::put(store, *id)?;
        failpoint::reached("bucket-delete.after-tombstone")?;
    }
    let deleted = mark_and_sweep(lease, grace)?;
    failpoint::reached("bucket-delete.before-release")?;
    Ok(deleted)
}

/// What a creator does after it has published its manifest: sees to it that all `packs` are there
/// to stay. `put_back` uploads one that another host has swept. Fails with `UPLOAD_FAILED` when
/// the snapshot was deleted while it was uploaded.
pub(crate) fn settle<S: SharedStore>(
    store: &S,
    id: Uuid,
    packs: &[PackEntry],
    put_back: &mut dyn FnMut(&PackEntry) -> Result<()>,
    timeout: Duration,
) -> Result<()> {
    // A pack is removed only after its mark was written and the manifests were listed after that.
    // So either that listing saw our manifest, or we see the mark, or the pack is gone.
    if !Tier::look(store)?.is_whole(packs) {
        refuse_deleted(store, id)?;
        mend(store, packs, put_back, timeout)?;
    }
    refuse_deleted(store, id)
}

/// Puts back what is missing and takes the marks away, while nobody sweeps.
fn mend<S: SharedStore>(
    store: &S,
    packs: &[PackEntry],
    put_back: &mut dyn FnMut(&PackEntry) -> Result<()>,
    timeout: Duration,
) -> Result<()> {
    let lease = Lease::acquire_if_any(store, "createSnapshot", timeout, &|| Ok(()))?;
    let remove = |key: &str| match &lease {
        Some(lease) => lease.remove(key),
        None => store.remove(key),
    };
    let tier = Tier::look(store)?;
    for pack in packs {
        if !tier.holds(pack) {
            if tier.stored.contains_key(&pack.id) {
                remove(&pack.key())?;
            }
            put_back(pack)?;
        }
        if tier.marked.contains(&pack.id) {
            remove(&marks::key(pack.id))?;
        }
    }
    Ok(())
}

/// Fails for a deleted snapshot, and takes away the manifest that may have been published since.
fn refuse_deleted(store: &impl SharedStore, id: Uuid) -> Result<()> {
    if !tombstones::exists(store, id)? {
        return Ok(());
    }
    for object in store.list(&format!("snapshots/{id}."))? {
        if manifest::parse_key(&object.key).is_some() {
            store.remove(&object.key)?;
        }
    }
    fail!(
        UploadFailed,
        "another host deleted the snapshot {id} while it was uploaded; it is not in the bucket, and will not be uploaded again"
    )
}

/// Packs and marks in the bucket.
struct Tier {
    marked: HashSet<Uuid>,
    stored: HashMap<Uuid, u64>,
}

impl Tier {
    fn look(store: &impl SharedStore) -> Result<Self> {
        // The marks before the packs. A sweeper removes a pack and then its mark: the other way
        // round we could see the pack just before and miss the mark just after.
        let marked = marks::all(store)?.into_keys().collect();
        let packs = list_ids(store, "packs")?;
        Ok(Self {
            marked,
            stored: packs.map(|(id, object)| (id, object.size)).collect(),
        })
    }

    fn holds(&self, pack: &PackEntry) -> bool {
        self.stored.get(&pack.id) == Some(&pack.size)
    }

    fn is_whole(&self, packs: &[PackEntry]) -> bool {
        packs
            .iter()
            .all(|pack| self.holds(pack) && !self.marked.contains(&pack.id))
    }
}

#[cfg(test)]
#[path = "deletion_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "settle_tests.rs"]
mod settle_tests;
