//! The trash: snapshots that retention has removed and that can still be brought back.
//!
//! Nothing moves. A note `local/trash/<uuid>` hides the snapshot on this host, in one tier or in
//! both; when it is old enough, the next prune deletes for real.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::catalog::Journal;
use super::find::{everything, tier_of};
use super::plan::Line;
use super::{Context, catalog, list};
use crate::database::plain_snapshots::PlainSnapshot;
use crate::error::{Code, Error, Result};
use crate::record::Record;
use crate::repository::bucket::lease::Lease;
use crate::repository::bucket::tombstones;
use crate::repository::identity::Identity;
use crate::repository::manifest::Kind;
use crate::repository::order::{self, Mark};
use crate::repository::survey::{Listed, Survey};
use crate::repository::tiers::Tier;
use crate::storage::S3Store;

const NOTES: &str = "local/trash/";

/// What the trash knows of one snapshot.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Note {
    pub(crate) name: String,
    pub(crate) created_at: Timestamp,
    #[serde(default)]
    sequence: Option<u64>,
    /// Of the database that it was removed for. `None`: that had no lineage, which only old plain snapshots
    /// can be removed for; any database may sweep it, as any may have put it there.
    lineage: Option<Uuid>,
    /// Which database removed it. Older versions noted its lineage alone.
    #[serde(default)]
    instance: Option<String>,
    /// Since when it has been in the trash, by tier. Empty once it is deleted for real; then the note
    /// stays until its row is gone as well.
    pub(crate) deleted_at: BTreeMap<Tier, Timestamp>,
    /// The record of an old plain snapshot, which nothing else remembers once its row is gone.
    pub(crate) plain: Option<Record>,
}

impl Note {
    /// What the trash knows once a line is there too.
    fn with(known: Option<Self>, line: &Line, identity: &Identity) -> Self {
        let mut note = known.unwrap_or_else(|| Self {
            name: line.name.clone(),
            created_at: line.created_at,
            sequence: line.sequence,
            lineage: identity.lineage,
            instance: identity.instance.clone(),
            deleted_at: BTreeMap::new(),
            plain: line.plain.as_deref().cloned(),
        });
        for tier in &line.tiers {
            note.deleted_at.entry(*tier).or_insert_with(Timestamp::now);
        }
        note
    }

    /// What orders the snapshot of that id.
    pub(crate) fn mark(&self, id: Uuid) -> Mark {
        Mark {
            sequence: self.sequence,
            created_at: self.created_at,
            id,
        }
    }

    /// Whether that database removes it for good.
    pub(crate) fn is_of(&self, identity: &Identity) -> bool {
        match &self.instance {
            Some(instance) => identity.owns_instance(instance),
            None => self.lineage.is_none() || self.lineage == identity.lineage,
        }
    }

    pub(crate) fn instance(&self) -> Option<&str> {
        self.instance.as_deref()
    }

    fn is_due(&self, tier: Tier, grace: Duration, now: Timestamp) -> bool {
        // A clock that was set back makes nothing old.
        let age = |since: &Timestamp| now.duration_since(*since).max(SignedDuration::ZERO).unsigned_abs();
        self.deleted_at.get(&tier).is_some_and(|since| age(since) >= grace)
    }
}

/// Everything in the trash.
#[derive(Default)]
pub(crate) struct Trash(BTreeMap<Uuid, Note>);

impl Trash {
    pub(crate) fn read(context: &Context) -> Result<Self> {
        let mut trash = Self::default();
        // One that cannot be read hides nothing: what it was about is listed again, and the policy judges anew.
        trash.0.extend(context.repository.notes::<Note>(NOTES)?);
        Ok(trash)
    }

    pub(crate) fn holds(&self, id: Uuid, tier: Tier) -> bool {
        self.0.get(&id).is_some_and(|note| note.deleted_at.contains_key(&tier))
    }

    /// Whether it holds that copy.
    pub(crate) fn holds_plain(&self, plain: &PlainSnapshot) -> bool {
        self.holds(plain.note_id(), tier_of(plain))
    }

    /// Since when.
    pub(crate) fn deleted_at(&self, id: Uuid) -> Option<Timestamp> {
        self.0.get(&id)?.deleted_at.values().max().copied()
    }

    /// The newest one of that name.
    pub(crate) fn named(&self, name: &str) -> Option<(Uuid, &Note)> {
        let named = self
            .0
            .iter()
            .filter(|(_, note)| note.name == name && !note.deleted_at.is_empty());
        let (id, note) = named.max_by_key(|(_, note)| note.deleted_at.values().max().copied())?;
        Some((*id, note))
    }

