//! The facts that verdicts and metrics are made of. What they mean is judged elsewhere (`lib/health/judge.js`).

use std::path::Path;

use jiff::{Timestamp, ToSpan};
use serde::Serialize;
use uuid::Uuid;

use super::Context;
use super::catalog::Journal;
use super::collapse::{self, Collapse};
use crate::database::plain_snapshots::{Place, PlainSnapshot};
use crate::error::{Error, Result};
use crate::record::Status;
use crate::repository::Repository;
use crate::repository::counters::{self, Counters};
use crate::repository::drills::{self, Drill};
use crate::repository::lineage::{self, Lineage};
use crate::repository::manifest::{Head, Kind};
use crate::repository::restores::{self, Outcome};
use crate::repository::survey::{Listed, Survey};
use crate::repository::tiers::Tier;
use crate::storage::free_bytes;

/// How far back growth is looked at.
const GROWTH_DAYS: i64 = 7;

/// What is known without judging it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Facts {
    counters: Counters,
    /// Newest snapshot of the configured database, complete in one tier at least.
    newest: Option<Snapshot>,
    /// Newest one of the bucket; `None` as well when nobody looked or it could not be asked.
    newest_in_bucket: Option<Snapshot>,
    /// Snapshots of the local tier.
    kept: usize,
    pub(crate) stored_bytes: u64,
    pub(crate) pending: Pending,
    bucket_failure: Option<Failure>,
    collapse: Option<Collapse>,
    /// One sentence for each manifest that cannot be read.
    damaged: Vec<String>,
    pub(crate) unfinished_restore: bool,
    /// Newest drill of each tier.
    drills: Vec<Drill>,
    growth: Option<Growth>,
    free_bytes: Option<u64>,
    /// Bytes of the database now, else of the newest image.
    image_bytes: Option<u64>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Snapshot {
    name: String,
    created_at: Timestamp,
    size: u64,
}

/// Snapshots that wait for their upload.
#[derive(Debug, Serialize)]
pub(crate) struct Pending {
    pub(crate) count: usize,
    oldest: Option<Timestamp>,
}

#[derive(Debug, Serialize)]
struct Failure {
    code: &'static str,
    message: String,
}

/// What snapshots added to the repository in a span of time.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Growth {
    bytes: u64,
    from: Timestamp,
    to: Timestamp,
}

/// Gathers the facts about what a look at the repository found, without what is in the trash.
pub(crate) fn gather(context: &Context, survey: &Survey, plain: &[PlainSnapshot]) -> Result<Facts> {
    let journal = Journal::read(context)?;
    let repository = &context.repository;
    let heads: Vec<Head> = survey.snapshots.iter().map(|listed| listed.head.clone()).collect();
    let database = context.database().ok();
    let lineage = of_lineage(context, database.as_deref(), &heads)?;
    let ours: Vec<&Listed> = survey
        .snapshots
        .iter()
        .filter(|Listed { head, .. }| head.kind == Kind::Snapshot && lineage.includes(head))
        .collect();
    let own_heads: Vec<&Head> = ours.iter().map(|listed| &listed.head).collect();
    let in_bucket: Vec<&Head> = ours
        .iter()
        .filter(|listed| listed.tiers.contains(&Tier::S3))
        .map(|listed| &listed.head)
        .collect();
    let newest = newest(&own_heads, plain.iter());
    let objects = plain.iter().filter(|plain| matches!(plain.place, Place::Object(_)));
    let waiting: Vec<&Head> = heads.iter().filter(|head| journal.is_pending(head.id)).collect();
    Ok(Facts {
        counters: counters::read(repository, database.as_deref())?,
        newest_in_bucket: self::newest(&in_bucket, objects),
        kept: survey
            .snapshots
            .iter()
            .filter(|listed| listed.tiers.contains(&Tier::Local))
            .count()
            + plain
                .iter()
                .filter(|plain| matches!(plain.place, Place::File(_)))
                .count(),
        stored_bytes: repository.stored_bytes()?,
        pending: Pending {
            count: waiting.len(),
            oldest: waiting.iter().map(|head| head.created_at).min(),
        },
        bucket_failure: survey.bucket_failure.as_ref().map(Failure::of),
        collapse: collapse::find(context, &heads, plain)?,
        damaged: survey
            .damaged
            .iter()
            .map(|(id, error)| format!("{id}: {error}"))
            .collect(),
        unfinished_restore: restores::all(repository)?
            .iter()
            .any(|restore| restore.outcome == Outcome::Begun),
        drills: drills(repository)?,
        growth: growth(&own_heads, Timestamp::now()),
        // A disk that cannot be asked is a missing number, not a missing status.
        free_bytes: free_bytes(repository.root()).ok(),
        image_bytes: database
            .and_then(|database| database.metadata().ok())
            .map(|metadata| metadata.len())
            .or_else(|| newest.as_ref().map(|newest| newest.size)),
        newest,
    })
}

