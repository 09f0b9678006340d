//! What a prune would remove, and why each snapshot stays or goes.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::Serialize;
use uuid::Uuid;

use super::collapse::{self, Collapse};
use super::find::everything_left;
use super::pins::Pins;
use super::{Context, upload};
use crate::database::plain_snapshots::{Place, PlainSnapshot};
use crate::error::{Error, Result};
use crate::record::Status;
use crate::repository::lineage::{self, Lineage};
use crate::repository::manifest::{Head, Kind};
use crate::repository::retention::{Policy, Verdict};
use crate::repository::survey::Listed;
use crate::repository::tiers::Tier;

/// A snapshot and what becomes of it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Line {
    pub(crate) name: String,
    pub(crate) created_at: Timestamp,
    /// Where it stays or goes.
    pub(crate) tiers: Vec<Tier>,
    pub(crate) reasons: Vec<String>,
    #[serde(skip)]
    pub(crate) id: Uuid,
    #[serde(skip)]
    pub(crate) plain: Option<Box<PlainSnapshot>>,
    /// In a tier that is not pruned.
    #[serde(skip)]
    pub(crate) stays_elsewhere: bool,
    #[serde(skip)]
    is_empty: bool,
}

/// What is to be done, newest snapshot first.
pub(crate) struct Plan {
    pub(crate) kept: Vec<Line>,
    pub(crate) removed: Vec<Line>,
    pub(crate) collapse: Option<Collapse>,
    pub(crate) pins: Pins,
    /// The tiers that it is about.
    pub(crate) tiers: Vec<Tier>,
    /// Why the bucket is not among them.
    pub(crate) bucket_failure: Option<Error>,
    /// The local manifests that it was made from.
    manifests: Vec<String>,
}

impl Plan {
    /// Judges every snapshot of the configured database, in the tier that was asked for or in both.
    /// Changes nothing.
    pub(crate) fn make(context: &Context, policy: &Policy) -> Result<Self> {
        let database = context.database()?;
        let manifests = local_manifests(context)?;
        let (survey, plain) = everything_left(context)?;
        let mut pins = match survey.bucket_failure {
            None => Pins::read(context)?,
            Some(_) => Pins::of_this_host(context)?,
        };
        let bucket_failure = survey.bucket_failure.or(pins.bucket_failure.take());
        let tiers = tiers(context, bucket_failure.is_some());

        let listed = survey.snapshots;
        let heads: Vec<Head> = listed.iter().map(|listed| listed.head.clone()).collect();
        let collapse = collapse::find(context, &heads)?;
        let own = lineage::find(&context.repository, &database, &heads)?;
        let is_own =
            |listed: &&Listed| Lineage::Known(listed.head.lineage) == own && listed.head.kind == Kind::Snapshot;
        let is_complete = |plain: &PlainSnapshot| plain.record.status == Status::Completed;
        let packed = listed.iter().filter(is_own).map(Line::of);
        let plain = plain.into_iter().filter(is_complete).map(Line::of_plain);
        let mut lines: Vec<Line> = packed.chain(plain).collect();
        for line in &mut lines {
            let before = line.tiers.len();
            line.tiers.retain(|tier| tiers.contains(tier));
            line.stays_elsewhere = line.tiers.len() < before;
        }
        lines.retain(|line| !line.tiers.is_empty());
        lines.sort_by_key(|line| std::cmp::Reverse((line.created_at, line.id)));

        let (pending, verified) = (upload::pending(context)?, newest_verified(&lines, &tiers));
        let protection = |line: &Line| {
            let reasons = [
                ("newest verified", verified.contains(&line.id)),
                ("pinned", pins.contains(line.id)),
                ("not in the bucket yet", pending.contains(&line.id)),
                (
                    "before a collapse",
                    collapse
                        .as_ref()
                        .is_some_and(|first| line.created_at < first.created_at),
                ),
                (
                    "first after a collapse",
                    collapse.as_ref().is_some_and(|first| line.id == first.id),
                ),
            ];
            let given = reasons.into_iter().filter(|(_, is_given)| *is_given);
            given.map(|(reason, _)| reason.to_owned()).collect()
        };
        let (kept, removed) = judge(policy, lines, protection);
        Ok(Self {
            kept,
            removed,
            collapse,
            pins,
            tiers,
            bucket_failure,
            manifests,
        })
    }

