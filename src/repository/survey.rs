//! Which snapshots there are, and in which tier.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Repository;
use super::manifest::{self, Head};
use super::tiers::Tier;
use crate::error::{Code, Error, Result};
use crate::storage::{Object, Store};

/// Heads that were read in the bucket, so that the next listing does not fetch them again.
const CACHE: &str = "local/heads/";
/// Heads that are fetched from the bucket at a time.
const READERS: usize = 8;

/// A snapshot and the tiers that have it.
pub(crate) struct Listed {
    pub(crate) head: Head,
    pub(crate) tiers: Vec<Tier>,
}

/// What a look at the repository found.
#[derive(Default)]
pub(crate) struct Survey {
    /// Oldest first.
    pub(crate) snapshots: Vec<Listed>,
    /// Manifests whose head cannot be read, and why.
    pub(crate) damaged: Vec<(Uuid, Error)>,
    /// Why the bucket was left out, when it could not be asked.
    pub(crate) bucket_failure: Option<Error>,
}

impl Survey {
    pub(crate) fn into_heads(self) -> Vec<Head> {
        self.snapshots.into_iter().map(|listed| listed.head).collect()
    }
}

/// A manifest's newest generation, and where it is.
struct Place {
    key: String,
    tiers: Vec<Tier>,
    in_bucket: Option<Object>,
}

/// Looks at the local tier alone.
pub(crate) fn local(repository: &Repository) -> Result<Survey> {
    survey(repository, repository.local().list("snapshots/")?, Vec::new())
}

/// Looks at the bucket alone.
pub(crate) fn bucket(repository: &Repository, bucket: &dyn Store) -> Result<Survey> {
    survey(repository, Vec::new(), bucket.list("snapshots/")?)
}

/// Looks at both tiers; a bucket that cannot be asked is left out and the reason kept.
pub(crate) fn both(repository: &Repository) -> Result<Survey> {
    let in_folder = repository.local().list("snapshots/")?;
    let Some(bucket) = repository.bucket() else {
        return survey(repository, in_folder, Vec::new());
    };
    match bucket.list("snapshots/") {
        Ok(in_bucket) => survey(repository, in_folder, in_bucket),
        Err(error) => Ok(Survey {
            bucket_failure: Some(error),
            ..survey(repository, in_folder, Vec::new())?
        }),
    }
}

fn survey(repository: &Repository, in_folder: Vec<Object>, in_bucket: Vec<Object>) -> Result<Survey> {
    let asked_bucket = !in_bucket.is_empty();
    let mut places = newest(in_folder, in_bucket);
    let mut survey = Survey::default();
    let mut far = Vec::new();
    for (id, place) in std::mem::take(&mut places) {
        if !place.tiers.contains(&Tier::Local) {
            far.push((id, place));
            continue;
        }
        match manifest::read_head(&**repository.local(), &place.key) {
            Ok(head) => survey.snapshots.push(Listed {
                head,
                tiers: place.tiers,
            }),
            // The other copy may be good.
            Err(error) if error.code == Code::SnapshotDamaged && place.in_bucket.is_some() => {
                tracing::warn!(snapshot = %id, reason = %error, "the local manifest is damaged; the one in the bucket is used");
                far.push((id, place));
            }
            Err(error) if error.code == Code::SnapshotDamaged => survey.damaged.push((id, error)),
            Err(error) => return Err(error),
        }
    }
    read_far(repository, &far, &mut survey)?;
    if asked_bucket {
        forget_gone(repository, &far);
    }
    for (id, error) in &survey.damaged {
        tracing::warn!(snapshot = %id, reason = %error, "a snapshot is damaged and left out of the list");
    }
    survey
        .snapshots
        .sort_by_key(|listed| (listed.head.created_at, listed.head.id));
    Ok(survey)
}

/// Newest generation of every manifest. A tier that has an older one only does not count as having it.
fn newest(in_folder: Vec<Object>, in_bucket: Vec<Object>) -> BTreeMap<Uuid, Place> {
    let mut generations: BTreeMap<Uuid, u32> = BTreeMap::new();
    let mut objects: HashMap<String, (Option<Object>, Option<Object>)> = HashMap::new();
    let local = in_folder.into_iter().map(|object| (Tier::Local, object));
    for (tier, object) in local.chain(in_bucket.into_iter().map(|object| (Tier::S3, object))) {
        let Some((id, generation)) = manifest::parse_key(&object.key) else {
            continue;
        };
        let known = generations.entry(id).or_insert(generation);
        *known = generation.max(*known);
        let entry = objects.entry(object.key.clone()).or_default();
        match tier {
            Tier::Local => entry.0 = Some(object),
            Tier::S3 => entry.1 = Some(object),
        }
    }
    let place = |(id, generation)| {
        let key = manifest::key(id, generation);
        let (local, in_bucket) = objects.remove(&key).unwrap_or_default();
        let mut tiers = Vec::new();
        tiers.extend(local.map(|_| Tier::Local));
        tiers.extend(in_bucket.as_ref().map(|_| Tier::S3));
        (id, Place { key, tiers, in_bucket })
    };
    generations.into_iter().map(place).collect()
}

/// Reads the heads that only the bucket has, several at a time, for the bucket may be far away.
fn read_far(repository: &Repository, far: &[(Uuid, Place)], survey: &mut Survey) -> Result<()> {
    let Some(bucket) = repository.bucket().filter(|_| !far.is_empty()) else {
        return Ok(());
    };
    let (next, read) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..READERS.min(far.len()) {
            scope.spawn(|| {
                while let Some((id, place)) = far.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let head = cached_or_read(repository, bucket, place);
                    let mut read = read.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                    read.push((*id, head, place.tiers.clone()));
                }
            });
        }
    });
    for (id, head, tiers) in read.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner) {
        match head {
            Ok(head) => survey.snapshots.push(Listed { head, tiers }),
            Err(error) if error.code == Code::SnapshotDamaged => survey.damaged.push((id, error)),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// A head as it was read in the bucket, and of which object.
#[derive(Serialize, Deserialize)]
struct Cached {
    size: u64,
    modified: Timestamp,
    head: Head,
}

fn cached_or_read(repository: &Repository, bucket: &dyn Store, place: &Place) -> Result<Head> {
    let Some(object) = &place.in_bucket else {
        return manifest::read_head(bucket, &place.key);
    };
    let note = note(&place.key);
    if let Ok(Some(cached)) = repository.read_json::<Cached>(&note)
        && (cached.size, cached.modified) == (object.size, object.modified)
        && cached.head.key() == place.key
    {
        return Ok(cached.head);
    }
    let head = manifest::read_head(bucket, &place.key)?;
    let cached = Cached {
        size: object.size,
        modified: object.modified,
        head,
    };
    // Only saves time: a repository that may not be written is read all the same.
    if repository.root().is_dir() {
        let _ = repository.replace_json(&note, &cached);
    }
    Ok(cached.head)
}

fn note(key: &str) -> String {
    format!("{CACHE}{}", key.trim_start_matches("snapshots/"))
}

/// Drops cached heads of manifests that are no longer in the bucket alone.
fn forget_gone(repository: &Repository, far: &[(Uuid, Place)]) {
    let kept: Vec<String> = far.iter().map(|(_, place)| note(&place.key)).collect();
    for cached in repository.local().list(CACHE).unwrap_or_default() {
        if !kept.contains(&cached.key) {
            let _ = repository.local().remove(&cached.key);
        }
    }
}

#[cfg(test)]
#[path = "survey_tests.rs"]
mod tests;
