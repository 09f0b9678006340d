//! The application's `Snapshot` table, kept in step with the repository.
//!
//! The repository is the truth. A row is written after the snapshot is published; when the
//! database is locked just then, a note in `local/rows/` makes the next call add it. Rows that
//! the application deletes stay deleted: only a restore, which rewinds the table, brings back
//! the rows of every snapshot. Safety snapshots have no row: the application counts and cleans
//! up what it finds there.

use std::collections::BTreeSet;
use std::path::Path;

use jiff::Timestamp;
use uuid::Uuid;

use super::trash::Trash;
use super::{Context, gone_rows, upload};
use crate::database::rows::{self, Rows};
use crate::error::{Error, Result};
use crate::failpoint;
use crate::record::{Record, RestoreStatus, Status};
use crate::repository::identity::Identity;
use crate::repository::manifest::{self, Head, Kind};
use crate::repository::restores::{self, Outcome, Restore};
use crate::repository::survey::Listed;
use crate::storage::Store;

const NOTES: &str = "local/rows/";
/// Longest reason in a row.
const MAX_REASON: usize = 2000;

/// What this host knows of snapshots beyond their manifests.
pub(crate) struct Journal {
    restores: Vec<Restore>,
    /// Not in the bucket yet, though they should be.
    pending: BTreeSet<Uuid>,
}

impl Journal {
    pub(crate) fn read(context: &Context) -> Result<Self> {
        Ok(Self {
            restores: restores::all(&context.repository)?,
            pending: upload::pending(context)?,
        })
    }

    /// As far as it is needed for what a restore that has just taken place is told.
    pub(crate) fn of(context: &Context, restore: &Restore) -> Self {
        Self {
            restores: vec![restore.clone()],
            pending: upload::pending(context).unwrap_or_default(),
        }
    }

    /// Whether a snapshot waits for its upload.
    pub(crate) fn is_pending(&self, id: Uuid) -> bool {
        self.pending.contains(&id)
    }
}

/// The record of a snapshot, with what the journal says of it.
pub(crate) fn record(context: &Context, head: &Head) -> Result<Record> {
    Ok(record_with(context, head, &Journal::read(context)?))
}

/// As [`record`], with the journal at hand.
pub(crate) fn record_with(context: &Context, head: &Head, journal: &Journal) -> Record {
    let restores = &journal.restores;
    let restore = restores.iter().rev().find(|restore| restore.snapshot == head.id);
    Record {
        id: head.id.to_string(),
        name: head.name.clone(),
        s3_key: locate(context, head),
        checksum: head.checksum.clone(),
        size: head.size(),
        status: match head.kind {
            Kind::Forensic => Status::Failed,
            _ if journal.is_pending(head.id) => Status::Pending,
            _ => Status::Completed,
        },
        restore_status: restore.map(|restore| match restore.outcome {
            Outcome::Begun => RestoreStatus::InProgress,
            Outcome::Done => RestoreStatus::Success,
            Outcome::Failed => RestoreStatus::Failed,
        }),
        restore_message: restore
            .and_then(|restore| restore.message.clone())
            .or_else(|| head.finding.clone()),
        last_restored_at: restores
            .iter()
            .rev()
            .find(|restore| restore.snapshot == head.id && restore.outcome == Outcome::Done)
            .map(|restore| restore.at),
        created_at: head.created_at,
        updated_at: restore.map_or(head.created_at, |restore| restore.at.max(head.created_at)),
        schema_version: 1,
    }
}

/// As [`record_with`], with the generation that the bucket has by now.
pub(crate) fn record_of(context: &Context, listed: &Listed, journal: &Journal) -> Record {
    let head = &listed.head;
    let record = record_with(context, head, journal);
    match (context.repository.bucket(), listed.in_bucket) {
        (Some(bucket), Some(generation)) if head.kind == Kind::Snapshot => Record {
            s3_key: bucket.locate(&manifest::key(head.id, generation)),
            ..record
        },
        _ => record,
    }
}

/// Where the application finds a snapshot: the key in the bucket when S3 is on, else the file.
fn locate(context: &Context, head: &Head) -> String {
    match context.repository.bucket() {
        Some(bucket) if head.kind == Kind::Snapshot => bucket.locate(&head.key()),
        _ => context.repository.local().locate(&head.key()),
    }
}

/// Notes that a snapshot's row has yet to be written.
pub(crate) fn remember_row(context: &Context, id: Uuid) -> Result<()> {
    context.repository.replace_json(&format!("{NOTES}{id}"), &id)
}

/// Writes the row of a new snapshot, and those that earlier calls could not write. `far`: heads that the
/// local tier may lack. Never fails: the snapshot is complete without its row.
pub(crate) fn add_rows(context: &Context, database: &Path, identity: &Identity, far: &[Head], new: &Record) {
    let written = (|| {
        failpoint::reached("create.before-row")?;
        let journal = Journal::read(context)?;
        let heads = noted(context, identity, far)?;
        let missed = heads.iter().filter(|head| head.id.to_string() != new.id);
        let mut records = vec![new.clone()];
        records.extend(missed.map(|head| record_with(context, head, &journal)));
        let table = open(context, database)?;
        // First: a new snapshot may have the name of a row that is to go.
        gone_rows::remove(context, database, &table)?;
        table.upsert(&records, context.config.catalog_size)?;
        heads.iter().try_for_each(|head| forget_note(context, head.id))
    })();
    if let Err(error) = written {
        warn_row(&error);
    }
}

