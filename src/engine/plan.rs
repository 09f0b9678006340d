//! What a prune would remove, and why each snapshot stays or goes.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::Serialize;
use uuid::Uuid;

use self::protection::{Protection, judge};
use super::collapse::{self, Collapse};
use super::find::{everything, retain_own_plain, tier_of};
use super::pins::Pins;
use super::trash::{Note, Trash};
use super::{Context, upload};
use crate::database::plain_snapshots::PlainSnapshot;
use crate::error::{Error, Result};
use crate::record::{Record, Status};
use crate::repository::bucket::lease;
use crate::repository::identity::Identity;
use crate::repository::manifest::{Head, Kind};
use crate::repository::order::{self, Mark, Order};
use crate::repository::retention::Policy;
use crate::repository::survey::{Listed, Survey};
use crate::repository::tiers::Tier;

mod protection;
mod safety;

/// A snapshot and what becomes of it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Line {
    pub(crate) name: String,
    pub(crate) created_at: Timestamp,
    /// Its place among all that are told, 0 for the newest.
    pub(crate) place: usize,
    /// Where it stays or goes.
    pub(crate) tiers: Vec<Tier>,
    pub(crate) reasons: Vec<String>,
    #[serde(skip)]
    pub(crate) id: Uuid,
    #[serde(skip)]
    pub(crate) sequence: Option<u64>,
    /// Of an old plain snapshot.
    #[serde(skip)]
    pub(crate) plain: Option<Box<Record>>,
    #[serde(skip)]
    is_empty: bool,
}

/// What is to be done, newest snapshot first.
pub(crate) struct Plan {
    pub(crate) kept: Vec<Line>,
    pub(crate) removed: Vec<Line>,
    pub(crate) collapse: Option<Collapse>,
    /// The tiers that it is about.
    pub(crate) tiers: Vec<Tier>,
    /// Why the bucket is not among them.
    pub(crate) bucket_failure: Option<Error>,
    /// Whether it was made from all that there is, and not without the bucket.
    pub(crate) is_whole: bool,
    /// The configured database.
    pub(crate) identity: Identity,
    /// What others made, which nobody but them removes.
    foreign: BTreeSet<Uuid>,
    pins: Pins,
    /// Of all snapshots of the database, the trash included.
    order: Order,
    needed: safety::Needed,
    /// What the trash of a tier must not lose.
    last_good: Vec<(Tier, Uuid)>,
    /// What it was made from, without the trash.
    heads: Vec<Head>,
    /// The local manifests that it was made from.
    manifests: Vec<String>,
}

impl Plan {
    /// Judges every snapshot of the configured database, in the tier that was asked for or in both.
    /// Changes nothing, but tries a small object in the bucket.
    pub(crate) fn make(context: &Context, policy: &Policy) -> Result<Self> {
        let manifests = local_manifests(context)?;
        let trash = Trash::read(context)?;
        let (mut survey, mut plain) = everything(context)?;
        let identity = context.identity(&survey.known_heads())?;
        let is_foreign = |head: &Head| !identity.owns(head);
        let foreign = survey
            .known_heads()
            .iter()
            .filter(|head| is_foreign(head))
            .map(|head| head.id)
            .collect();
        retain_own_plain(&mut plain, Some(&identity), &survey.known_heads());
        let all = lines(&survey, &plain, &identity);
        let order = Order::of(all.iter().map(Line::mark));
        trash.take_out_of(&mut survey, &mut plain);
        let is_whole = survey.bucket_failure.is_none();
        let mut pins = match is_whole {
            true => Pins::read(context)?,
            false => Pins::of_this_host(context)?,
        };
        let unseen = survey.bucket_failure.take().or(pins.bucket_failure.take());
        let bucket_failure = unseen.or_else(|| cannot_delete(context));
        let tiers = tiers(context, bucket_failure.is_some());
        let heads = survey.known_heads();
        let collapse = collapse::find(context, &heads, &plain)?;

        let is_in_trash = |line: &Line, tier| trash.holds(line.id, tier);
        let left = within(&all, |line, tier| tiers.contains(&tier) && !is_in_trash(line, tier));
        let thrown_away = within(&all, |line, tier| tiers.contains(&tier) && is_in_trash(line, tier));
        let protection = Protection {
            tiers: &tiers,
            pins: &pins,
            pending: &upload::pending(context)?,
            collapse: collapse.as_ref(),
            order: &order,
            now: Timestamp::now(),
        };
        let last_good = protection.last_good(&left, &thrown_away);
        let (mut kept, mut removed) = judge(policy, left, &protection);
        let needed = safety::Needed::read(context)?;
        if tiers.contains(&Tier::Local) {
            let safety = safety::lines(&survey, &identity);
            let newest = all.first().map(|line| line.created_at);
            let (safe, old) = safety::judge(safety, &pins, &needed, newest, Timestamp::now());
            kept.extend(safe);
            removed.extend(old);
        }
        put_in_places(&mut kept, &mut removed);
        Ok(Self {
            kept,
            removed,
            collapse,
            tiers,
            bucket_failure,
            is_whole,
            identity,
            foreign,
            pins,
            order,
            needed,
            last_good,
            heads,
            manifests,
        })
    }

