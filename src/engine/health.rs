//! The facts that verdicts and metrics are made of. What they mean is judged elsewhere (`lib/health/judge.js`).

use std::collections::BTreeSet;

use jiff::{Timestamp, ToSpan};
use serde::Serialize;
use serde_json::Value;

use super::catalog::Journal;
use super::collapse::{self, Collapse};
use super::find::retain_own_plain;
use super::standing::{self, Snapshot, Standing};
use super::{Context, unfinished};
use crate::database::look;
use crate::database::plain_snapshots::{Place, PlainSnapshot};
use crate::error::{Error, Result};
use crate::repository::counters::{self, Counters};
use crate::repository::drills::{self, Drill};
use crate::repository::identity::Identity;
use crate::repository::manifest::{Head, Kind};
use crate::repository::restores::{self, Outcome};
use crate::repository::survey::{Listed, Survey};
use crate::repository::tiers::Tier;
use crate::storage::free_bytes;

/// How far back growth is looked at.
const GROWTH_DAYS: i64 = 7;
/// What is known without judging it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Facts {
    /// Whose snapshots the facts are about.
    #[serde(skip)]
    pub(crate) ours: Ours,
    /// `None` without a configured database, and for metrics, which do not ask it.
    pub(crate) database: Option<DatabaseFile>,
    counters: Counters,
    /// Newest snapshot of the configured database, complete in one tier at least; of a bucket that was not asked, as it
    /// was last seen.
    newest: Option<Snapshot>,
    /// Newest one of the bucket; `None` as well when nobody looked or it could not be asked.
    newest_in_bucket: Option<Snapshot>,
    /// Newest and oldest one of the local tier.
    newest_here: Option<Snapshot>,
    oldest_here: Option<Snapshot>,
    #[serde(flatten)]
    standing: Standing,
    /// Snapshots of the local tier.
    kept: usize,
    pub(crate) stored_bytes: u64,
    pub(crate) pending: Pending,
    bucket_failure: Option<Failure>,
    collapse: Option<Collapse>,
    /// One sentence for each manifest that cannot be read.
    damaged: Vec<String>,
    pub(crate) unfinished_restore: bool,
    /// Newest drill of the newest snapshot, of each tier.
    drills: Vec<Drill>,
    growth: Option<Growth>,
    free_bytes: Option<u64>,
    /// Bytes of the database now, else of the newest image.
    image_bytes: Option<u64>,
}

/// The file of the configured database.
#[derive(Debug, Serialize)]
pub(crate) struct DatabaseFile {
    size: Option<u64>,
    /// Why it is none.
    failure: Option<Failure>,
}

/// Snapshots of the configured database that wait for their upload.
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
    let heads = survey.known_heads();
    let database = context.database().ok();
    let identity = context.identity_if_any(&heads)?;
    let mut plain = plain.to_vec();
    retain_own_plain(&mut plain, identity.as_ref(), &heads);
    let ours = Ours::new(identity.clone(), &heads, &plain);
    let plain = &plain[..];
    let is_own = |head: &Head| head.kind == Kind::Snapshot && ours.includes(head);
    let own: Vec<&Listed> = survey
        .snapshots
        .iter()
        .filter(|Listed { head, .. }| is_own(head))
        .collect();
    let known: Vec<&Head> = heads.iter().filter(|head| is_own(head)).collect();
    let own_heads: Vec<&Head> = own.iter().map(|listed| &listed.head).collect();
    let in_bucket: Vec<&Head> = own
        .iter()
        .filter(|listed| listed.tiers.contains(&Tier::S3))
        .map(|listed| &listed.head)
        .collect();
    let here: Vec<&Head> = own
        .iter()
        .filter(|listed| listed.tiers.contains(&Tier::Local))
        .map(|listed| &listed.head)
        .collect();
    let newest = standing::newest(&known, plain.iter());
    let objects = plain.iter().filter(|plain| matches!(plain.place, Place::Object(_)));
    let files = || plain.iter().filter(|plain| matches!(plain.place, Place::File(_)));
    let waiting = |head: &&&Head| journal.is_pending(head.id);
    let waiting: Vec<&&Head> = own_heads.iter().filter(waiting).collect();
    Ok(Facts {
        database: None,
        newest_here: standing::newest(&here, files()),
        oldest_here: standing::complete(&here, files()).min_by_key(|snapshot| snapshot.created_at),
        standing: Standing::of(repository, &known, &here, plain, Timestamp::now())?,
        counters: counters::read(repository, database.as_deref())?,
        newest_in_bucket: standing::newest(&in_bucket, objects),
        kept: survey
            .snapshots
            .iter()
            .filter(|listed| listed.tiers.contains(&Tier::Local))
            .count()
            + files().count(),
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
        unfinished_restore: restores::all(repository)?.iter().any(|restore| {
            let is_ours = database.as_ref().is_none_or(|database| *database == restore.database);
            is_ours && restore.outcome == Outcome::Begun
        }),
        drills: last_drills(drills::all(repository)?, &ours, repository.bucket().is_some()),
        growth: growth(&own_heads, Timestamp::now()),
        // A disk that cannot be asked is a missing number, not a missing status.
        free_bytes: free_bytes(repository.root()).ok(),
        image_bytes: database
            .and_then(|database| database.metadata().ok())
            .map(|metadata| metadata.len())
            .or_else(|| newest.as_ref().map(|newest| newest.size)),
        newest,
        ours,
    })
}

