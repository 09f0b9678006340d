//! Making the tiers hold the same snapshots.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{Context, upload};
use crate::error::{Code, Result};
use crate::repository::bucket::lease::Lease;
use crate::repository::bucket::{deletion, tombstones};
use crate::repository::lock::Lock;
use crate::repository::manifest::{Head, Manifest};
use crate::repository::mirror;
use crate::repository::survey::{Listed, Survey};
use crate::repository::tiers::Tier;
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
        sweep(context, bucket);
    }
    Ok(synced)
}

fn up(context: &Context, bucket: &S3Store, snapshots: &[Listed], synced: &mut Synced) -> Result<()> {
    let deleted = tombstones::all(bucket)?;
    let (there, pending) = (mirror::inventory(bucket)?, upload::pending(context)?);
    let database = context.database().ok();
    let is_here = |listed: &&Listed| listed.tiers.contains(&Tier::Local) && upload::belongs_into_bucket(&listed.head);
    for Listed { head, tiers } in snapshots.iter().filter(is_here) {
        if deleted.contains(&head.id) {
            synced.skip(head, "it was deleted in the bucket");
            upload::forget(context, head.id)?;
            continue;
        }
        let is_whole = tiers.contains(&Tier::S3) && lacks_nothing(context, &there, head);
        let uploaded = match is_whole && !pending.contains(&head.id) {
            true => Ok(None),
            false => upload::upload(context, bucket, head).map(Some),
        };
        match uploaded {
            Ok(None) => refresh_row(context, database.as_deref(), head),
            Ok(Some(sent)) => {
                upload::forget(context, head.id)?;
                synced.uploaded.push(head.name.clone());
                synced.bytes_uploaded += sent;
                refresh_row(context, database.as_deref(), head);
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
    let is_wanted = |listed: &&Listed| {
        let has = |tier| listed.tiers.contains(&tier);
        has(Tier::S3) && !(has(Tier::Local) && lacks_nothing(context, &here, &listed.head))
    };
    for Listed { head, .. } in snapshots.iter().filter(is_wanted) {
        // Packs without a manifest are swept by whoever holds the lock, so it is held throughout.
        let _lock = context.lock_for_writing("sync")?;
        match download(context, bucket, head) {
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

/// Whether every pack of a local snapshot is in that inventory.
fn lacks_nothing(context: &Context, there: &mirror::Inventory, head: &Head) -> bool {
    let missing = mirror::missing(&**context.repository.local(), there, head);
    missing.is_ok_and(|missing| missing.packs.is_empty())
}

fn refresh_row(context: &Context, database: Option<&Path>, head: &Head) {
    if let Some(database) = database.filter(|database| database.is_file()) {
        upload::write_row(context, database, head);
    }
}

/// Best effort: what stays is swept another time.
fn sweep(context: &Context, bucket: &S3Store) {
    let alive = || context.host.check_alive();
    let lease = Lease::acquire(bucket, "sync", context.config.lock_timeout(), &alive);
    let swept = lease.and_then(|lease| deletion::mark_and_sweep(&lease, context.config.delete_grace()));
    if let Err(error) = swept {
        tracing::info!(code = error.code.as_str(), reason = %error, "packs of deleted snapshots were not swept");
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
