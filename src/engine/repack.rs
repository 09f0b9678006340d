//! When packs are rewritten, and that the bucket follows.
//!
//! The local tier decides. Its new packs and generations are uploaded, then the old generations go
//! in the bucket as well: so both tiers go on sharing their packs, and the next snapshot uploads
//! nothing twice.

use std::time::Duration;

use serde::Serialize;

use super::{Context, upload, warn_if_lost};
use crate::error::{Code, Result};
use crate::failpoint;
use crate::repository::bucket::deletion;
use crate::repository::bucket::lease::Lease;
use crate::repository::lock::{Lock, Mode, Subject};
use crate::repository::manifest::{Head, Kind};
use crate::repository::repacking::{self, Budget, Repacked, Wear};
use crate::repository::survey::{self, Listed};
use crate::storage::S3Store;

/// Says that snapshots were deleted since somebody looked at the packs.
const DUE: &str = "local/repack/due";
/// Says that the bucket may have older generations.
const OUTDATED: &str = "local/repack/outdated";
/// A new snapshot is not kept waiting for the locks: another time will do.
const SHORT: Duration = Duration::from_millis(500);

/// What repacking did.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Summary {
    /// Snapshots whose pages moved.
    snapshots: usize,
    packs_before: usize,
    packs_after: usize,
    bytes_written: u64,
    bytes_freed: u64,
}

/// Notes that packs may hold pages that nothing needs any more.
pub(crate) fn note_deletion(context: &Context) -> Result<()> {
    match is_noted(context, DUE) {
        true => Ok(()),
        false => context.repository.replace_json(DUE, &true),
    }
}

/// Removes the packs that nothing needs any more, then writes the note that there was no room for before.
/// Below the lock. Returns the bytes that this freed.
pub(crate) fn free_packs(context: &Context) -> Result<u64> {
    let freed = context.repository.remove_unneeded_packs()?;
    warn_if_lost(note_deletion(context));
    Ok(freed)
}

/// Repacks after a snapshot was made, if that is due. It never fails the snapshot, which is complete.
/// A bucket that could not be asked is not asked again. Returns the snapshot's present generation.
pub(crate) fn after_create(context: &Context, new: &Head, was_uploaded: bool) -> Head {
    let attempt = || -> Result<()> {
        let is_slow = || Ok(Wear::look(&**context.repository.local(), std::slice::from_ref(new))?.is_slow());
        if is_noted(context, DUE) || is_slow()? {
            repack(context, SHORT, was_uploaded)?;
        } else if was_uploaded && is_noted(context, OUTDATED) {
            follow(context, &lock(context, SHORT)?)?;
        }
        Ok(())
    };
    match attempt() {
        Err(error) if error.code == Code::RepositoryBusy => {
            tracing::info!(reason = %error, "repacking is left to a later call");
        }
        Err(error) => {
            tracing::warn!(code = error.code.as_str(), reason = %error, "the repository could not be repacked; every snapshot is whole, and a later call tries again");
        }
        Ok(()) => {}
    }
    let heads = context.repository.local_heads().unwrap_or_default();
    let present = heads.into_iter().find(|head| head.id == new.id);
    present.unwrap_or_else(|| new.clone())
}

/// Repacks what is worth it. `None`: nothing is.
pub(crate) fn now(context: &Context, wait: Duration) -> Result<Option<Summary>> {
    repack(context, wait, true)
}

fn repack(context: &Context, wait: Duration, bucket_follows: bool) -> Result<Option<Summary>> {
    // Nobody uploads meanwhile: what is being uploaded must not lose its packs.
    let mirror = lock(context, wait)?;
    let writing = context.lock_for_writing_within("repack", wait)?;
    let summary = below_the_lock(context)?;
    drop(writing);
    if bucket_follows && is_noted(context, OUTDATED) {
        follow(context, &mirror)?;
    }
    Ok(summary)
}

