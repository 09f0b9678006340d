//! What a job leaves in the counters. Never fails a job: a count that cannot be written is a warning.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use super::{Context, create};
use crate::config::Check;
use crate::error::{Code, Error, Result};
use crate::repository::Repository;
use crate::repository::counters::{self, Counters, Failure, InBucket, Note};
use crate::repository::drills::Subject;
use crate::repository::manifest::{self, Kind};
use crate::repository::order::{self, Mark};
use crate::repository::survey::{self, Listed, Survey};
use crate::repository::tiers::Tier;
use crate::storage::Store;

type Change = Box<dyn FnOnce(&mut Counters) + Send>;

/// What use cases note along the way; added to the counters when the job is over.
#[derive(Default)]
pub(crate) struct Tally {
    changes: Mutex<Vec<Change>>,
    note: Mutex<Option<Note>>,
}

impl Tally {
    pub(crate) fn add(&self, change: impl FnOnce(&mut Counters) + Send + 'static) {
        let mut changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        changes.push(Box::new(change));
    }
}

impl Context {
    /// Leaves word that a snapshot is being made, so that it counts as failed should the process be killed.
    pub(crate) fn announce_snapshot(&self) {
        let mut note = self.tally.note.lock().unwrap_or_else(PoisonError::into_inner);
        if note.is_some() || !self.repository.is_made() {
            return;
        }
        match Note::leave(&self.repository, &self.counted_database()) {
            Ok(left) => *note = Some(left),
            Err(error) => warn(&error),
        }
    }

    fn counted_database(&self) -> PathBuf {
        self.database().unwrap_or_default()
    }
}

/// Counts one job.
pub(crate) struct Counting {
    operation: String,
    started: Instant,
    context: Context,
    repository: Repository,
    database: PathBuf,
    /// How thoroughly a new snapshot is checked.
    check: Check,
    tally: Arc<Tally>,
}

impl Counting {
    pub(crate) fn begin(context: &Context, operation: &str) -> Self {
        if operation == "createSnapshot" {
            context.announce_snapshot();
        }
        Self {
            operation: operation.to_owned(),
            started: Instant::now(),
            context: context.clone(),
            repository: context.repository.clone(),
            database: context.counted_database(),
            check: context.config.check,
            tally: Arc::clone(&context.tally),
        }
    }

    pub(crate) fn end(self, outcome: &Result<Value>) {
        self.count_outcome(outcome);
        self.look_into_bucket(outcome);
        let changes = std::mem::take(&mut *self.tally.changes.lock().unwrap_or_else(PoisonError::into_inner));
        let note = self.tally.note.lock().unwrap_or_else(PoisonError::into_inner).take();
        // What is no database makes no repository, and a repository that is not there counts nothing.
        if changes.is_empty() || !self.repository.is_made() {
            return;
        }
        let added = counters::add(&self.repository, &self.database, note.as_ref(), |counters| {
            changes.into_iter().for_each(|change| change(counters));
        });
        if let Err(error) = added {
            warn(&error);
            let _ = note.map(|note| note.take_back(&self.repository));
        }
    }

    fn count_outcome(&self, outcome: &Result<Value>) {
        let took = self.started.elapsed();
        match (self.operation.as_str(), outcome) {
            ("createSnapshot", Ok(_)) => self.tally.add(move |counters| {
                counters.count_created(took);
                counters.last_failure = None;
            }),
            ("rescueDatabase", Ok(_)) => self.tally.add(move |counters| counters.count_created(took)),
            ("createSnapshot", Err(error)) => {
                let (code, level) = (error.code, self.check);
                self.tally.add(move |counters| {
                    counters.failed += 1;
                    counters.upload_failures += u64::from(code == Code::UploadFailed);
                    if code == Code::CheckFailed || code.is_damage() {
                        counters.found_damaged(create::now(), level);
                    }
                    note_failure(counters, code);
                });
            }
            ("restoreFromSnapshot" | "undoRestore", Ok(_)) => self.tally.add(|counters| counters.restores += 1),
            ("bootstrapDatabase", Ok(value)) if value["bootstrapped"] == true => {
                self.tally.add(|counters| counters.restores += 1);
            }
            ("restoreFromSnapshot" | "undoRestore" | "bootstrapDatabase", Err(_)) => {
                self.tally.add(|counters| counters.restore_failures += 1);
            }
            ("verifySnapshot", Ok(value)) if value["ok"] == true => {
                self.tally.add(|counters| counters.verified_good += 1);
            }
            ("verifySnapshot", Ok(_)) => self.tally.add(|counters| counters.verified_bad += 1),
            ("drill", Ok(drill)) => self.count_drill(drill),
            _ => {}
        }
    }

