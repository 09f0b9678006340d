//! From a name to a snapshot.

use std::sync::Arc;

use jiff::Timestamp;
use uuid::Uuid;

use super::trash::Trash;
use super::{Context, catalog};
use crate::database::plain_snapshots::{self, Place, PlainSnapshot};
use crate::error::{Result, fail};
use crate::record::Record;
use crate::repository::Repository;
use crate::repository::identity::Identity;
use crate::repository::manifest::{self, Head};
use crate::repository::order::Mark;
use crate::repository::survey::{self, Survey, Without};
use crate::repository::tiers::Tier;
use crate::storage::Store;

/// A snapshot in either of its forms.
pub(crate) enum Found {
    Packed(Box<Head>),
    /// A whole `.db` file of the module before this one.
    Plain(Box<PlainSnapshot>),
    /// A backup before an operation, in a repository of its own.
    Backup(Box<Backup>),
}

/// See [`Found::Backup`].
pub(crate) struct Backup {
    pub(crate) head: Head,
    pub(crate) store: Arc<dyn Store>,
}

impl Found {
    pub(crate) fn backup(head: Head, repository: &Repository) -> Self {
        let store = Arc::clone(repository.local());
        Self::Backup(Box::new(Backup { head, store }))
    }

    pub(crate) fn id(&self) -> String {
        match self {
            Self::Packed(head) => head.id.to_string(),
            Self::Plain(plain) => plain.record.id.clone(),
            Self::Backup(backup) => backup.head.id.to_string(),
        }
    }

    /// Under which pins and the trash know it.
    pub(crate) fn note_id(&self) -> Uuid {
        match self {
            Self::Packed(head) => head.id,
            Self::Plain(plain) => plain.note_id(),
            Self::Backup(backup) => backup.head.id,
        }
    }

    pub(crate) fn created_at(&self) -> Timestamp {
        match self {
            Self::Packed(head) => head.created_at,
            Self::Plain(plain) => plain.record.created_at,
            Self::Backup(backup) => backup.head.created_at,
        }
    }

    /// What orders it. Numbers of backups are of a repository of their own, and say nothing among snapshots.
    pub(crate) fn mark(&self) -> Mark {
        match self {
            Self::Packed(head) => head.mark(),
            Self::Plain(plain) => mark_of_plain(plain),
            Self::Backup(backup) => Mark {
                sequence: None,
                ..backup.head.mark()
            },
        }
    }

    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Packed(head) => &head.name,
            Self::Plain(plain) => &plain.record.name,
            Self::Backup(backup) => &backup.head.name,
        }
    }
}

/// Finds a snapshot by its name, in the tier that was asked for, else wherever it is. The bucket
/// is not asked when the local tier has it: a restore must not wait for a network that is down.
pub(crate) fn find(context: &Context, name: &str) -> Result<Found> {
    let trash = Trash::read(context)?;
    let by_name = |head: &&Head| head.name == name && !trash.holds(head.id, Tier::Local);
    if context.tier != Some(Tier::S3) {
        let heads = context.repository.local_heads()?;
        if let Some(head) = closest(context, &heads, by_name)? {
            return Ok(Found::Packed(Box::new(head)));
        }
        if let Some(plain) = plain_files(context)?
            .into_iter()
            .find(|plain| plain.record.name == name && !trash.holds_plain(plain))
        {
            return Ok(Found::Plain(Box::new(plain)));
        }
    }
    if context.tier != Some(Tier::Local)
        && let Some(found) = find_in_bucket(context, name, &trash)?
    {
        return Ok(found);
    }
    if let Some(key) = damaged_manifest(context, name) {
        manifest::read_head(&*context.reading()?, &key)?;
    }
    fail!(SnapshotNotFound, "Snapshot not found: {name}")
}

/// The newest of those that are meant: an own one where there is any, else one of the lineage. `heads`: oldest first.
fn closest(context: &Context, heads: &[Head], is_meant: impl Fn(&&Head) -> bool) -> Result<Option<Head>> {
    let meant: Vec<&Head> = heads.iter().filter(is_meant).collect();
    if meant.len() < 2 {
        return Ok(meant.first().copied().cloned());
    }
    let identity = context.identity_if_any(heads)?;
    let closeness = |head: &&Head| identity.as_ref().map_or(0, |identity| identity.closeness(head));
    // The last of equals is taken.
    Ok(meant.into_iter().max_by_key(closeness).cloned())
}

/// Keeps the old plain snapshots that are the database's own: a row of its table tells of them, or nobody else
/// ever had snapshots here.
pub(crate) fn retain_own_plain(plain: &mut Vec<PlainSnapshot>, identity: Option<&Identity>, heads: &[Head]) {
    if let Some(identity) = identity {
        plain.retain(|plain| is_own_plain(plain, identity, heads));
    }
}

/// As [`retain_own_plain`], for one.
pub(crate) fn is_own_plain(plain: &PlainSnapshot, identity: &Identity, heads: &[Head]) -> bool {
    let in_folder = tier_of(plain) == Tier::Local;
    let has_row = !plain.record.checksum.is_empty();
    identity.owns_plain(in_folder, heads) || (has_row && !identity.is_plain_of_others(in_folder))
}

