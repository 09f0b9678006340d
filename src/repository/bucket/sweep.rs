//! Marking the packs that no manifest needs, and removing those that were marked long ago.

use std::collections::HashMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use super::lease::Lease;
use super::needs::{Needs, in_parallel};
use super::{SharedStore, list_ids, marks, tombstones};
use crate::error::Result;
use crate::failpoint;
use crate::repository::{manifest, pack};

/// An upload that was begun longer ago is finished by nobody.
const FORGOTTEN: SignedDuration = SignedDuration::from_hours(24);

/// What a deletion did besides removing the manifest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Deleted {
    /// Packs that nothing needs any more; they stay until their grace is over.
    pub(crate) marked: usize,
    /// Packs that were removed.
    pub(crate) swept: usize,
    pub(crate) swept_bytes: u64,
}

/// Clears up below the lease: manifests of deleted snapshots, packs that nothing needs and that
/// were marked at least `grace` ago, uploads that nobody will finish.
pub(crate) fn mark_and_sweep<S: SharedStore>(lease: &Lease<S>, grace: Duration) -> Result<Deleted> {
    let store = lease.store();
    let now = lease.now()?;
    let mut marked = marks::all(store)?;
    remove_deleted_manifests(lease, &mut marked)?;
    failpoint::reached("bucket-delete.after-manifest")?;
    abort_forgotten_uploads(store, now);

    let stored: HashMap<Uuid, u64> = list_ids(store, "packs")?
        .map(|(id, object)| (id, object.size))
        .collect();
    remove_superseded_manifests(lease, &stored, &mut marked)?;
    let mut needs = Needs::default();
    if !needs.look(store)? {
        return Ok(Deleted::default());
    }
    let unneeded: Vec<Uuid> = stored
        .keys()
        .copied()
        .filter(|id| !needs.contains(*id) && !marked.contains_key(id))
        .collect();
    in_parallel(&unneeded, |id| marks::put(store, *id))?;
    failpoint::reached("bucket-delete.after-marks")?;
    marked.extend(unneeded.iter().map(|id| (*id, now)));
    let mut deleted = Deleted {
        marked: unneeded.len(),
        ..Deleted::default()
    };

    // Again, now that the marks are there: whoever published a manifest before this listing is
    // seen by it, and whoever publishes one after it sees the marks.
    if !needs.look(store)? {
        return Ok(deleted);
    }
    for (id, since) in marked {
        let size = stored.get(&id);
        if needs.contains(id) || size.is_none() {
            lease.remove(&marks::key(id))?;
        } else if is_over(grace, since, now) {
            failpoint::reached("bucket-delete.before-pack")?;
            // The pack before its mark: a creator that finds no mark has to miss the pack.
            lease.remove(&pack::key(id))?;
            failpoint::reached("bucket-delete.after-pack")?;
            lease.remove(&marks::key(id))?;
            deleted.swept += 1;
            deleted.swept_bytes += size.copied().unwrap_or_default();
        }
    }
    Ok(deleted)
}

fn is_over(grace: Duration, since: Timestamp, now: Timestamp) -> bool {
    // Dates in listings and in answers differ in precision: a mark may seem to be of the future.
    let age = now.duration_since(since).max(SignedDuration::ZERO);
    age.unsigned_abs() >= grace
}

/// Removes what a deletion that was cut off left behind, and what came back afterwards.
fn remove_deleted_manifests<S: SharedStore>(lease: &Lease<S>, marked: &mut HashMap<Uuid, Timestamp>) -> Result<()> {
    let store = lease.store();
    let deleted = tombstones::all(store)?;
    for object in store.list("snapshots/")? {
        if manifest::parse_key(&object.key).is_some_and(|(id, _)| deleted.contains(&id)) {
            remove_manifest(lease, &object.key, marked)?;
        }
    }
    Ok(())
}

/// Removes the generations of a snapshot that a newer one replaces, once that is whole: all its
/// packs are there, and nobody is about to take one away.
fn remove_superseded_manifests<S: SharedStore>(
    lease: &Lease<S>,
    stored: &HashMap<Uuid, u64>,
    marked: &mut HashMap<Uuid, Timestamp>,
) -> Result<()> {
    let store = lease.store();
    let mut generations: HashMap<Uuid, Vec<u32>> = HashMap::new();
    for object in store.list("snapshots/")? {
        if let Some((id, generation)) = manifest::parse_key(&object.key) {
            generations.entry(id).or_default().push(generation);
        }
    }
    for (id, mut generations) in generations {
        generations.sort_unstable();
        let Some(newest) = generations.pop().filter(|_| !generations.is_empty()) else {
            continue;
        };
        let Ok((_, packs)) = manifest::pack_table(store, &manifest::key(id, newest)) else {
            continue;
        };
        if packs
            .iter()
            .all(|pack| stored.get(&pack.id) == Some(&pack.size) && !marked.contains_key(&pack.id))
        {
            for generation in generations {
                failpoint::reached("bucket-repack.before-superseded")?;
                remove_manifest(lease, &manifest::key(id, generation), marked)?;
            }
        }
    }
    Ok(())
}

fn remove_manifest<S: SharedStore>(lease: &Lease<S>, key: &str, marked: &mut HashMap<Uuid, Timestamp>) -> Result<()> {
    // Grace counts from the moment when the last manifest goes: an older mark, left behind
    // by a sweep that was cut off, would end it too early. Of a damaged manifest there is no
    // reader to wait for.
    let packs = manifest::pack_table(lease.store(), key).map_or_else(|_| Vec::new(), |(_, packs)| packs);
    for pack in packs {
        if marked.remove(&pack.id).is_some() {
            lease.remove(&marks::key(pack.id))?;
        }
    }
    lease.remove(key)
}

fn abort_forgotten_uploads(store: &impl SharedStore, now: Timestamp) {
    match store.abort_uploads_begun_before(now - FORGOTTEN) {
        Ok(0) => {}
        Ok(count) => tracing::info!(count, "aborted uploads that nobody finished"),
        // They cost space and harm nobody.
        Err(error) => tracing::warn!(reason = %error, "uploads that nobody finished could not be aborted"),
    }
}