    fn count_drill(&self, drill: &Value) {
        let outcome = drill["outcome"].as_str().unwrap_or_default().to_owned();
        self.tally
            .add(|counters| *counters.drills.entry(outcome).or_default() += 1);
        let checks = drill["checks"].as_array().into_iter().flatten();
        let integrity = checks
            .filter(|check| check["name"] == "integrity_check")
            .find_map(|check| match check["outcome"].as_str() {
                Some("passed") => Some(true),
                Some("failed") => Some(false),
                _ => None,
            });
        let snapshot: Option<Subject> = Subject::deserialize(&drill["snapshot"]).ok();
        if let (Some(healthy), Some(snapshot), false) = (integrity, snapshot, self.is_foreign(drill)) {
            let image = Mark {
                sequence: snapshot.sequence,
                created_at: snapshot.created_at,
                id: Uuid::nil(),
            };
            self.tally
                .add(move |counters| counters.examined(healthy, image, Check::Full));
        }
    }

    /// Whether a drill was of a snapshot of another database.
    fn is_foreign(&self, drill: &Value) -> bool {
        let own = self.context.identity_if_any(&[]).ok().flatten();
        own.is_some_and(|own| drill["instance"].as_str() != own.instance.as_deref())
    }

    /// `metrics` is asked every few seconds and must not wait for a network: it tells what was seen last.
    fn look_into_bucket(&self, outcome: &Result<Value>) {
        let changes_bucket = matches!(
            self.operation.as_str(),
            "createSnapshot" | "sync" | "deleteSnapshot" | "deleteObject" | "prune"
        );
        let Some(bucket) = self.repository.bucket().filter(|_| changes_bucket && outcome.is_ok()) else {
            return;
        };
        let seen = (|| {
            let (manifests, packs) = (bucket.list("snapshots/")?, bucket.list("packs/")?);
            let ids = manifests.iter().filter_map(|object| manifest::parse_key(&object.key));
            let ids: BTreeSet<_> = ids.map(|(id, _)| id).collect();
            let newest = self.newest(&survey::remember(&self.repository, manifests.clone())?)?;
            let (snapshots, bytes) = (
                ids.len(),
                manifests.iter().chain(&packs).map(|object| object.size).sum(),
            );
            Ok::<_, Error>(InBucket {
                snapshots: snapshots as u64,
                bytes,
                newest: newest.map(|newest| newest.created_at),
                sequence: newest.and_then(|newest| newest.sequence),
            })
        })();
        if let Ok(seen) = seen {
            self.tally.add(move |counters| counters.in_bucket = Some(seen));
        }
    }

    /// The newest snapshot of the database that the bucket has.
    fn newest(&self, survey: &Survey) -> Result<Option<Mark>> {
        let own = self.context.identity_if_any(&survey.known_heads())?;
        let is_meant = |listed: &&Listed| {
            let is_own = own.as_ref().is_none_or(|own| own.owns(&listed.head));
            is_own && listed.head.kind == Kind::Snapshot && listed.tiers.contains(&Tier::S3)
        };
        let in_bucket = survey.snapshots.iter().filter(is_meant);
        Ok(order::newest(in_bucket.map(|listed| listed.head.mark()), |mark| *mark))
    }
}

fn note_failure(counters: &mut Counters, code: Code) {
    use Code::{Aborted, InvalidArgument, SnapshotExists, SnapshotNameInvalid, UploadFailed};
    match code {
        // The snapshot is there; what waits for its upload is told elsewhere.
        UploadFailed => counters.last_failure = None,
        // Says nothing of the next call.
        Aborted | InvalidArgument | SnapshotExists | SnapshotNameInvalid => {}
        _ => {
            counters.last_failure = Some(Failure {
                at: create::now(),
                code: code.as_str().to_owned(),
            });
        }
    }
}

fn warn(error: &Error) {
    // Whoever may only read the repository counts nothing.
    if error.code != Code::RepositoryUnwritable {
        tracing::warn!(code = error.code.as_str(), reason = %error.story(), "the job is done, but it could not be counted");
    }
}
