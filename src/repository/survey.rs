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
    /// As the local tier has it, else as the bucket has it.
    pub(crate) head: Head,
    pub(crate) tiers: Vec<Tier>,
    /// Its generation in the bucket: older than the local one until a repacked snapshot is uploaded.
    pub(crate) in_bucket: Option<u32>,
}

impl Listed {
    /// Whether the local tier has been repacked and the bucket has not.
    pub(crate) fn is_outdated_in_bucket(&self) -> bool {
        self.tiers.contains(&Tier::Local)
            && self
                .in_bucket
                .is_some_and(|generation| generation < self.head.generation)
    }
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

/// Where a manifest is: its newest generation in each tier. Every generation is the whole snapshot.
#[derive(Default)]
struct Place {
    local: Option<u32>,
    in_bucket: Option<(u32, Object)>,
}

impl Place {
    fn tiers(&self) -> Vec<Tier> {
        let mut tiers = Vec::new();
        tiers.extend(self.local.map(|_| Tier::Local));
        tiers.extend(self.in_bucket.as_ref().map(|_| Tier::S3));
        tiers
    }

    fn list(self, head: Head) -> Listed {
        Listed {
            head,
            tiers: self.tiers(),
            in_bucket: self.in_bucket.map(|(generation, _)| generation),
        }
    }
}

/// Which manifests a survey does without; any other error ends it.
#[derive(Clone, Copy)]
pub(crate) enum Without {
    /// Damaged ones. Half a list would look like lost snapshots.
    Damaged,
    /// Whatever cannot be read, newer ones too: for whoever needs any good snapshot.
    Unreadable,
}

impl Without {
    fn leaves_out(self, error: &Error) -> bool {
        match self {
            Self::Damaged => error.code == Code::SnapshotDamaged,
            Self::Unreadable => error.code != Code::Aborted,
        }
    }
}

/// Looks at the local tier alone.
pub(crate) fn local(repository: &Repository) -> Result<Survey> {
    local_without(repository, Without::Damaged)
}

/// As [`local`], with a say in what is left out.
pub(crate) fn local_without(repository: &Repository, without: Without) -> Result<Survey> {
    survey(repository, repository.local().list("snapshots/")?, Vec::new(), without)
}

/// Looks at the bucket alone.
pub(crate) fn bucket(repository: &Repository, bucket: &dyn Store) -> Result<Survey> {
    survey(repository, Vec::new(), bucket.list("snapshots/")?, Without::Damaged)
}

/// Looks at both tiers; a bucket that cannot be asked is left out and the reason kept.
pub(crate) fn both(repository: &Repository, without: Without) -> Result<Survey> {
    let in_folder = repository.local().list("snapshots/")?;
    let Some(bucket) = repository.bucket() else {
        return survey(repository, in_folder, Vec::new(), without);
    };
    match bucket.list("snapshots/") {
        Ok(in_bucket) => survey(repository, in_folder, in_bucket, without),
        Err(error) => Ok(Survey {
            bucket_failure: Some(error),
            ..survey(repository, in_folder, Vec::new(), without)?
        }),
    }
}

fn survey(repository: &Repository, in_folder: Vec<Object>, in_bucket: Vec<Object>, without: Without) -> Result<Survey> {
    let asked_bucket = !in_bucket.is_empty();
    let mut survey = Survey::default();
    let mut far = Vec::new();
    for (id, place) in places(in_folder, in_bucket) {
        let Some(generation) = place.local else {
            far.push((id, place));
            continue;
        };
        match manifest::read_head(&**repository.local(), &manifest::key(id, generation)) {
            Ok(head) => survey.snapshots.push(place.list(head)),
            // The other copy may be good.
            Err(error) if without.leaves_out(&error) && place.in_bucket.is_some() => {
                tracing::warn!(snapshot = %id, reason = %error, "the local manifest cannot be read; the one in the bucket is used");
                far.push((id, place));
            }
            Err(error) if without.leaves_out(&error) => survey.damaged.push((id, error)),
            Err(error) => return Err(error),
        }
    }
    if asked_bucket {
        forget_gone(repository, &far);
    }
    read_far(repository, far, &mut survey, without)?;
    for (id, error) in &survey.damaged {
        tracing::warn!(snapshot = %id, reason = %error, "the manifest of a snapshot cannot be read; it is left out of the list");
    }
    survey
        .snapshots
        .sort_by_key(|listed| (listed.head.created_at, listed.head.id));
    Ok(survey)
}

fn places(in_folder: Vec<Object>, in_bucket: Vec<Object>) -> BTreeMap<Uuid, Place> {
    let mut places: BTreeMap<Uuid, Place> = BTreeMap::new();
    for object in in_folder {
        if let Some((id, generation)) = manifest::parse_key(&object.key) {
            let local = &mut places.entry(id).or_default().local;
            *local = (*local).max(Some(generation));
        }
    }
    for object in in_bucket {
        if let Some((id, generation)) = manifest::parse_key(&object.key) {
            let known = &mut places.entry(id).or_default().in_bucket;
            if known.as_ref().is_none_or(|(newest, _)| *newest < generation) {
                *known = Some((generation, object));
            }
        }
    }
    places
}

/// Reads the heads that only the bucket has, several at a time, for the bucket may be far away.
fn read_far(repository: &Repository, far: Vec<(Uuid, Place)>, survey: &mut Survey, without: Without) -> Result<()> {
    let Some(bucket) = repository.bucket().filter(|_| !far.is_empty()) else {
        return Ok(());
    };
    let (next, read) = (AtomicUsize::new(0), Mutex::new(HashMap::new()));
    std::thread::scope(|scope| {
        for _ in 0..READERS.min(far.len()) {
            scope.spawn(|| {
                while let Some((id, place)) = far.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let Some((generation, object)) = &place.in_bucket else {
                        continue;
                    };
                    let head = cached_or_read(repository, bucket, &manifest::key(*id, *generation), object);
                    let mut read = read.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                    read.insert(*id, head);
                }
            });
        }
    });
    let mut read = read.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    for (id, place) in far {
        match read.remove(&id) {
            Some(Ok(head)) => survey.snapshots.push(place.list(head)),
            Some(Err(error)) if without.leaves_out(&error) => survey.damaged.push((id, error)),
            Some(Err(error)) => return Err(error),
            None => {}
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

fn cached_or_read(repository: &Repository, bucket: &dyn Store, key: &str, object: &Object) -> Result<Head> {
    let note = note(key);
    if let Ok(Some(cached)) = repository.read_json::<Cached>(&note)
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
    let key = |(id, place): &(Uuid, Place)| Some(note(&manifest::key(*id, place.in_bucket.as_ref()?.0)));
    let kept: Vec<String> = far.iter().filter_map(key).collect();
    for cached in repository.local().list(CACHE).unwrap_or_default() {
        if !kept.contains(&cached.key) {
            let _ = repository.local().remove(&cached.key);
        }
    }
}

#[cfg(test)]
#[path = "survey_tests.rs"]
mod tests;