    /// The tiers in which a snapshot is not in the trash.
    pub(crate) fn tiers_left(&self, listed: &Listed) -> Vec<Tier> {
        let is_left = |tier: &Tier| !self.holds(listed.head.id, *tier);
        listed.tiers.iter().copied().filter(is_left).collect()
    }

    /// Whether a snapshot belongs into a tier: neither does one that is in the trash there, nor one that
    /// is in the trash wherever it is.
    pub(crate) fn leaves(&self, listed: &Listed, tier: Tier) -> bool {
        !self.holds(listed.head.id, tier) && !self.tiers_left(listed).is_empty()
    }

    /// Adds a line to what is known here, for a look at what would be.
    pub(crate) fn add(&mut self, line: &Line, identity: &Identity) {
        let note = Note::with(self.0.remove(&line.id), line, identity);
        self.0.insert(line.id, note);
    }

    /// Takes what is in the trash out of a list.
    pub(crate) fn take_out(&self, snapshots: Vec<Listed>) -> Vec<Listed> {
        let left = snapshots.into_iter().map(|listed| Listed {
            tiers: self.tiers_left(&listed),
            ..listed
        });
        left.filter(|listed| !listed.tiers.is_empty()).collect()
    }

    /// As [`Trash::take_out`], for all that a look found.
    pub(crate) fn take_out_of(&self, survey: &mut Survey, plain: &mut Vec<PlainSnapshot>) {
        survey.snapshots = self.take_out(std::mem::take(&mut survey.snapshots));
        survey.remembered.retain(|head| !self.holds(head.id, Tier::S3));
        plain.retain(|plain| !self.holds_plain(plain));
    }

    /// What has been in the trash of a tier for long enough, oldest snapshot first.
    pub(crate) fn due(&self, tier: Tier, grace: Duration) -> Vec<(Uuid, Note)> {
        let now = Timestamp::now();
        let due = self.0.iter().filter(|(_, note)| note.is_due(tier, grace, now));
        let mut due: Vec<(Uuid, Note)> = due.map(|(id, note)| (*id, note.clone())).collect();
        order::oldest_first(&mut due, |(id, note)| note.mark(*id));
        due
    }

    /// Ids of the rows of a database's snapshots, but for those that are left somewhere.
    pub(crate) fn rows(&self, identity: &Identity, left: &BTreeSet<Uuid>) -> Vec<String> {
        let gone = self.0.iter().filter(|(id, _)| !left.contains(id));
        let gone = gone.filter(|(_, note)| note.is_of(identity));
        let row = |(id, note): (&Uuid, &Note)| match &note.plain {
            Some(record) => record.id.clone(),
            None => id.to_string(),
        };
        gone.map(row).collect()
    }

    /// Forgets of a database what is in the trash no longer.
    pub(crate) fn forget_swept(&self, context: &Context, identity: &Identity) -> Result<()> {
        let swept = self.0.iter().filter(|(_, note)| note.deleted_at.is_empty());
        let mut own = swept.filter(|(_, note)| note.is_of(identity));
        own.try_for_each(|(id, _)| forget(context, *id))
    }
}

/// Puts a snapshot into the trash of its tiers, for that database. Below the lock. Returns
/// what the trash knew of it before.
pub(crate) fn put(context: &Context, line: &Line, identity: &Identity) -> Result<Option<Note>> {
    let key = format!("{NOTES}{}", line.id);
    let before: Option<Note> = context.repository.read_note(&key)?;
    let note = Note::with(before.clone(), line, identity);
    context.repository.replace_json(&key, &note)?;
    Ok(before)
}

/// Takes that back. Below the same lock.
pub(crate) fn take_back(context: &Context, id: Uuid, before: Option<&Note>) -> Result<()> {
    match before {
        Some(note) => context.repository.replace_json(&format!("{NOTES}{id}"), note),
        None => forget(context, id),
    }
}

/// Notes that a snapshot is in the trash of a tier no longer. Below the lock. `known`: what to note where there
/// was no room for it before.
pub(crate) fn swept(context: &Context, id: Uuid, known: &Note, tier: Tier) -> Result<()> {
    let key = format!("{NOTES}{id}");
    let mut note = context.repository.read_note(&key)?.unwrap_or_else(|| known.clone());
    note.deleted_at.remove(&tier);
    context.repository.replace_json(&key, &note)
}