/// Writes the row that tells of a failed snapshot. Best effort.
pub(crate) fn add_failed_row(context: &Context, database: &Path, id: Uuid, name: &str, at: Timestamp, error: &Error) {
    let record = Record {
        id: id.to_string(),
        name: name.to_owned(),
        s3_key: String::new(),
        checksum: String::new(),
        size: 0,
        status: Status::Failed,
        restore_status: None,
        restore_message: Some(error.story().chars().take(MAX_REASON).collect()),
        last_restored_at: None,
        created_at: at,
        updated_at: at,
        schema_version: 1,
    };
    let written = open(context, database).and_then(|table| table.upsert(&[record], context.config.catalog_size));
    if let Err(error) = written {
        warn_row(&error);
    }
}

/// Makes the table mirror the database's own snapshots, as a restore has rewound it. Those of others that were
/// restored into it are there as well: the application looks for their rows.
pub(crate) fn reconcile(context: &Context, database: &Path) -> Result<()> {
    let journal = Journal::read(context)?;
    let survey = context.repository.survey()?;
    let is_whole = survey.bucket_failure.is_none();
    let identity = context.identity_at(database, &survey.known_heads())?;
    let left = Trash::read(context)?.take_out(survey.snapshots);
    let was_restored = |head: &Head| {
        let mut restores = journal.restores.iter();
        restores.any(|restore| restore.snapshot == head.id && restore.database == database)
    };
    let records: Vec<Record> = left
        .iter()
        .filter(|listed| listed.head.kind == Kind::Snapshot)
        .filter(|listed| identity.owns(&listed.head) || was_restored(&listed.head))
        .map(|listed| record_of(context, listed, &journal))
        .collect();
    let table = open(context, database)?;
    if is_whole {
        table.reconcile(&records, context.config.catalog_size)?;
    } else {
        // Rows of snapshots that only the bucket has must not go because it cannot be asked.
        table.upsert(&records, context.config.catalog_size)?;
    }
    let heads: Vec<Head> = left.into_iter().map(|listed| listed.head).collect();
    noted(context, &identity, &heads)?
        .iter()
        .try_for_each(|head| forget_note(context, head.id))
}

/// Writes status and key of a snapshot into its row, if the application still has it. Best effort.
pub(crate) fn update_row(context: &Context, database: &Path, record: &Record) {
    let written = open(context, database).and_then(|table| table.set_status(record));
    if let Err(error) = written {
        warn_row(&error);
    }
}

/// Changes the three restore columns of one row, and nothing else. Best effort.
pub(crate) fn set_restore(
    context: &Context,
    database: &Path,
    id: &str,
    status: RestoreStatus,
    message: Option<&str>,
    at: Option<Timestamp>,
) {
    let written = open(context, database).and_then(|table| table.set_restore(id, status, message, at));
    if let Err(error) = written {
        warn_row(&error);
    }
}

/// Writes the row of a snapshot that was brought back. Best effort; a later call tries again what was
/// remembered.
pub(crate) fn add_row(context: &Context, database: &Path, id: Uuid, record: &Record) {
    let record = std::slice::from_ref(record);
    let written = open(context, database)
        .and_then(|table| table.upsert(record, context.config.catalog_size))
        .and_then(|()| forget_note(context, id));
    if let Err(error) = written {
        warn_row(&error);
    }
}

/// Removes the rows of deleted snapshots. Best effort: whether they are gone.
pub(crate) fn remove_rows(context: &Context, database: &Path, ids: &[String]) -> bool {
    let removed = open(context, database).and_then(|table| {
        ids.iter().try_for_each(|id| table.delete(id))?;
        gone_rows::remove(context, database, &table)
    });
    removed.inspect_err(warn_row).is_ok()
}

/// Every row; none when the table or the database cannot be read.
pub(crate) fn rows(context: &Context) -> Vec<Record> {
    let read = || {
        context
            .database()
            .ok()
            .filter(|database| database.is_file())
            .map(|database| rows::read(&database, context.deadline()))
    };
    read().and_then(Result::ok).unwrap_or_default()
}

fn open(context: &Context, database: &Path) -> Result<Rows> {
    Rows::open(database, context.deadline())
}

/// Snapshots of this database whose rows have yet to be written, in the local tier or among `far`.
fn noted(context: &Context, identity: &Identity, far: &[Head]) -> Result<Vec<Head>> {
    let notes = context.repository.local().list(NOTES)?;
    let is_noted = |head: &Head| {
        notes
            .iter()
            .any(|note| note.key.strip_prefix(NOTES) == Some(&head.id.to_string()))
    };
    let mut heads = context.repository.local_heads()?;
    let is_here = |id| heads.iter().any(|head| head.id == id);
    let elsewhere: Vec<Head> = far.iter().filter(|head| !is_here(head.id)).cloned().collect();
    heads.extend(elsewhere);
    Ok(heads
        .into_iter()
        .filter(|head| identity.owns(head) && is_noted(head))
        .collect())
}

fn forget_note(context: &Context, id: Uuid) -> Result<()> {
    context.repository.local().remove(&format!("{NOTES}{id}"))
}

fn warn_row(error: &Error) {
    tracing::warn!(code = error.code.as_str(), reason = %error, "the row in the Snapshot table could not be written; the repository is complete without it, and the next call tries again");
}
