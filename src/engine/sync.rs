//! Making the tiers hold the same snapshots.

use std::collections::HashSet;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::catalog::Journal;
use super::trash::Trash;
use super::{Context, catalog, repack, upload};
use crate::error::{Code, Result};
use crate::repository::bucket::{in_parallel, tombstones};
use crate::repository::lock::Lock;
use crate::repository::manifest::{self, Head, Manifest};
use crate::repository::pack::PackEntry;
use crate::repository::survey::{Listed, Survey};
use crate::repository::tiers::Tier;
use crate::repository::{mirror, snapshot};
use crate::storage::S3Store;

/// Which way snapshots are copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Direction {
    Up,
    Down,
    Both,
}

/// What was done.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Synced {
    /// Names, oldest first.
    uploaded: Vec<String>,
    downloaded: Vec<String>,
    skipped: Vec<Skipped>,
    bytes_uploaded: u64,
    bytes_downloaded: u64,
}

/// A snapshot that was left where it is.
#[derive(Debug, Serialize)]
struct Skipped {
    name: String,
    reason: String,
}

/// Copies every snapshot that one tier lacks and the other has; also what a broken upload or a
/// lost pack left incomplete in the bucket. Then packs whose grace is over are swept.
pub(crate) fn sync(context: &Context, direction: Direction) -> Result<Synced> {
    let bucket = context.repository.require_bucket()?;
    context.repository.init()?;
    let _mirror: Lock = upload::lock(context, "sync")?;
    mirror::prepare_bucket(bucket)?;
    let Survey {
        snapshots,
        bucket_failure,
        ..
    } = context.repository.survey()?;
    if let Some(error) = bucket_failure {
        return Err(error);
    }
    let mut synced = Synced::default();
    if direction != Direction::Down {
        up(context, bucket, &snapshots, &mut synced)?;
    }
    if direction != Direction::Up {
        down(context, bucket, &snapshots, &mut synced)?;
    }
    if direction != Direction::Down {
        repack::sweep(context, bucket);
    }
    Ok(synced)
}

