//! From the local tier into the bucket.
//!
//! A snapshot is complete in the local tier before the first byte is sent. Until it is complete in
//! the bucket too, a note in `local/pending/` makes it `PENDING`, and later calls go on with it.
//! Uploading holds no lock of the repository, only that of the mirror: restores need not wait.

use std::collections::BTreeSet;
use std::path::Path;

use uuid::Uuid;

use super::{Context, catalog};
use crate::error::{Code, Error, Result, fail};
use crate::failpoint;
use crate::repository::bucket::{deletion, tombstones};
use crate::repository::lock::{Lock, Mode, Subject};
use crate::repository::manifest::{self, Head, Kind};
use crate::repository::mirror::{self, Missing};
use crate::repository::{repacking, snapshot};
use crate::storage::S3Store;

const NOTES: &str = "local/pending/";

/// Notes that a snapshot has to go into the bucket. Before its manifest is published.
pub(crate) fn remember(context: &Context, id: Uuid) -> Result<()> {
    context.repository.replace_json(&format!("{NOTES}{id}"), &id)
}

/// Forgets that; after the upload, or when the snapshot is deleted.
pub(crate) fn forget(context: &Context, id: Uuid) -> Result<()> {
    context.repository.local().remove(&format!("{NOTES}{id}"))
}

/// Snapshots that are not in the bucket yet. None when S3 is off: nothing is waited for then.
pub(crate) fn pending(context: &Context) -> Result<BTreeSet<Uuid>> {
    if context.repository.bucket().is_none() {
        return Ok(BTreeSet::new());
    }
    Ok(context.repository.note_ids(NOTES)?.into_iter().collect())
}

/// Uploads every pending snapshot, the oldest first, and brings their rows up to date. Fails when
/// `new` is not in the bucket afterwards; that older ones are not is a warning.
pub(crate) fn upload_pending(context: &Context, database: &Path, new: &Head) -> Result<()> {
    let Some(bucket) = context.repository.bucket() else {
        return Ok(());
    };
    let _mirror = lock(context, "createSnapshot")?;
    let pending = pending(context)?;
    let heads = context.repository.local_heads()?;
    mirror::prepare_bucket(bucket)?;
    let mut outcome = Ok(());
    for head in heads.iter().filter(|head| pending.contains(&head.id)) {
        let uploaded = upload(context, bucket, head);
        if tombstones::exists(bucket, head.id)? || uploaded.is_ok() {
            // There, or deleted by another host and never to come back: nothing is left to do.
            forget(context, head.id)?;
        }
        match uploaded {
            Ok((head, _)) => write_row(context, database, &head),
            Err(error) if head.id == new.id => outcome = Err(error),
            Err(error) => {
                tracing::warn!(snapshot = %head.name, code = error.code.as_str(), reason = %error, "an earlier snapshot is still not in the bucket");
            }
        }
    }
    outcome
}

/// The right to copy between the tiers, which one process has at a time.
pub(crate) fn lock(context: &Context, operation: &str) -> Result<Lock> {
    Lock::acquire(
        context.repository.root(),
        Subject::Mirror,
        Mode::Exclusive,
        operation,
        context.config.lock_timeout(),
    )
}

