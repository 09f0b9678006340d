//! Objects in a bucket.

use std::path::Path;

use jiff::Timestamp;

use super::{Object, Reader, Staged, Store};
use crate::config::S3Config;
use crate::error::Result;

/// Names one version of a small object (its ETag).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tag(String);

/// A small object that several hosts change: the lease, a mark, a tombstone.
#[derive(Clone, Debug)]
pub(crate) struct Small {
    pub(crate) bytes: Vec<u8>,
    pub(crate) tag: Tag,
    /// When it was written, by the server's clock.
    pub(crate) modified: Timestamp,
}

/// A store below a prefix of a bucket. Cheap to clone.
#[derive(Clone)]
pub(crate) struct S3Store;

impl S3Store {
    /// Makes the client; sends nothing. What [`Reader::fetch`] keeps goes into files without a name in `scratch`.
    pub(crate) fn new(_config: &S3Config, _scratch: &Path) -> Result<Self> {
        unimplemented!()
    }

    /// A small object; `None` when it is missing.
    pub(crate) fn get(&self, _key: &str) -> Result<Option<Small>> {
        unimplemented!()
    }

    /// Writes a small object, over whatever is there.
    pub(crate) fn put(&self, _key: &str, _bytes: &[u8]) -> Result<()> {
        unimplemented!()
    }

    /// Writes a small object that does not exist yet; `None` when it does.
    pub(crate) fn put_new(&self, _key: &str, _bytes: &[u8]) -> Result<Option<Tag>> {
        unimplemented!()
    }

    /// Replaces that version of a small object; `None` when it is another one by now, or gone.
    pub(crate) fn put_over(&self, _key: &str, _bytes: &[u8], _tag: &Tag) -> Result<Option<Tag>> {
        unimplemented!()
    }

    /// Fails with `S3_UNSUPPORTED` when the provider ignores or refuses conditional writes.
    pub(crate) fn check_conditional_writes(&self) -> Result<()> {
        unimplemented!()
    }

    /// The SHA-256 that was stored beside an object (metadata `sha256`); `None` when there is none.
    pub(crate) fn sha256(&self, _key: &str) -> Result<Option<String>> {
        unimplemented!()
    }

    /// Aborts uploads that were begun before a moment and never finished; returns how many.
    pub(crate) fn abort_uploads_begun_before(&self, _moment: Timestamp) -> Result<usize> {
        unimplemented!()
    }
}

impl Store for S3Store {
    fn stage(&self, _key: &str) -> Result<Box<dyn Staged>> {
        unimplemented!()
    }
    fn open(&self, _key: &str) -> Result<Box<dyn Reader>> {
        unimplemented!()
    }
    fn list(&self, _prefix: &str) -> Result<Vec<Object>> {
        unimplemented!()
    }
    fn remove(&self, _key: &str) -> Result<()> {
        unimplemented!()
    }
    fn locate(&self, _key: &str) -> String {
        unimplemented!()
    }
}
