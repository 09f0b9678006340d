//! Pinned snapshots: neither retention nor `deleteSnapshot` removes them.
//!
//! A pin is a note in `local/pins/`, and with S3 an object `pins/<uuid>` in the bucket as well, so
//! that other hosts respect it too.

use std::collections::BTreeSet;

use serde_json::Value;
use uuid::Uuid;

use super::find::find;
use super::{Context, list};
use crate::error::{Code, Error, Result, fail};
use crate::repository::bucket::pins;
use crate::storage::S3Store;

const NOTES: &str = "local/pins/";

/// Pins a snapshot. Where the bucket cannot be told, the pin holds on this host.
pub(crate) fn pin(context: &Context, name: &str) -> Result<Value> {
    let id = find(context, name)?.note_id();
    if let Some(bucket) = context.repository.bucket()
        && let Err(error) = pin_in_bucket(context, bucket, name, id)
    {
        // It is about to be deleted there, or that cannot be told yet.
        if matches!(
            error.code,
            Code::SnapshotNotFound | Code::RepositoryBusy | Code::Aborted
        ) {
            return Err(error);
        }
        tracing::warn!(code = error.code.as_str(), reason = %error, "the snapshot is pinned on this host only; pin it again when the bucket can be reached");
    }
    let lock = context.lock_for_writing("pinSnapshot")?;
    // It may have been pruned since.
    find(context, name)?;
    context.repository.replace_json(&format!("{NOTES}{id}"), &id)?;
    drop(lock);
    list::get(context, name)
}

/// Tells every host. One that has deleted the snapshot already leaves at most our own copy to pin.
fn pin_in_bucket(context: &Context, bucket: &S3Store, name: &str, id: Uuid) -> Result<()> {
    let alive = || context.host.check_alive();
    let is_pinned = pins::put(bucket, id, context.config.lock_timeout(), &alive)?;
    if !is_pinned && context.repository.local().list(&format!("snapshots/{id}."))?.is_empty() {
        fail!(
            SnapshotNotFound,
            "Snapshot not found: {name} has been deleted from the bucket, so it was not pinned"
        );
    }
    Ok(())
}

/// Takes a pin away.
pub(crate) fn unpin(context: &Context, name: &str) -> Result<Value> {
    let id = find(context, name)?.note_id();
    if let Some(bucket) = context.repository.bucket() {
        pins::remove(bucket, id)?;
    }
    let lock = context.lock_for_writing("unpinSnapshot")?;
    context.repository.local().remove(&format!("{NOTES}{id}"))?;
    drop(lock);
    list::get(context, name)
}

/// Every pin that can be seen from here.
#[derive(Default)]
pub(crate) struct Pins {
    ids: BTreeSet<Uuid>,
    /// Why those of other hosts are not among them.
    pub(crate) bucket_failure: Option<Error>,
}

impl Pins {
    pub(crate) fn read(context: &Context) -> Result<Self> {
        let mut all = Self::of_this_host(context)?;
        match context.repository.bucket().map(pins::all) {
            Some(Ok(ids)) => all.ids.extend(ids),
            Some(Err(error)) => all.bucket_failure = Some(error),
            None => {}
        }
        Ok(all)
    }

    pub(crate) fn of_this_host(context: &Context) -> Result<Self> {
        // What a pin says does not matter: its name protects.
        Ok(Self {
            ids: context.repository.note_ids(NOTES)?.into_iter().collect(),
            bucket_failure: None,
        })
    }

    pub(crate) fn contains(&self, id: Uuid) -> bool {
        self.ids.contains(&id)
    }
}

/// Fails for a pinned snapshot. `everywhere`: on another host, too.
pub(crate) fn refuse_pinned(context: &Context, id: Uuid, everywhere: bool) -> Result<()> {
    let pins = match everywhere {
        true => Pins::read(context)?,
        false => Pins::of_this_host(context)?,
    };
    if pins.contains(id) {
        fail!(
            SnapshotPinned,
            "the snapshot is pinned, so it was not deleted; unpin it first (unpinSnapshot)"
        );
    }
    pins.bucket_failure.map_or(Ok(()), Err)
}
