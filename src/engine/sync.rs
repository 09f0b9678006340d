//! Making the tiers hold the same snapshots.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::catalog::Journal;
use super::trash::Trash;
use super::{Context, catalog, repack, upload};
use crate::error::{Code, Result};
use crate::repository::bucket::tombstones;
use crate::repository::lock::Lock;
use crate::repository::manifest::{self, Head, Manifest};
use crate::repository::pack::PackEntry;
use crate::repository::survey::{Listed, Survey};
use crate::repository::tiers::Tier;
use crate::repository::{mirror, repacking};
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
    let trash = Trash::read(context)?;
    let is_left = |listed: &&Listed| trash.leaves(listed, Tier::S3);
    for listed in snapshots.iter().filter(is_here).filter(is_left) {
        let head = &listed.head;
        if deleted.contains(&head.id) {
            synced.skip(head, "it was deleted in the bucket");
            upload::forget(context, head.id)?;
            continue;
        }
        let uploaded = match is_whole_in_bucket(context, bucket, &there, listed) && !pending.contains(&head.id) {
            true => Ok(None),
            false => above_what_is_there(context, listed)
                .and_then(|head| upload::upload(context, bucket, &head).map(|sent| Some((head, sent)))),
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
    let head = match listed.in_bucket {
        Some(generation) if generation != listed.head.generation => {
            manifest::read_head(bucket, &manifest::key(listed.head.id, generation))?
        }
        _ => listed.head.clone(),
    };
    let received = download(context, bucket, &head)?;
    let local = context.repository.local();
    for object in local.list(&format!("snapshots/{}.", head.id))? {
        if object.key != head.key() {
            local.remove(&object.key)?;
        }
    }
    Ok(received)
}

/// Copies one snapshot into the local tier, every page verified, under the exclusive lock.
/// Returns the bytes that were received.
pub(crate) fn download(context: &Context, bucket: &S3Store, head: &Head) -> Result<u64> {
    let local = &**context.repository.local();
    let missing = mirror::missing(bucket, &mirror::inventory(local)?, head)?;
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
    if Manifest::open(local, &head.key()).is_err() {
        // A damaged one would stand in the way of the good one.
        local.remove(&head.key())?;
        mirror::copy(bucket, local, &head.key(), &mut count)?;
    }
    Ok(received)
}

/// Whether every pack that a snapshot needs by its local manifest is in that inventory.
fn has_all_packs(context: &Context, inventory: &mirror::Inventory, head: &Head) -> bool {
    let missing = mirror::missing(&**context.repository.local(), inventory, head);
    missing.is_ok_and(|missing| missing.packs.is_empty())
}

/// Whether the bucket has the whole snapshot, in the local generation or in a later one that another
/// host has made.
fn is_whole_in_bucket(context: &Context, bucket: &S3Store, there: &mirror::Inventory, listed: &Listed) -> bool {
    match listed.in_bucket {
        Some(_) if listed.is_outdated_in_bucket() => false,
        Some(generation) if generation == listed.head.generation => {
            has_all_packs(context, there, &listed.head) || is_whole_there(bucket, there, listed)
        }
        Some(_) => is_whole_there(bucket, there, listed),
        None => false,
    }
}

/// Whether the bucket has every pack that its own manifest names.
fn is_whole_there(bucket: &S3Store, there: &mirror::Inventory, listed: &Listed) -> bool {
    let key = manifest::key(listed.head.id, listed.in_bucket.unwrap_or_default());
    let has = |pack: &PackEntry| there.get(&pack.key()) == Some(&pack.size);
    manifest::pack_table(bucket, &key).is_ok_and(|(_, packs)| packs.iter().all(has))
}

/// What to upload of a snapshot that is not whole in the bucket: where another host's generation is
/// broken, one that takes its place.
fn above_what_is_there(context: &Context, listed: &Listed) -> Result<Head> {
    match listed.in_bucket {
        Some(generation) if generation > listed.head.generation => {
            let _lock = context.lock_for_writing("sync")?;
            repacking::raise_generation(&context.repository, &listed.head, generation)
        }
        _ => Ok(listed.head.clone()),
    }
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