impl Failure {
    fn of(error: &Error) -> Self {
        Self {
            code: error.code.as_str(),
            message: error.to_string(),
        }
    }
}

/// The snapshots of one database among those of a repository.
enum Ours {
    /// No database is configured: the repository as a whole is meant.
    All,
    Of(Uuid),
    Unknown,
}

impl Ours {
    fn includes(&self, head: &Head) -> bool {
        match self {
            Self::All => true,
            Self::Of(lineage) => head.lineage == *lineage,
            Self::Unknown => false,
        }
    }
}

fn of_lineage(context: &Context, database: Option<&Path>, heads: &[Head]) -> Result<Ours> {
    let Some(database) = database else {
        return Ok(Ours::All);
    };
    Ok(match lineage::find(&context.repository, database, heads)? {
        Lineage::Known(id) => Ours::Of(id),
        Lineage::Unknown { .. } => Ours::Unknown,
    })
}

/// Whether a snapshot is of the configured database.
pub(crate) fn is_ours(context: &Context, head: &Head) -> bool {
    let lineage = of_lineage(context, context.database().ok().as_deref(), std::slice::from_ref(head));
    lineage.is_ok_and(|lineage| lineage.includes(head))
}

fn newest<'a>(heads: &[&Head], plain: impl Iterator<Item = &'a PlainSnapshot>) -> Option<Snapshot> {
    let packed = heads.iter().map(|head| Snapshot {
        name: head.name.clone(),
        created_at: head.created_at,
        size: head.size(),
    });
    let plain = plain
        .map(|plain| &plain.record)
        .filter(|record| record.status == Status::Completed)
        .map(|record| Snapshot {
            name: record.name.clone(),
            created_at: record.created_at,
            size: record.size,
        });
    packed.chain(plain).max_by_key(|snapshot| snapshot.created_at)
}

/// What the snapshots of the last days added, without the first of them: that one counts what came before.
fn growth(heads: &[&Head], now: Timestamp) -> Option<Growth> {
    let since = now.checked_sub((GROWTH_DAYS * 24).hours()).ok()?;
    let mut recent: Vec<&&Head> = heads.iter().filter(|head| head.created_at >= since).collect();
    recent.sort_by_key(|head| head.created_at);
    let (first, others) = recent.split_first()?;
    Some(Growth {
        bytes: others.iter().map(|head| head.stored_bytes).sum(),
        from: first.created_at,
        to: others.last()?.created_at,
    })
}

/// The newest drill of each tier.
fn drills(repository: &Repository) -> Result<Vec<Drill>> {
    let mut newest: Vec<Drill> = Vec::new();
    for drill in drills::all(repository)? {
        if newest.iter().all(|known| known.tier != drill.tier) {
            newest.push(drill);
        }
    }
    Ok(newest)
}

#[cfg(test)]
#[path = "health_tests.rs"]
mod tests;
