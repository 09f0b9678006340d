//! Which snapshots there are, and in which tier.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use uuid::Uuid;

use super::manifest::{self, Head};
use super::tiers::Tier;
use super::{Repository, head_cache, order};
use crate::error::{Code, Error, Result};
use crate::storage::{Object, Store};

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
    /// Where the bucket was not asked: what it alone had when it was last listed from here.
    pub(crate) remembered: Vec<Head>,
}

impl Survey {
    /// Heads of every snapshot that is known of, oldest first.
    pub(crate) fn known_heads(&self) -> Vec<Head> {
        let seen = self.snapshots.iter().map(|listed| &listed.head);
        let mut heads: Vec<Head> = seen.chain(&self.remembered).cloned().collect();
        order::oldest_first(&mut heads, Head::mark);
        heads
    }

    pub(crate) fn into_heads(self) -> Vec<Head> {
        self.snapshots.into_iter().map(|listed| listed.head).collect()
    }

    /// Whether something could be told of a snapshot.
    fn knows(&self, id: Uuid) -> bool {
        self.snapshots.iter().any(|listed| listed.head.id == id)
            || self.damaged.iter().any(|(damaged, _)| *damaged == id)
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
    survey(repository, repository.local().list("snapshots/")?, None, without)
}

/// Looks at the local tier, and tells what is remembered of the bucket.
pub(crate) fn here(repository: &Repository) -> Result<Survey> {
    here_without(repository, Without::Damaged)
}

/// As [`here`], with a say in what is left out.
pub(crate) fn here_without(repository: &Repository, without: Without) -> Result<Survey> {
    let survey = local_without(repository, without)?;
    Ok(Survey {
        remembered: remembered(repository, &survey.snapshots),
        ..survey
    })
}

/// Looks at the bucket alone.
pub(crate) fn bucket(repository: &Repository, bucket: &dyn Store) -> Result<Survey> {
    let mut survey = survey(
        repository,
        Vec::new(),
        Some(bucket.list("snapshots/")?),
        Without::Damaged,
    )?;
    // Whoever wants the bucket and nothing else is not helped by a part of it.
    survey.bucket_failure.take().map_or(Ok(survey), Err)
}

/// Looks at both tiers; a bucket that cannot be asked is left out and the reason kept. So is the
/// reason when it can be listed and not every head can be read; those that can are there.
pub(crate) fn both(repository: &Repository, without: Without) -> Result<Survey> {
    let in_folder = repository.local().list("snapshots/")?;
    let Some(bucket) = repository.bucket() else {
        return survey(repository, in_folder, None, without);
    };
    match bucket.list("snapshots/") {
        Ok(in_bucket) => survey(repository, in_folder, Some(in_bucket), without),
        Err(error) => Ok(Survey {
            bucket_failure: Some(error),
            ..here_without(repository, without)?
        }),
    }
}

/// What both tiers have by a listing of the bucket that is at hand, remembered for [`here`]. Names nothing in
/// the log: whoever listed the bucket has done so.
pub(crate) fn remember(repository: &Repository, in_bucket: Vec<Object>) -> Result<Survey> {
    look(
        repository,
        repository.local().list("snapshots/")?,
        Some(in_bucket),
        Without::Damaged,
    )
}

fn survey(
    repository: &Repository,
    in_folder: Vec<Object>,
    in_bucket: Option<Vec<Object>>,
    without: Without,
) -> Result<Survey> {
    let survey = look(repository, in_folder, in_bucket, without)?;
    for (id, error) in &survey.damaged {
        tracing::warn!(snapshot = %id, reason = %error, "the manifest of a snapshot cannot be read; it is left out of the list");
    }
    Ok(survey)
}

/// `in_bucket`: what its listing says; `None` when it was not asked.
fn look(
    repository: &Repository,
    in_folder: Vec<Object>,
    in_bucket: Option<Vec<Object>>,
    without: Without,
) -> Result<Survey> {
    let asked_bucket = in_bucket.is_some();
    let mut survey = Survey::default();
    let (mut far, mut spoilt) = (Vec::new(), Vec::new());
    for (id, mut place) in places(in_folder, in_bucket.unwrap_or_default()) {
        match read_here(repository, id, &mut place.local) {
            Ok(Some(head)) => survey.snapshots.push(place.list(head)),
            Ok(None) => far.push((id, place)),
            // The other copy may be good.
            Err(error) if without.leaves_out(&error) && place.in_bucket.is_some() => {
                tracing::warn!(snapshot = %id, reason = %error, "the local manifest cannot be read; the one in the bucket is used");
                far.push((id, place));
                spoilt.push((id, error));
            }
            Err(error) if without.leaves_out(&error) => survey.damaged.push((id, error)),
            Err(error) => return Err(error),
        }
    }
    if asked_bucket {
        forget_gone(repository, &far);
    }
    read_far(repository, far, &mut survey, without)?;
    if survey.bucket_failure.is_some() {
        survey.remembered = remembered(repository, &survey.snapshots);
    }
    spoilt.retain(|(id, _)| !survey.knows(*id));
    survey.damaged.append(&mut spoilt);
    order::oldest_first(&mut survey.snapshots, |listed| listed.head.mark());
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

/// Reads the head of a local manifest; `None` when there is none. Listing and reading take no lock:
/// what is missing by now was removed, or replaced by a later generation, which is noted then.
fn read_here(repository: &Repository, id: Uuid, generation: &mut Option<u32>) -> Result<Option<Head>> {
    let local = &**repository.local();
    while let Some(listed) = *generation {
        match manifest::read_head(local, &manifest::key(id, listed)) {
            Err(error) if error.code == Code::SnapshotDamaged => {
                *generation = newest(local, id)?.map(|(newest, _)| newest);
                if *generation == Some(listed) {
                    return Err(error);
                }
            }
            read => return read.map(Some),
        }
    }
    Ok(None)
}

/// The newest generation of a manifest that a store has at this moment.
pub(crate) fn newest(store: &dyn Store, id: Uuid) -> Result<Option<(u32, Object)>> {
    let objects = store.list(&format!("snapshots/{id}."))?.into_iter();
    let generations = objects.filter_map(|object| Some((manifest::parse_key(&object.key)?.1, object)));
    Ok(generations.max_by_key(|(generation, _)| *generation))
}

/// Reads the heads that only the bucket has, several at a time, for the bucket may be far away.
fn read_far(repository: &Repository, far: Vec<(Uuid, Place)>, survey: &mut Survey, without: Without) -> Result<()> {
    let Some(bucket) = repository.bucket().filter(|_| !far.is_empty()) else {
        return Ok(());
    };
    let (next, read) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..READERS.min(far.len()) {
            scope.spawn(|| {
                while let Some((id, place)) = far.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let mut in_bucket = place.in_bucket.clone();
                    let head = read_there(repository, bucket, *id, &mut in_bucket);
                    if head.as_ref().is_err_and(|error| error.code == Code::S3Unreachable) {
                        // The others would only be waited for as long.
                        next.fetch_max(far.len(), Ordering::Relaxed);
                    }
                    let place = Place {
                        local: place.local,
                        in_bucket,
                    };
                    let mut read = read.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                    read.push((*id, place, head));
                }
            });
        }
    });
    for (id, place, head) in read.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner) {
        match head {
            Ok(Some(head)) => survey.snapshots.push(place.list(head)),
            Ok(None) => {}
            // The bucket is at fault, not the snapshot. Whoever needs any good one is told which it is.
            Err(error) if error.code.is_of_s3() && matches!(without, Without::Damaged) => {
                survey.bucket_failure.get_or_insert(error);
            }
            Err(error) if without.leaves_out(&error) => survey.damaged.push((id, error)),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// As [`read_here`], in the bucket, where other hosts remove and replace.
fn read_there(
    repository: &Repository,
    bucket: &dyn Store,
    id: Uuid,
    in_bucket: &mut Option<(u32, Object)>,
) -> Result<Option<Head>> {
    while let Some((listed, object)) = in_bucket.take() {
        match head_cache::read(repository, bucket, &manifest::key(id, listed), &object) {
            Err(error) if error.code == Code::SnapshotDamaged => {
                *in_bucket = newest(bucket, id)?;
                if in_bucket.as_ref().is_some_and(|(newest, _)| *newest == listed) {
                    return Err(error);
                }
            }
            read => {
                *in_bucket = Some((listed, object));
                return read.map(Some);
            }
        }
    }
    Ok(None)
}

/// Heads that only the bucket had when it was last listed.
fn remembered(repository: &Repository, here: &[Listed]) -> Vec<Head> {
    if repository.bucket().is_none() {
        return Vec::new();
    }
    let is_here = |head: &Head| here.iter().any(|listed| listed.head.id == head.id);
    let mut heads = head_cache::all(repository);
    heads.retain(|_, head| !is_here(head));
    heads.into_values().collect()
}

/// Drops cached heads of manifests that are no longer in the bucket alone.
fn forget_gone(repository: &Repository, far: &[(Uuid, Place)]) {
    let key = |(id, place): &(Uuid, Place)| Some(manifest::key(*id, place.in_bucket.as_ref()?.0));
    head_cache::keep_only(repository, far.iter().filter_map(key));
}

#[cfg(test)]
#[path = "survey_tests.rs"]
mod tests;
