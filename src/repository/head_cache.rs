//! Heads that were read in the bucket: the next listing does not fetch them again, and who may not ask
//! the bucket knows what it held.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Repository;
use super::manifest::{self, Head};
use crate::error::Result;
use crate::storage::{Object, Store};

const CACHE: &str = "local/heads/";

/// A head, and of which object it was read.
#[derive(Serialize, Deserialize)]
struct Cached {
    size: u64,
    modified: Timestamp,
    head: Head,
}

/// The head of a manifest in the bucket; `object` is what its listing says.
pub(super) fn read(repository: &Repository, bucket: &dyn Store, key: &str, object: &Object) -> Result<Head> {
    let note = note(key);
    if let Ok(Some(cached)) = repository.read_note::<Cached>(&note)
        && (cached.size, cached.modified) == (object.size, object.modified)
        && cached.head.key() == key
    {
        return Ok(cached.head);
    }
    let head = manifest::read_head(bucket, key)?;
    let cached = Cached {
        size: object.size,
        modified: object.modified,
        head,
    };
    // Best effort: a repository that may not be written is read all the same. Whoever looks holds no lock, so the
    // scratch folder is not ours.
    if repository.root().is_dir() {
        let _ = repository.replace_json_beside(&note, &cached);
    }
    Ok(cached.head)
}

/// Every head that is cached, by snapshot.
pub(super) fn all(repository: &Repository) -> BTreeMap<Uuid, Head> {
    let notes = repository.local().list(CACHE).unwrap_or_default().into_iter();
    let cached = notes.filter_map(|note| repository.read_note::<Cached>(&note.key).ok()?);
    cached.map(|Cached { head, .. }| (head.id, head)).collect()
}

/// Drops every head but those of these manifests.
pub(super) fn keep_only(repository: &Repository, keys: impl Iterator<Item = String>) {
    let kept: Vec<String> = keys.map(|key| note(&key)).collect();
    for cached in repository.local().list(CACHE).unwrap_or_default() {
        if !kept.contains(&cached.key) {
            let _ = repository.local().remove(&cached.key);
        }
    }
}

fn note(key: &str) -> String {
    format!("{CACHE}{}", key.trim_start_matches("snapshots/"))
}