/// Looks at the file of the configured database. No connection to it may be open in this process.
pub(crate) fn look_at_database(context: &Context) -> Option<DatabaseFile> {
    let database = context.database().ok()?;
    let looked = unfinished::check(context, &database).and_then(|()| look::look(&database));
    Some(DatabaseFile {
        size: looked.as_ref().ok().map(|look| look.size),
        failure: looked.err().as_ref().map(Failure::of),
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
pub(crate) struct Ours {
    /// `None`: no database is configured, and the repository as a whole is meant.
    identity: Option<Identity>,
    /// Those of the configured database.
    ids: BTreeSet<String>,
}

impl Ours {
    fn new(identity: Option<Identity>, heads: &[Head], plain: &[PlainSnapshot]) -> Self {
        let is_own = |head: &&Head| identity.as_ref().is_none_or(|identity| identity.owns(head));
        let packed = heads.iter().filter(is_own).map(|head| head.id.to_string());
        let ids = packed.chain(plain.iter().map(|plain| plain.record.id.clone()));
        Self {
            ids: ids.collect(),
            identity,
        }
    }

    fn includes(&self, head: &Head) -> bool {
        self.ids.contains(&head.id.to_string())
    }

    /// The same of what is told of a snapshot.
    pub(crate) fn includes_info(&self, info: &Value) -> bool {
        info["id"].as_str().is_some_and(|id| self.ids.contains(id))
    }

    /// Whether a drill says something of this database. Older ones note its lineage alone.
    fn includes_drill(&self, drill: &Drill) -> bool {
        let Some(identity) = &self.identity else {
            return true;
        };
        match &drill.instance {
            Some(instance) => identity.owns_instance(instance),
            None => drill.lineage == identity.lineage,
        }
    }
}

/// Whether a snapshot is of the configured database.
pub(crate) fn is_ours(context: &Context, head: &Head) -> bool {
    let identity = context.identity_if_any(std::slice::from_ref(head));
    identity.is_ok_and(|identity| identity.is_none_or(|identity| identity.owns(head)))
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

/// The last drill of each tier, of all drills newest first. One of an older snapshot, or of another database, says
/// nothing of what a disaster would need here.
fn last_drills(all: Vec<Drill>, ours: &Ours, has_bucket: bool) -> Vec<Drill> {
    // Without a bucket there is one tier, whether it was named or not.
    let tier = |drill: &Drill| if has_bucket { drill.tier } else { Some(Tier::Local) };
    let counts =
        |drill: &Drill| drill.newest && ours.includes_drill(drill) && (has_bucket || drill.tier != Some(Tier::S3));
    let mut last: Vec<Drill> = Vec::new();
    for drill in all.into_iter().filter(counts) {
        if last.iter().all(|known| tier(known) != tier(&drill)) {
            last.push(drill);
        }
    }
    last
}

#[cfg(test)]
#[path = "health_tests.rs"]
mod tests;
