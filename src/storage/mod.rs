//! Where objects live: one small trait, and its stores.
//!
//! The trait's comments are the specification; `conformance` runs over every store.

mod anchor;
#[cfg(test)]
mod conformance;
mod file_id;
pub(crate) mod leftovers;
mod local;
mod s3;
mod space;

use std::io::Write;
use std::ops::Range;
use std::sync::Arc;

use jiff::Timestamp;

pub(crate) use anchor::{Anchor, is_at};
pub(crate) use file_id::{FileId, Moved, is_one_file};
pub(crate) use local::{
    LocalStore, SCRATCH, adopt, io_error, make_folder, publish, rename_no_replace, replace, sync_folder,
};

/// A store in the bucket of the server that `SNAPSHOT_WRITER_TEST_S3` names, below a prefix of its own.
#[cfg(test)]
pub(crate) use s3::tests::fresh_store as fresh_s3_store;
pub(crate) use s3::{S3Store, Tag};
pub(crate) use space::free_bytes;

use crate::error::Result;

/// An object in a listing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Object {
    /// Path below the store's root, segments separated by `/`.
    pub(crate) key: String,
    /// Bytes.
    pub(crate) size: u64,
    /// When it was published, by the clock of whoever keeps the store.
    pub(crate) modified: Timestamp,
}

/// A flat set of immutable objects.
pub(crate) trait Store: Send + Sync {
    /// Starts the object `key`. Nothing is visible before [`Staged::publish`]; dropping discards it.
    fn stage(&self, key: &str) -> Result<Box<dyn Staged>>;
    /// Opens an object; `SNAPSHOT_DAMAGED` when it is missing.
    fn open(&self, key: &str) -> Result<Box<dyn Reader>>;
    /// Every object whose key starts with `prefix`, in key order, complete ones only.
    fn list(&self, prefix: &str) -> Result<Vec<Object>>;
    /// Removes an object; a missing one is no error.
    fn remove(&self, key: &str) -> Result<()>;
    /// Where to look again when what this store gave turns out to be damaged: another copy, or the
    /// same one once more where a network lies between.
    fn second(&self) -> Option<Arc<dyn Store>> {
        None
    }
    /// How a person or the application names the object (absolute path, or S3 key).
    fn locate(&self, key: &str) -> String;
}

/// An object being written.
pub(crate) trait Staged: Write + Send {
    /// Tells the SHA-256 of the whole object (lower-case hex) before its first byte, for stores
    /// that keep it beside the object.
    fn expect(&mut self, _sha256: &str) {}
    /// Makes the bytes durable and the object visible, all at once, without replacing an object
    /// that exists (`SNAPSHOT_EXISTS`).
    fn publish(self: Box<Self>) -> Result<()>;
}

/// An object being read, from any offset, by several threads.
pub(crate) trait Reader: Send + Sync {
    /// Bytes.
    fn size(&self) -> u64;
    /// Fills `buffer` from `offset`; `SNAPSHOT_DAMAGED` when the object ends before.
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()>;
    /// Says that these ranges will be read, in any order and more than once: a store that is far
    /// away fetches them together and keeps them at hand. They may end after the object.
    fn fetch(&self, _ranges: &[Range<u64>]) -> Result<()> {
        Ok(())
    }
    /// Whether reading costs a trip over a network, so that [`Reader::fetch`] is worth preparing.
    fn is_far(&self) -> bool {
        false
    }
}