    /// Whether the local tier is still what the plan was made from. Ask it below the lock.
    pub(crate) fn is_up_to_date(&self, context: &Context) -> Result<bool> {
        let pins = Pins::of_this_host(context)?;
        let is_pinned = self.removed.iter().any(|line| pins.contains(line.id));
        Ok(!is_pinned && self.manifests == local_manifests(context)?)
    }
}

impl Line {
    /// Id of its row in the application's table.
    pub(crate) fn row(&self) -> String {
        match &self.plain {
            Some(plain) => plain.record.id.clone(),
            None => self.id.to_string(),
        }
    }

    fn of(listed: &Listed) -> Self {
        Self {
            name: listed.head.name.clone(),
            created_at: listed.head.created_at,
            tiers: listed.tiers.clone(),
            reasons: Vec::new(),
            id: listed.head.id,
            plain: None,
            stays_elsewhere: false,
            is_empty: listed.head.is_empty,
        }
    }

    fn of_plain(plain: PlainSnapshot) -> Self {
        Self {
            name: plain.record.name.clone(),
            created_at: plain.record.created_at,
            tiers: vec![match plain.place {
                Place::File(_) => Tier::Local,
                Place::Object(_) => Tier::S3,
            }],
            reasons: Vec::new(),
            id: plain.note_id(),
            plain: Some(Box::new(plain)),
            stays_elsewhere: false,
            is_empty: false,
        }
    }
}

/// The policy decides, unless something protects a snapshot.
fn judge(policy: &Policy, lines: Vec<Line>, protection: impl Fn(&Line) -> Vec<String>) -> (Vec<Line>, Vec<Line>) {
    let dates: Vec<Timestamp> = lines.iter().map(|line| line.created_at).collect();
    let (mut kept, mut removed) = (Vec::new(), Vec::new());
    for (mut line, verdict) in lines.into_iter().zip(policy.judge(&dates)) {
        let Verdict { kept_by, not_kept_by } = verdict;
        line.reasons = protection(&line).into_iter().chain(kept_by).collect();
        if line.reasons.is_empty() {
            line.reasons = not_kept_by;
            removed.push(line);
        } else {
            kept.push(line);
        }
    }
    (kept, removed)
}

/// In each tier the newest snapshot that a bootstrap would take: one that was verified when it was
/// made and is not empty; where there is none, the newest of whatever there is.
fn newest_verified(lines: &[Line], tiers: &[Tier]) -> BTreeSet<Uuid> {
    let newest = |tier: &Tier| {
        let there = || lines.iter().filter(|line| line.tiers.contains(tier));
        let verified = || there().filter(|line| line.plain.is_none());
        let good = verified().find(|line| !line.is_empty);
        good.or_else(|| verified().next()).or_else(|| there().next())
    };
    tiers.iter().filter_map(newest).map(|line| line.id).collect()
}

/// The tiers that were asked for and that can be seen.
fn tiers(context: &Context, without_bucket: bool) -> Vec<Tier> {
    let both = [Tier::Local, Tier::S3];
    let is_meant = |tier: &Tier| context.tier.is_none_or(|wanted| wanted == *tier);
    let is_seen = |tier: &Tier| *tier == Tier::Local || (context.repository.bucket().is_some() && !without_bucket);
    both.into_iter().filter(is_meant).filter(is_seen).collect()
}

fn local_manifests(context: &Context) -> Result<Vec<String>> {
    let objects = context.repository.local().list("snapshots/")?;
    Ok(objects.into_iter().map(|object| object.key).collect())
}