    /// Whether the local tier is still what the plan was made from. Ask it below the lock.
    pub(crate) fn is_up_to_date(&self, context: &Context) -> Result<bool> {
        let pins = Pins::of_this_host(context)?;
        let is_pinned = self.removed.iter().any(|line| pins.contains(line.id));
        Ok(!is_pinned && self.manifests == local_manifests(context)?)
    }

    /// Whether what is in the trash of a tier may be deleted for real.
    pub(crate) fn may_sweep(&self, tier: Tier, id: Uuid, note: &Note) -> bool {
        let is_before = |first: &Collapse| self.order.is_before(note.mark(id), first.mark());
        note.is_of(&self.identity)
            && !self.foreign.contains(&id)
            && !self.pins.contains(id)
            && !self.needed.contains(id)
            && !self.last_good.contains(&(tier, id))
            && !self.collapse.as_ref().is_some_and(is_before)
    }

    /// Remembers that nothing was lost up to now. Below the lock, and before anything goes: without
    /// the snapshots in between, a slow decline would look like a collapse.
    pub(crate) fn remember_no_collapse(&self, context: &Context) -> Result<()> {
        match self.collapse {
            None if self.is_whole => collapse::measure_by_newest(context, &self.heads),
            _ => Ok(()),
        }
    }
}

impl Line {
    pub(crate) fn mark(&self) -> Mark {
        Mark {
            sequence: self.sequence,
            created_at: self.created_at,
            id: self.id,
        }
    }

    fn of(listed: &Listed) -> Self {
        Self {
            name: listed.head.name.clone(),
            created_at: listed.head.created_at,
            place: 0,
            tiers: listed.tiers.clone(),
            reasons: Vec::new(),
            id: listed.head.id,
            sequence: listed.head.sequence,
            plain: None,
            is_empty: listed.head.is_empty,
        }
    }

    fn of_plain(plain: &PlainSnapshot) -> Self {
        Self {
            name: plain.record.name.clone(),
            created_at: plain.record.created_at,
            place: 0,
            tiers: vec![tier_of(plain)],
            reasons: Vec::new(),
            id: plain.note_id(),
            sequence: None,
            plain: Some(Box::new(plain.record.clone())),
            is_empty: false,
        }
    }
}

/// The snapshots of one database, wherever they are, newest first.
fn lines(survey: &Survey, plain: &[PlainSnapshot], identity: &Identity) -> Vec<Line> {
    let is_own = |listed: &&Listed| identity.owns(&listed.head) && listed.head.kind == Kind::Snapshot;
    let mut lines: Vec<Line> = survey.snapshots.iter().filter(is_own).map(Line::of).collect();
    for plain in plain.iter().filter(|plain| plain.record.status == Status::Completed) {
        let line = Line::of_plain(plain);
        match lines.iter_mut().find(|known| known.id == line.id) {
            Some(known) => known.tiers.extend(line.tiers),
            None => lines.push(line),
        }
    }
    order::newest_first(&mut lines, Line::mark);
    lines
}

/// Tells each line where it stands among all, and puts both lists in that order.
fn put_in_places(kept: &mut [Line], removed: &mut [Line]) {
    let mut all: Vec<&mut Line> = kept.iter_mut().chain(removed.iter_mut()).collect();
    order::newest_first(&mut all, |line| line.mark());
    for (place, line) in all.into_iter().enumerate() {
        line.place = place;
    }
    kept.sort_by_key(|line| line.place);
    removed.sort_by_key(|line| line.place);
}

/// The lines with those of their tiers for which that holds; without those that have none.
fn within(lines: &[Line], holds: impl Fn(&Line, Tier) -> bool) -> Vec<Line> {
    let narrowed = lines.iter().map(|line| Line {
        tiers: line.tiers.iter().copied().filter(|tier| holds(line, *tier)).collect(),
        ..line.clone()
    });
    narrowed.filter(|line| !line.tiers.is_empty()).collect()
}

/// Why nothing can be deleted in the bucket, if it is to be pruned.
fn cannot_delete(context: &Context) -> Option<Error> {
    let bucket = context
        .repository
        .bucket()
        .filter(|_| context.tier != Some(Tier::Local))?;
    lease::require_conditional_writes(bucket).err()
}

/// The tiers that were asked for and that can be pruned.
fn tiers(context: &Context, without_bucket: bool) -> Vec<Tier> {
    let both = [Tier::Local, Tier::S3];
    let is_meant = |tier: &Tier| context.tier.is_none_or(|wanted| wanted == *tier);
    let can_be = |tier: &Tier| *tier == Tier::Local || (context.repository.bucket().is_some() && !without_bucket);
    both.into_iter().filter(is_meant).filter(can_be).collect()
}

fn local_manifests(context: &Context) -> Result<Vec<String>> {
    let objects = context.repository.local().list("snapshots/")?;
    Ok(objects.into_iter().map(|object| object.key).collect())
}
