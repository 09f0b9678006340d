//! Small objects that several hosts change, each change under a condition.

use jiff::Timestamp;
use uuid::Uuid;

use super::S3Store;
use super::payload::Payload;
use super::put::{Condition, Outcome};
use crate::error::{Code, Error, Result};
use crate::storage::Store;

/// Names one version of a small object (its ETag).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tag(pub(super) String);

/// A small object that several hosts change: the lease, a mark, a tombstone.
#[derive(Clone, Debug)]
pub(crate) struct Small {
    pub(crate) bytes: Vec<u8>,
    pub(crate) tag: Tag,
    /// When it was written, by the server's clock.
    pub(crate) modified: Timestamp,
}

impl S3Store {
    /// A small object; `None` when it is missing.
    pub(crate) fn get(&self, key: &str) -> Result<Option<Small>> {
        self.wait(self.bucket().get_small(key))
    }

    /// Writes a small object, over whatever is there.
    pub(crate) fn put(&self, key: &str, bytes: &[u8]) -> Result<()> {
        self.write(key, bytes, Condition::None).map(|_| ())
    }

    /// Writes a small object that does not exist yet; `None` when it does.
    pub(crate) fn put_new(&self, key: &str, bytes: &[u8]) -> Result<Option<Tag>> {
        self.write(key, bytes, Condition::New)
    }

    /// Replaces that version of a small object; `None` when it is another one by now, or gone.
    pub(crate) fn put_over(&self, key: &str, bytes: &[u8], tag: &Tag) -> Result<Option<Tag>> {
        self.write(key, bytes, Condition::Over(tag))
    }

    fn write(&self, key: &str, bytes: &[u8], condition: Condition<'_>) -> Result<Option<Tag>> {
        match self.wait(self.bucket().put(key, &Payload::new(bytes.to_vec()), condition, None))? {
            Outcome::Written(tag) => Ok(Some(tag)),
            Outcome::Refused => Ok(None),
            Outcome::NoConditions => Err(self.unsupported("it refuses them")),
        }
    }

    /// Fails with `S3_UNSUPPORTED` when the provider ignores or refuses conditional writes.
    pub(crate) fn check_conditional_writes(&self) -> Result<()> {
        let key = format!("check/{}", Uuid::new_v4());
        let outcome = self.try_conditional_writes(&key);
        let removed = self.remove(&key);
        outcome.and(removed)
    }

    fn try_conditional_writes(&self, key: &str) -> Result<()> {
        self.check_if_none_match(key)?;
        self.check_if_match(key)
    }

    /// Fails unless a second object under one key is refused.
    pub(super) fn check_if_none_match(&self, key: &str) -> Result<()> {
        if self.put_new(key, b"first")?.is_none() {
            return Err(self.unsupported("it takes an object that does not exist for an existing one"));
        }
        if self.put_new(key, b"again")?.is_some() {
            return Err(self.unsupported("it ignores If-None-Match"));
        }
        Ok(())
    }

    /// Fails unless a version is replaced once, and not when it is another one by then.
    pub(super) fn check_if_match(&self, key: &str) -> Result<()> {
        let Some(first) = self.write(key, b"version one", Condition::None)? else {
            return Err(self.unsupported("it refuses a write without a condition"));
        };
        if self.put_over(key, b"version two", &first)?.is_none() {
            return Err(self.unsupported("it does not replace the version that If-Match names"));
        }
        if self.put_over(key, b"version three", &first)?.is_some() {
            return Err(self.unsupported("it ignores If-Match"));
        }
        Ok(())
    }

    fn unsupported(&self, how: &str) -> Error {
        Error::new(
            Code::S3Unsupported,
            format!(
                "{} has no conditional writes ({how}), without which several hosts cannot delete safely; \
                 nothing was deleted",
                self.bucket().place()
            ),
        )
    }
}