fn below_the_lock(context: &Context) -> Result<Option<Summary>> {
    let repository = &context.repository;
    let survey = survey::local(repository)?;
    if !survey.damaged.is_empty() {
        tracing::warn!("a manifest cannot be read, and may need any pack: nothing is repacked");
        return Ok(None);
    }
    let was_outdated = is_noted(context, OUTDATED);
    if repository.bucket().is_some() {
        repository.replace_json(OUTDATED, &true)?;
    }
    let alive = || context.host.check_alive();
    let repacked = repacking::repack(repository, &survey.into_heads(), Budget::ONE_RUN, &alive);
    let freed = tidy(context, repacked.is_err());
    match repacked? {
        None => {
            if !was_outdated {
                repository.local().remove(OUTDATED)?;
            }
            repository.local().remove(DUE)?;
            Ok(None)
        }
        Some(repacked) => {
            // Until the bucket has followed, the rows name what it has.
            if repository.bucket().is_none() {
                refresh_rows(context, &repacked.heads);
            }
            Ok(Some(summary(&repacked, freed?)))
        }
    }
}

/// Removes the packs that nothing needs any more, and first the manifests that were replaced until
/// repacking failed.
fn tidy(context: &Context, has_failed: bool) -> Result<u64> {
    if has_failed {
        context.repository.remove_superseded_manifests()?;
    }
    failpoint::reached("repack.before-unneeded-packs")?;
    context.repository.remove_unneeded_packs()
}

fn summary(repacked: &Repacked, bytes_freed: u64) -> Summary {
    Summary {
        snapshots: repacked.heads.len(),
        packs_before: repacked.packs_before,
        packs_after: repacked.packs_after,
        bytes_written: repacked.bytes_written,
        bytes_freed,
    }
}

/// Uploads the generations that the bucket lacks, and clears up there.
fn follow(context: &Context, _mirror: &Lock) -> Result<()> {
    let Some(bucket) = context.repository.bucket() else {
        return Ok(());
    };
    let survey = context.repository.survey()?;
    if let Some(error) = survey.bucket_failure {
        return Err(error);
    }
    let outdated: Vec<Listed> = survey
        .snapshots
        .into_iter()
        .filter(Listed::is_outdated_in_bucket)
        .collect();
    let mut uploaded = Vec::new();
    for Listed { head, .. } in outdated {
        failpoint::reached("bucket-repack.before-upload")?;
        match upload::upload(context, bucket, &head) {
            Ok((head, _)) => uploaded.push(head),
            // It was deleted in the bucket, or is damaged here: then the older one stays there.
            Err(error) if matches!(error.code, Code::UploadFailed | Code::SnapshotDamaged) => {
                tracing::warn!(snapshot = %head.name, reason = %error, "a repacked snapshot could not be uploaded");
            }
            Err(error) => return Err(error),
        }
        failpoint::reached("bucket-repack.after-upload")?;
    }
    if !uploaded.is_empty() {
        sweep(context, bucket);
        refresh_rows(context, &uploaded);
    }
    context.repository.local().remove(OUTDATED)
}

/// Best effort: what stays is swept another time.
pub(crate) fn sweep(context: &Context, bucket: &S3Store) {
    let alive = || context.host.check_alive();
    let lease = Lease::acquire(bucket, "repack", context.config.lock_timeout(), &alive);
    let swept = lease.and_then(|lease| deletion::mark_and_sweep(&lease, context.config.delete_grace()));
    if let Err(error) = swept {
        tracing::info!(code = error.code.as_str(), reason = %error, "packs of deleted snapshots were not swept");
    }
}

/// Writes the new keys of snapshots into their rows.
fn refresh_rows(context: &Context, heads: &[Head]) {
    let Some(database) = context.database().ok().filter(|database| database.is_file()) else {
        return;
    };
    for head in heads.iter().filter(|head| head.kind == Kind::Snapshot) {
        upload::write_row(context, &database, head);
    }
}

fn is_noted(context: &Context, note: &str) -> bool {
    context.repository.path(note).exists()
}

fn lock(context: &Context, wait: Duration) -> Result<Lock> {
    Lock::acquire(
        context.repository.root(),
        Subject::Mirror,
        Mode::Exclusive,
        "repack",
        wait,
    )
}