/// Uploads one local snapshot: packs before the manifest, then the check that no other host has
/// swept a pack meanwhile. Returns it in the generation that was uploaded, and the bytes that were sent.
pub(crate) fn upload(context: &Context, bucket: &S3Store, head: &Head) -> Result<(Head, u64)> {
    let head = above_what_is_there(context, bucket, head)?;
    let local = &**context.repository.local();
    let Missing { packs, needed, bytes } = mirror::missing(local, &mirror::inventory(bucket)?, &head)?;
    let mut sent = 0;
    let mut count = |more: u64| {
        context.host.check_alive()?;
        sent += more;
        context.host.progress("upload", sent.min(bytes), bytes, "bytes");
        Ok(())
    };
    for pack in &packs {
        failpoint::reached("upload.before-pack")?;
        mirror::copy_pack(local, bucket, pack, head.page_size, false, &mut count)?;
    }
    // Old marks go before anybody can rely on the manifest: should we die right after publishing it,
    // the packs have their whole grace before them.
    let timeout = context.config.lock_timeout();
    let mut put_back = |pack: &_| mirror::copy_pack(local, bucket, pack, head.page_size, false, &mut count);
    deletion::settle(bucket, head.id, &needed, &mut put_back, timeout)?;
    failpoint::reached("upload.before-manifest")?;
    publish_manifest(context, bucket, &head, &mut count)?;
    failpoint::reached("upload.after-manifest")?;
    let mut put_back = |pack: &_| mirror::copy_pack(local, bucket, pack, head.page_size, false, &mut count);
    deletion::settle(bucket, head.id, &needed, &mut put_back, timeout)?;
    context.tally.add(move |counters| {
        counters.uploads += 1;
        counters.uploaded_bytes += sent;
        counters.last_uploaded = Some(jiff::Timestamp::now());
    });
    Ok((head, sent))
}

/// The generation to upload. Where another host's counts in the bucket, or has our number, it is one
/// above that: ours would be passed over.
fn above_what_is_there(context: &Context, bucket: &S3Store, head: &Head) -> Result<Head> {
    match snapshot::generations(bucket, head.id)?.first() {
        Some(there) if *there > head.generation || (*there == head.generation && !is_ours(bucket, head)?) => {
            let _lock = context.lock_for_writing("sync")?;
            repacking::raise_generation(&context.repository, head, *there)
        }
        _ => Ok(head.clone()),
    }
}

/// Whether the manifest in the bucket that has our generation is ours.
fn is_ours(bucket: &S3Store, head: &Head) -> Result<bool> {
    match manifest::pack_table(bucket, &head.key()) {
        Ok((there, _)) => Ok(there.has_places_of(head)),
        Err(error) if error.code == Code::SnapshotDamaged => Ok(false),
        Err(error) => Err(error),
    }
}

/// Publishes the manifest unless the snapshot was deleted meanwhile, here or by another host.
fn publish_manifest(context: &Context, bucket: &S3Store, head: &Head, count: &mut mirror::Copied<'_>) -> Result<()> {
    let _lock = context.lock_for_reading("createSnapshot")?;
    let local = &**context.repository.local();
    if tombstones::exists(bucket, head.id)? {
        fail!(
            UploadFailed,
            "{} was deleted in the bucket by another host, so it is not uploaded again; the local copy stays",
            head.name
        );
    }
    if !snapshot::generations(bucket, head.id)?.contains(&head.generation) {
        mirror::copy(local, bucket, &head.key(), count)?;
    }
    if !is_ours(bucket, head)? {
        fail!(
            UploadFailed,
            "another host has put a generation of {} into the bucket meanwhile, so it was not uploaded; the next sync() compares them",
            head.name
        );
    }
    Ok(())
}

/// Whether a snapshot belongs into the bucket: safety and forensic images are this host's affair.
pub(crate) fn belongs_into_bucket(head: &Head) -> bool {
    head.kind == Kind::Snapshot
}

/// Writes what became of an upload into the table. Best effort, like every row.
pub(crate) fn write_row(context: &Context, database: &Path, head: &Head) {
    // A database that is lost has no table.
    if !database.is_file() {
        return;
    }
    match catalog::record(context, head) {
        Ok(record) => catalog::update_row(context, database, &record),
        Err(error) => tracing::warn!(reason = %error, "the record of an uploaded snapshot could not be made"),
    }
}

/// The error of a snapshot that is stored locally only.
pub(crate) fn failed(head: &Head, error: Error) -> Error {
    if error.code == Code::Aborted {
        return error;
    }
    let reason = match error.code {
        Code::UploadFailed => error.to_string(),
        code => format!("{}: {error}", code.as_str()),
    };
    Error::new(
        Code::UploadFailed,
        format!(
            "{} is complete in the local repository, but not in the bucket ({reason}). It stays PENDING; \
             the next createSnapshot or sync() uploads it",
            head.name
        ),
    )
    .because(error)
}