fn up(context: &Context, bucket: &S3Store, snapshots: &[Listed], synced: &mut Synced) -> Result<()> {
    let deleted = tombstones::all(bucket)?;
    let (there, pending) = (mirror::inventory(bucket)?, upload::pending(context)?);
    let database = context.database().ok();
    let is_here = |listed: &&Listed| listed.tiers.contains(&Tier::Local) && upload::belongs_into_bucket(&listed.head);
    let whole = whole_in_bucket(bucket, &there, snapshots)?;
    let trash = Trash::read(context)?;
    let is_left = |listed: &&Listed| trash.leaves(listed, Tier::S3);
    for listed in snapshots.iter().filter(is_here).filter(is_left) {
        let head = &listed.head;
        if deleted.contains(&head.id) {
            synced.skip(head, "it was deleted in the bucket");
            upload::forget(context, head.id)?;
            continue;
        }
        let uploaded = match whole.contains(&head.id) && !pending.contains(&head.id) {
            true => Ok(None),
            false => upload::upload(context, bucket, head).map(Some),
        };
        match uploaded {
            Ok(None) => refresh_row(context, database.as_deref(), listed),
            Ok(Some((head, sent))) => {
                upload::forget(context, head.id)?;
                synced.uploaded.push(head.name.clone());
                synced.bytes_uploaded += sent;
                if let Some(database) = database.as_deref().filter(|database| database.is_file()) {
                    upload::write_row(context, database, &head);
                }
            }
            // The others can still be saved.
            Err(error) if matches!(error.code, Code::SnapshotDamaged | Code::UploadFailed) => {
                tracing::warn!(snapshot = %head.name, reason = %error, "a snapshot could not be uploaded");
                synced.skip(head, &error.to_string());
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn down(context: &Context, bucket: &S3Store, snapshots: &[Listed], synced: &mut Synced) -> Result<()> {
    let here = mirror::inventory(&**context.repository.local())?;
    let trash = Trash::read(context)?;
    let is_wanted = |listed: &&Listed| {
        let has = |tier| listed.tiers.contains(&tier);
        has(Tier::S3) && !(has(Tier::Local) && has_all_packs(context, &here, &listed.head))
    };
    let is_left = |listed: &&Listed| trash.leaves(listed, Tier::Local);
    for listed in snapshots.iter().filter(is_left).filter(is_wanted) {
        let head = &listed.head;
        // Packs without a manifest are swept by whoever holds the lock, so it is held throughout.
        let _lock = context.lock_for_writing("sync")?;
        match download_from_bucket(context, bucket, listed) {
            Ok(received) => {
                synced.downloaded.push(head.name.clone());
                synced.bytes_downloaded += received;
            }
            Err(error) if error.code == Code::SnapshotDamaged => {
                tracing::warn!(snapshot = %head.name, reason = %error, "a snapshot in the bucket is damaged");
                synced.skip(head, &error.to_string());
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Downloads the generation that the bucket has; a local one that is not whole makes way for it.
fn download_from_bucket(context: &Context, bucket: &S3Store, listed: &Listed) -> Result<u64> {
    let generation = listed.in_bucket.unwrap_or(listed.head.generation);
    let (head, received) = download(context, bucket, listed.head.id, generation)?;
    let local = context.repository.local();
    for object in local.list(&format!("snapshots/{}.", head.id))? {
        if object.key != head.key() {
            local.remove(&object.key)?;
        }
    }
    Ok(received)
}

/// Copies one snapshot into the local tier, every page verified, under the exclusive lock: in the
/// generation that was listed, or in the one by which another host has replaced it since. Returns it
/// as it is now, and the bytes that were received.
pub(crate) fn download(context: &Context, bucket: &S3Store, id: Uuid, listed: u32) -> Result<(Head, u64)> {
    let mut generation = listed;
    loop {
        match download_generation(context, bucket, &manifest::key(id, generation)) {
            Err(error) if error.code == Code::SnapshotDamaged => {
                let newest = snapshot::generations(bucket, id)?.first().copied();
                generation = newest.filter(|newest| *newest > generation).ok_or(error)?;
            }
            other => return other,
        }
    }
}

fn download_generation(context: &Context, bucket: &S3Store, key: &str) -> Result<(Head, u64)> {
    let local = &**context.repository.local();
    let head = manifest::read_head(bucket, key)?;
    let missing = mirror::missing(bucket, &mirror::inventory(local)?, &head)?;
    let mut received = 0;
    let mut count = |more: u64| {
        context.host.check_alive()?;
        received += more;
        context
            .host
            .progress("download", received.min(missing.bytes), missing.bytes, "bytes");
        Ok(())
    };
    for pack in &missing.packs {
        mirror::copy_pack(bucket, local, pack, head.page_size, true, &mut count)?;
    }
    if !Manifest::open(local, key).is_ok_and(|here| here.head.has_places_of(&head)) {
        // A damaged one would stand in the way, as would one of our own repacking.
        local.remove(key)?;
        mirror::copy(bucket, local, key, &mut count)?;
    }
    Ok((head, received))
}

/// Whether every pack that a snapshot needs by its local manifest is in that inventory.
fn has_all_packs(context: &Context, inventory: &mirror::Inventory, head: &Head) -> bool {
    let missing = mirror::missing(&**context.repository.local(), inventory, head);
    missing.is_ok_and(|missing| missing.packs.is_empty())
}

/// The snapshots of which the bucket has a whole generation that is not older than the local one.
/// Its own manifests tell: another host's may name other packs than ours.
fn whole_in_bucket(bucket: &S3Store, there: &mirror::Inventory, snapshots: &[Listed]) -> Result<HashSet<Uuid>> {
    let has = |pack: &PackEntry| there.get(&pack.key()) == Some(&pack.size);
    let is_here = |listed: &&Listed| listed.tiers.contains(&Tier::Local);
    let here: Vec<&Listed> = snapshots.iter().filter(is_here).collect();
    let whole = Mutex::new(HashSet::new());
    in_parallel(&here, |listed| {
        let Some(generation) = listed.in_bucket.filter(|_| !listed.is_outdated_in_bucket()) else {
            return Ok(());
        };
        let id = listed.head.id;
        match manifest::pack_table(bucket, &manifest::key(id, generation)) {
            Ok((_, packs)) if packs.iter().all(has) => {
                whole.lock().unwrap_or_else(PoisonError::into_inner).insert(id);
            }
            Err(error) if error.code != Code::SnapshotDamaged => return Err(error),
            _ => {}
        }
        Ok(())
    })?;
    Ok(whole.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// Brings the row of a snapshot up to date that the bucket has. Best effort.
fn refresh_row(context: &Context, database: Option<&Path>, listed: &Listed) {
    let Some(database) = database.filter(|database| database.is_file()) else {
        return;
    };
    match Journal::read(context) {
        Ok(journal) => catalog::update_row(context, database, &catalog::record_of(context, listed, &journal)),
        Err(error) => tracing::warn!(reason = %error, "the row of a snapshot could not be brought up to date"),
    }
}

impl Synced {
    fn skip(&mut self, head: &Head, reason: &str) {
        self.skipped.push(Skipped {
            name: head.name.clone(),
            reason: reason.to_owned(),
        });
    }
}