fn find_in_bucket(context: &Context, name: &str, trash: &Trash) -> Result<Option<Found>> {
    let Some(bucket) = context.repository.bucket() else {
        if context.tier == Some(Tier::S3) {
            context.repository.require_bucket()?;
        }
        return Ok(None);
    };
    let Survey { snapshots, .. } = survey::bucket(&context.repository, bucket)?;
    let heads: Vec<Head> = snapshots.into_iter().map(|listed| listed.head).collect();
    let by_name = |head: &&Head| head.name == name && !trash.holds(head.id, Tier::S3);
    if let Some(head) = closest(context, &heads, by_name)? {
        return Ok(Some(Found::Packed(Box::new(head))));
    }
    let plain = plain_objects(context)?;
    let found = plain
        .into_iter()
        .find(|plain| plain.record.name == name && !trash.holds_plain(plain));
    Ok(found.map(|plain| Found::Plain(Box::new(plain))))
}

/// Key of the manifest that the table's row of that name points to. A manifest whose head is
/// damaged no longer knows its name; the row does.
pub(crate) fn damaged_manifest(context: &Context, name: &str) -> Option<String> {
    let row = catalog::rows(context).into_iter().find(|row| row.name == name)?;
    let id = Uuid::try_parse(&row.id).ok()?;
    let objects = context.reading().ok()?.list(&format!("snapshots/{id}.")).ok()?;
    objects.into_iter().map(|object| object.key).next_back()
}

/// Everything there is: the snapshots of both tiers, and every copy of the old plain ones, the files
/// first. A bucket that cannot be asked is left out and the reason kept; it is not asked a second time.
pub(crate) fn everything(context: &Context) -> Result<(Survey, Vec<PlainSnapshot>)> {
    look_without(context, &catalog::rows(context), Without::Damaged)
}

/// As [`everything`], with the rows of the table at hand: reading them may mean waiting for the
/// database.
pub(crate) fn everything_with(context: &Context, rows: &[Record]) -> Result<(Survey, Vec<PlainSnapshot>)> {
    look_without(context, rows, Without::Damaged)
}

fn look_without(context: &Context, rows: &[Record], without: Without) -> Result<(Survey, Vec<PlainSnapshot>)> {
    let mut survey = context.repository.survey_without(without)?;
    let mut all = plain_files_with(context, rows)?;
    let objects = match &survey.bucket_failure {
        Some(_) => Vec::new(),
        None => plain_objects_with(context, rows).unwrap_or_else(|error| {
            survey.bucket_failure = Some(error);
            Vec::new()
        }),
    };
    all.extend(objects);
    Ok((survey, all))
}

/// As [`everything`], without what is in the trash.
pub(crate) fn everything_left(context: &Context) -> Result<(Survey, Vec<PlainSnapshot>)> {
    everything_left_without(context, Without::Damaged)
}

/// As [`everything_left`], with a say in what is left out.
pub(crate) fn everything_left_without(context: &Context, without: Without) -> Result<(Survey, Vec<PlainSnapshot>)> {
    let trash = Trash::read(context)?;
    let (mut survey, mut plain) = look_without(context, &catalog::rows(context), without)?;
    trash.take_out_of(&mut survey, &mut plain);
    Ok((survey, plain))
}

/// What orders an old plain snapshot: it never has a number.
pub(crate) fn mark_of_plain(plain: &PlainSnapshot) -> Mark {
    Mark {
        sequence: None,
        created_at: plain.record.created_at,
        id: plain.note_id(),
    }
}

/// Where a copy of an old plain snapshot is.
pub(crate) fn tier_of(plain: &PlainSnapshot) -> Tier {
    match plain.place {
        Place::File(_) => Tier::Local,
        Place::Object(_) => Tier::S3,
    }
}

/// Those of the configured folder.
pub(crate) fn plain_files(context: &Context) -> Result<Vec<PlainSnapshot>> {
    plain_files_with(context, &catalog::rows(context))
}

/// As [`plain_files`], with the rows at hand.
pub(crate) fn plain_files_with(context: &Context, rows: &[Record]) -> Result<Vec<PlainSnapshot>> {
    let database = context.database().ok();
    let mut all = plain_snapshots::list(context.repository.root(), rows)?;
    // The folder may be the database's own.
    all.retain(|plain| match &plain.place {
        Place::File(path) => database.as_ref() != Some(path),
        Place::Object(_) => true,
    });
    Ok(all)
}

/// Those of the bucket; none when S3 is off.
pub(crate) fn plain_objects(context: &Context) -> Result<Vec<PlainSnapshot>> {
    plain_objects_with(context, &catalog::rows(context))
}

fn plain_objects_with(context: &Context, rows: &[Record]) -> Result<Vec<PlainSnapshot>> {
    let Some(bucket) = context.repository.bucket() else {
        return Ok(Vec::new());
    };
    let objects = bucket.list("snapshot_")?;
    let locate = |key: &str| bucket.locate(key);
    Ok(plain_snapshots::list_objects(&objects, locate, rows))
}