pub(crate) fn forget(context: &Context, id: Uuid) -> Result<()> {
    context.repository.local().remove(&format!("{NOTES}{id}"))
}

/// Brings a snapshot back, and its row.
pub(crate) fn undelete(context: &Context, name: &str) -> Result<Value> {
    let trash = Trash::read(context)?;
    let Some((id, note)) = trash.named(name) else {
        return Err(not_in_trash(name));
    };
    // The bucket is asked before the lock.
    let (survey, plain) = everything(context)?;
    let is_own = match context.identity_if_any(&survey.known_heads())? {
        Some(identity) => note.is_of(&identity),
        None => true,
    };
    let listed = survey.snapshots.into_iter().find(|listed| listed.head.id == id);
    if listed.is_none() && !plain.iter().any(|plain| plain.note_id() == id) {
        if let Some((_, error)) = survey.damaged.into_iter().find(|(damaged, _)| *damaged == id) {
            return Err(error);
        }
        if note.deleted_at.contains_key(&Tier::S3) {
            // Only the bucket may have it; until that is known, it stays in the trash.
            context.repository.require_bucket()?;
            return Err(survey.bucket_failure.unwrap_or_else(|| gone_from_bucket(name)));
        }
        return Err(not_in_trash(name));
    }
    let in_bucket = InBucket::look(context, id, note)?;
    let lock = context.lock_for_writing("undelete")?;
    // A prune may have been faster.
    let trash = Trash::read(context)?;
    let Some((_, note)) = trash.named(name).filter(|(now, _)| *now == id) else {
        return Err(not_in_trash(name));
    };
    if in_bucket.is_deleted && !note.deleted_at.contains_key(&Tier::Local) {
        return Err(gone_from_bucket(name));
    }
    if listed.as_ref().is_some_and(has_row) {
        catalog::remember_row(context, id)?;
    }
    if in_bucket.is_deleted {
        tracing::warn!(
            snapshot = name,
            "the copy in the bucket has been deleted; the local one is brought back"
        );
        swept(context, id, note, Tier::Local)?;
    } else {
        forget(context, id)?;
    }
    drop((lock, in_bucket));
    let record = match (&note.plain, &listed) {
        (Some(record), _) => Some(record.clone()),
        (None, Some(listed)) if has_row(listed) => Some(catalog::record_of(context, listed, &Journal::read(context)?)),
        (None, _) => None,
    };
    if let (Some(record), Ok(database)) = (record, context.database())
        && database.is_file()
        && is_own
    {
        catalog::add_row(context, &database, id, &record);
    }
    list::get(context, name)
}

/// Safety snapshots have none.
fn has_row(listed: &Listed) -> bool {
    listed.head.kind == Kind::Snapshot
}

fn gone_from_bucket(name: &str) -> Error {
    Error::new(
        Code::SnapshotNotFound,
        format!("Snapshot not found: {name} has been deleted from the bucket, so it cannot be brought back any more"),
    )
}

fn not_in_trash(name: &str) -> Error {
    Error::new(
        Code::SnapshotNotFound,
        format!("Snapshot not found: {name} is not in the trash: it was not removed by prune, or its grace is over"),
    )
}

/// What may come back from the bucket.
#[derive(Default)]
struct InBucket {
    /// Its deletion has begun, and nothing takes that back.
    is_deleted: bool,
    /// Held until the note is gone: no deletion begins meanwhile.
    _lease: Option<Lease<S3Store>>,
}

impl InBucket {
    /// A bucket that cannot be asked does not keep the local copy from coming back.
    fn look(context: &Context, id: Uuid, note: &Note) -> Result<Self> {
        let is_there = note.deleted_at.contains_key(&Tier::S3);
        let Some(bucket) = context.repository.bucket().filter(|_| is_there) else {
            return Ok(Self::default());
        };
        match Self::ask(context, bucket, id) {
            Err(error) if note.deleted_at.contains_key(&Tier::Local) && error.code != Code::Aborted => {
                tracing::warn!(code = error.code.as_str(), reason = %error, "whether the snapshot is still in the bucket cannot be told; the local copy is brought back");
                Ok(Self::default())
            }
            other => other,
        }
    }

    fn ask(context: &Context, bucket: &S3Store, id: Uuid) -> Result<Self> {
        let lease = context.bucket_lease("undelete")?;
        Ok(Self {
            is_deleted: tombstones::exists(bucket, id)?,
            _lease: lease,
        })
    }
}
