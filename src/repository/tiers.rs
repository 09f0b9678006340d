//! The local folder and the bucket, each complete in itself, read as one.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::error::{Code, Result};
use crate::storage::{Object, Reader, Staged, Store};

/// One of the places where the repository is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Tier {
    Local,
    S3,
}

/// Reads each object from the folder, and from the bucket what the folder lacks. New objects go
/// into the folder.
pub(crate) struct LocalFirst {
    pub(crate) local: Arc<dyn Store>,
    pub(crate) bucket: Arc<dyn Store>,
}

impl LocalFirst {
    fn holder(&self, key: &str) -> &dyn Store {
        match self.local.open(key) {
            Ok(_) => &*self.local,
            Err(_) => &*self.bucket,
        }
    }
}

impl Store for LocalFirst {
    fn stage(&self, key: &str) -> Result<Box<dyn Staged>> {
        self.local.stage(key)
    }

    fn open(&self, key: &str) -> Result<Box<dyn Reader>> {
        match self.local.open(key) {
            Err(error) if error.code == Code::SnapshotDamaged => self.bucket.open(key),
            other => other,
        }
    }

    fn list(&self, prefix: &str) -> Result<Vec<Object>> {
        let both = self.bucket.list(prefix)?.into_iter().chain(self.local.list(prefix)?);
        let objects: BTreeMap<String, Object> = both.map(|object| (object.key.clone(), object)).collect();
        Ok(objects.into_values().collect())
    }

    fn remove(&self, key: &str) -> Result<()> {
        self.local.remove(key)
    }

    fn second(&self) -> Option<Arc<dyn Store>> {
        Some(Arc::clone(&self.bucket))
    }

    fn locate(&self, key: &str) -> String {
        self.holder(key).locate(key)
    }
}

#[cfg(test)]
#[path = "tiers_tests.rs"]
mod tests;
