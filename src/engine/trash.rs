//! The trash: snapshots that retention has removed and that can still be brought back.
//!
//! Nothing moves. A note `local/trash/<uuid>` hides the snapshot on this host, in one tier or in
//! both; when it is old enough, the next prune deletes for real.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::plan::Line;
use super::{Context, catalog, list};
use crate::database::plain_snapshots::PlainSnapshot;
use crate::error::{Code, Error, Result, fail};
use crate::record::Record;
use crate::repository::bucket::lease::Lease;
use crate::repository::bucket::tombstones;
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
    /// Since when it has been in the trash, by tier.
    pub(crate) deleted_at: BTreeMap<Tier, Timestamp>,
    /// The record of an old plain snapshot, which nothing else remembers once its row is gone.
    pub(crate) plain: Option<Record>,
}

impl Note {
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
        for object in context.repository.local().list(NOTES)? {
            let id = object.key.strip_prefix(NOTES).and_then(|id| Uuid::try_parse(id).ok());
            if let (Some(id), Some(note)) = (id, context.repository.read_json(&object.key)?) {
                trash.0.insert(id, note);
            }
        }
        Ok(trash)
    }

    pub(crate) fn contains(&self, id: Uuid) -> bool {
        self.0.contains_key(&id)
    }

    pub(crate) fn holds(&self, id: Uuid, tier: Tier) -> bool {
        self.0.get(&id).is_some_and(|note| note.deleted_at.contains_key(&tier))
    }

    pub(crate) fn holds_plain(&self, plain: &PlainSnapshot) -> bool {
        self.contains(plain.note_id())
    }

    /// Since when.
    pub(crate) fn deleted_at(&self, id: Uuid) -> Option<Timestamp> {
        self.0.get(&id)?.deleted_at.values().max().copied()
    }

    /// The newest one of that name.
    pub(crate) fn named(&self, name: &str) -> Option<(Uuid, &Note)> {
        let named = self.0.iter().filter(|(_, note)| note.name == name);
        let (id, note) = named.max_by_key(|(_, note)| note.deleted_at.values().max().copied())?;
        Some((*id, note))
    }

    /// The tiers in which a snapshot is not in the trash.
    pub(crate) fn tiers_left(&self, listed: &Listed) -> Vec<Tier> {
        let is_left = |tier: &Tier| !self.holds(listed.head.id, *tier);
        listed.tiers.iter().copied().filter(is_left).collect()
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
        plain.retain(|plain| !self.holds_plain(plain));
    }

    /// What has been in the trash of a tier for long enough, oldest snapshot first.
    pub(crate) fn due(&self, tier: Tier, grace: Duration) -> Vec<(Uuid, Note)> {
        let now = Timestamp::now();
        let due = self.0.iter().filter(|(_, note)| note.is_due(tier, grace, now));
        let mut due: Vec<(Uuid, Note)> = due.map(|(id, note)| (*id, note.clone())).collect();
        due.sort_by_key(|(_, note)| note.created_at);
        due
    }

    /// Ids of the rows of what is in the trash wherever it is.
    pub(crate) fn rows(&self, snapshots: &[Listed]) -> Vec<String> {
        let packed = snapshots.iter().filter(|listed| self.tiers_left(listed).is_empty());
        let packed = packed.map(|listed| listed.head.id.to_string());
        let plain = self.0.values().filter_map(|note| note.plain.as_ref());
        packed.chain(plain.map(|record| record.id.clone())).collect()
    }
}

/// Puts a snapshot into the trash of its tiers.
pub(crate) fn put(context: &Context, line: &Line) -> Result<()> {
    let key = format!("{NOTES}{}", line.id);
    let mut note = context.repository.read_json::<Note>(&key)?.unwrap_or_else(|| Note {
        name: line.name.clone(),
        created_at: line.created_at,
        deleted_at: BTreeMap::new(),
        plain: line.plain.as_ref().map(|plain| plain.record.clone()),
    });
    for tier in &line.tiers {
        note.deleted_at.entry(*tier).or_insert_with(Timestamp::now);
    }
    context.repository.replace_json(&key, &note)
}

/// Forgets that a snapshot was in the trash of a tier: it is there no longer.
pub(crate) fn swept(context: &Context, id: Uuid, tier: Tier) -> Result<()> {
    let key = format!("{NOTES}{id}");
    let Some(mut note) = context.repository.read_json::<Note>(&key)? else {
        return Ok(());
    };
    note.deleted_at.remove(&tier);
    match note.deleted_at.is_empty() {
        true => forget(context, id),
        false => context.repository.replace_json(&key, &note),
    }
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
    let in_bucket = InBucket::look(context, id, note)?;
    let lock = context.lock_for_writing("undelete")?;
    // A prune may have been faster.
    let trash = Trash::read(context)?;
    let Some((_, note)) = trash.named(name).filter(|(now, _)| *now == id) else {
        return Err(not_in_trash(name));
    };
    if !in_bucket.is_deleted {
        forget(context, id)?;
    } else if note.deleted_at.contains_key(&Tier::Local) {
        tracing::warn!(
            snapshot = name,
            "the copy in the bucket has been deleted; the local one is brought back"
        );
        swept(context, id, Tier::Local)?;
    } else {
        fail!(
            SnapshotNotFound,
            "Snapshot not found: {name} has been deleted from the bucket, so it cannot be brought back any more"
        );
    }
    drop((lock, in_bucket));
    let head = context.repository.heads()?.into_iter().find(|head| head.id == id);
    let record = match (&note.plain, head) {
        (Some(record), _) => Some(record.clone()),
        (None, Some(head)) => Some(catalog::record(context, &head)?),
        (None, None) => None,
    };
    if let (Some(record), Ok(database)) = (record, context.database())
        && database.is_file()
    {
        catalog::add_row(context, &database, &record);
    }
    list::get(context, name)
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
