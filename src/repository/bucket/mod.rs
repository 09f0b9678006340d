//! What keeps several hosts from harming each other in one bucket: nobody deletes what another one
//! still needs, and what was deleted does not come back.
//!
//! ```text
//! lease.json        whose turn it is to delete
//! deleted/<uuid>    tombstone: that snapshot was deleted and is never uploaded again
//! marks/<uuid>      no manifest needed that pack when the mark was written
//! pins/<uuid>       that snapshot is not to be deleted
//! schedule.json     which host makes the run of a schedule's tick
//! ```
//! Creating needs no lease: whoever has published a manifest makes sure with [`deletion::settle`]
//! that its packs are still there.
//!
//! No host's clock is believed. Ages are differences between dates that the server gave.

pub(crate) mod deletion;
pub(crate) mod lease;
pub(crate) mod marks;
mod needs;
mod note;
pub(crate) mod pins;
pub(crate) mod schedule;
mod sweep;
pub(crate) mod tombstones;

#[cfg(test)]
mod memory;
#[cfg(test)]
mod races_tests;
#[cfg(test)]
mod testing;

use jiff::Timestamp;
use uuid::Uuid;

use crate::error::Result;
use crate::storage::{Object, S3Store, Store, Tag};

pub(crate) use needs::in_parallel;

/// One version of a small object.
#[derive(Clone, Debug)]
pub(crate) struct Seen<T> {
    pub(crate) bytes: Vec<u8>,
    pub(crate) tag: T,
    /// When it was written, by the server's clock.
    pub(crate) modified: Timestamp,
}

/// A store that several hosts change, strongly consistent: whoever lists or reads sees everything
/// that was written before. The comments of [`S3Store`] are the specification.
pub(crate) trait SharedStore: Store + Clone + 'static {
    /// Names one version of a small object.
    type Tag: Clone + PartialEq + Send;

    fn get(&self, key: &str) -> Result<Option<Seen<Self::Tag>>>;
    fn put(&self, key: &str, bytes: &[u8]) -> Result<()>;
    fn put_new(&self, key: &str, bytes: &[u8]) -> Result<Option<Self::Tag>>;
    fn put_over(&self, key: &str, bytes: &[u8], tag: &Self::Tag) -> Result<Option<Self::Tag>>;
    fn check_conditional_writes(&self) -> Result<()>;
    fn abort_uploads_begun_before(&self, moment: Timestamp) -> Result<usize>;
}

impl SharedStore for S3Store {
    type Tag = Tag;

    fn get(&self, key: &str) -> Result<Option<Seen<Tag>>> {
        let found = self.get(key)?;
        Ok(found.map(|small| Seen {
            bytes: small.bytes,
            tag: small.tag,
            modified: small.modified,
        }))
    }

    fn put(&self, key: &str, bytes: &[u8]) -> Result<()> {
        self.put(key, bytes)
    }

    fn put_new(&self, key: &str, bytes: &[u8]) -> Result<Option<Tag>> {
        self.put_new(key, bytes)
    }

    fn put_over(&self, key: &str, bytes: &[u8], tag: &Tag) -> Result<Option<Tag>> {
        self.put_over(key, bytes, tag)
    }

    fn check_conditional_writes(&self) -> Result<()> {
        self.check_conditional_writes()
    }

    fn abort_uploads_begun_before(&self, moment: Timestamp) -> Result<usize> {
        self.abort_uploads_begun_before(moment)
    }
}

/// What is in a folder under the name of a UUID; other objects are not ours and are left out.
fn list_ids(store: &impl Store, folder: &str) -> Result<impl Iterator<Item = (Uuid, Object)>> {
    let prefix = format!("{folder}/");
    let objects = store.list(&prefix)?;
    Ok(objects.into_iter().filter_map(move |object| {
        let name = object.key.strip_prefix(&prefix)?;
        let id = Uuid::try_parse(name).ok()?;
        // A UUID has several spellings; ours is the only one whose object we may remove.
        (id.to_string() == name).then_some((id, object))
    }))
}
