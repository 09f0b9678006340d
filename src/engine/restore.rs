//! Restoring a database from a snapshot.
//!
//! An existing file is rewritten in place, as one SQLite transaction (`restore_in_place`); a
//! missing one is assembled beside, verified and published; a file that SQLite cannot rewrite
//! is replaced, if nobody has it open. What is about to happen is in the journal first.

use std::path::Path;
use std::time::Instant;

use tempfile::NamedTempFile;
use uuid::Uuid;

use super::capture::identity;
use super::catalog::{self, Journal};
use super::find::{Found, find};
use super::overwrite::{Only, Overwritten};
use super::replace::{exchange, replace};
use super::restore_in_place;
use super::target::{Target, check_restorable};
use super::{Context, create, export, foreign, left_behind, post_restore};
use crate::database::check::{self, Judgement};
use crate::database::offline::Exchange;
use crate::database::raw_files::file_error;
use crate::database::{gate, image, rows};
use crate::error::{Code, Result, fail};
use crate::failpoint;
use crate::record::{Record, RestoreStatus};
use crate::repository::lineage;
use crate::repository::restores::{self, Outcome, Restore, Undoes};
use crate::repository::sequence;

/// Restores the configured database from the snapshot of that name.
pub(crate) fn restore(context: &Context, name: &str, foreign: bool) -> Result<Record> {
    let database = context.database()?;
    // Before the lock: a name that is not there makes no repository.
    foreign::refuse_restore(context, &find(context, name)?, foreign)?;
    wait_for_those_left_behind(context, &database)?;
    let lock = context.lock_for_writing("restoreFromSnapshot")?;
    let found = find(context, name)?;
    foreign::refuse_restore(context, &found, foreign)?;
    let restored = restore_found(context, &database, &found)?;
    post_restore::run(context, &database, lock, &restored)?;
    Ok(restored.told(context))
}

/// A restore that took place.
pub(crate) struct Restored {
    pub(crate) record: Record,
    pub(crate) entry: Restore,
}

impl Restored {
    /// What is told of it, with a note that it was, if there is anybody to hear it. Without the note,
    /// `recoverFromFailedRestore` says later that the restore took place.
    pub(crate) fn told(self, context: &Context) -> Record {
        if context.host.check_alive().is_ok()
            && let Err(error) = self.entry.tell(&context.repository)
        {
            tracing::warn!(reason = %error, "it could not be noted that the restore is known");
        }
        self.record
    }
}

/// Restores under the lock, and writes journal and table.
pub(crate) fn restore_found(context: &Context, database: &Path, found: &Found) -> Result<Restored> {
    match restore_only(context, database, found, Only::Always)? {
        Some(restored) => Ok(restored),
        None => fail!(Internal, "a restore over anything asked for something"),
    }
}

/// As [`restore_found`], over a database that is what `only` says; `None` when it is not.
pub(crate) fn restore_only(context: &Context, database: &Path, found: &Found, only: Only) -> Result<Option<Restored>> {
    carry_out(context, database, found, only, begin_entry(context, database, found))
}

/// As [`restore_found`], to take another restore back.
pub(crate) fn restore_undoing(context: &Context, database: &Path, found: &Found, undoes: Undoes) -> Result<Restored> {
    let entry = Restore {
        undoes: Some(undoes),
        // Undoing is not itself undone by the next call: that would go back and forth.
        undone: true,
        ..begin_entry(context, database, found)
    };
    match carry_out(context, database, found, Only::Always, entry)? {
        Some(restored) => Ok(restored),
        None => fail!(Internal, "undoing a restore asked for something"),
    }
}

fn carry_out(
    context: &Context,
    database: &Path,
    found: &Found,
    only: Only,
    mut entry: Restore,
) -> Result<Option<Restored>> {
    check_restorable(found)?;
    let outcome =
        open_target(context, found).and_then(|mut target| apply(context, database, only, &mut target, &mut entry));
    match outcome {
        Ok(true) => {
            finish(context, database, found, &mut entry);
            let record = restored_record(context, found, &entry);
            Ok(Some(Restored { record, entry }))
        }
        Ok(false) => {
            entry.forget(&context.repository)?;
            create::clean_up(context);
            Ok(None)
        }
        // What became of it is not known; the entry stays as it is and is settled by the next call.
        Err(error) if error.code == Code::Unsettled => Err(error),
        Err(error) => {
            entry.outcome = Outcome::Failed;
            entry.message = Some(error.to_string());
            if let Err(error) = entry.save(&context.repository) {
                tracing::warn!(reason = %error, "the outcome of the restore could not be written down");
            }
            create::clean_up(context);
            if database.is_file() {
                catalog::set_restore(
                    context,
                    database,
                    &found.id(),
                    RestoreStatus::Failed,
                    entry.message.as_deref(),
                    None,
                );
            }
            Err(error)
        }
    }
}

fn open_target(context: &Context, found: &Found) -> Result<Target> {
    let target = Target::open(context, found)?;
    match found {
        // The module before this one copied the live file, so its snapshots may be torn.
        Found::Plain(_) => check_plain(context, target, found),
        Found::Packed(_) | Found::Backup(_) => Ok(target),
    }
}

/// Whether the database was what `only` says, and holds the image now.
fn apply(context: &Context, database: &Path, only: Only, target: &mut Target, entry: &mut Restore) -> Result<bool> {
    match database.metadata() {
        Ok(metadata) if !metadata.is_file() => {
            fail!(
                DatabaseNotAFile,
                "{} is not a file; nothing was changed",
                database.display()
            )
        }
        _ if is_lost(database)? => new_file(context, database, target, entry).map(|()| true),
        Ok(_) => match restore_in_place::restore(context, database, only, target, entry)? {
            Overwritten::Done => Ok(true),
            Overwritten::NotAsWanted => Ok(false),
            Overwritten::Impossible(reason) => replace(context, database, only, target, entry, reason),
        },
        Err(error) => Err(file_error("look at", database, error)),
    }
}

/// Before the lock: whoever still has the lost file open may want to use the repository before it ends.
pub(super) fn wait_for_those_left_behind(context: &Context, database: &Path) -> Result<()> {
    if is_lost(database)? {
        left_behind::wait(context, database, context.deadline())?;
    }
    Ok(())
}

/// Whether there is no file, or only one of zero bytes beside what it has lost.
fn is_lost(database: &Path) -> Result<bool> {
    match database.symlink_metadata() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(true),
        _ => Ok(!gate::stranded(database)?.is_empty()),
    }
}

/// Assembles beside, verifies, and publishes without overwriting.
fn new_file(context: &Context, database: &Path, target: &mut Target, entry: &mut Restore) -> Result<()> {
    // Under the lock nobody is waited for.
    left_behind::wait(context, database, Instant::now())?;
    let folder = database.parent().unwrap_or(Path::new("/"));
    std::fs::create_dir_all(folder).map_err(|error| file_error("make", folder, error))?;
    entry.save(&context.repository)?;
    failpoint::reached("restore.intent")?;
    let file = assemble(context, database, target, entry)?;
    exchange(context, Exchange::of_missing(file, database)?, entry)?;
    for orphan in &entry.moved {
        tracing::warn!(file = %orphan.to.display(), "a left-over of the missing database was moved aside");
    }
    Ok(())
}

pub(super) fn assemble(
    context: &Context,
    database: &Path,
    target: &mut Target,
    entry: &Restore,
) -> Result<NamedTempFile> {
    let folder = database.parent().unwrap_or(Path::new("/"));
    let prefix = assembled_prefix(entry);
    let file = export::assemble(context, target, folder, &prefix, |error| {
        file_error("write", database, error)
    })?;
    context.host.check_alive()?;
    Ok(file)
}

/// The outcome goes into the journal, then the table is made to mirror the repository again. The restore
/// has taken place: nothing that fails here is a failure of it, and the next call makes up for it.
fn finish(context: &Context, database: &Path, found: &Found, entry: &mut Restore) {
    entry.outcome = Outcome::Done;
    entry.at = create::now();
    entry.sequence = Some(sequence::next(&context.repository, &[]));
    let written = failpoint::reached("restore.before-outcome")
        .and_then(|()| entry.save(&context.repository))
        .and_then(|()| entry.settle_undone(&context.repository))
        .and_then(|()| restores::trim(&context.repository));
    if let Err(error) = written {
        tracing::warn!(reason = %error, "the database is restored, but that could not be written down; the next call does it");
        // The table mirrors what is written down, so it waits for that as well.
        return;
    }
    let mirrored = failpoint::reached("restore.before-row").and_then(|()| mirror(context, database, found, entry));
    if let Err(error) = mirrored {
        tracing::warn!(reason = %error, "the database is restored, but its Snapshot table is not up to date yet; the next call tries again");
        return;
    }
    entry.mirrored = true;
    if let Err(error) = entry.save(&context.repository) {
        tracing::warn!(reason = %error, "it could not be written down that the Snapshot table is up to date");
    }
}

/// Brings the table of a restored database up to date.
fn mirror(context: &Context, database: &Path, found: &Found, entry: &Restore) -> Result<()> {
    // The content comes from there from now on; the database stays which it is.
    if let Found::Packed(head) = found {
        lineage::set(&context.repository, database, head.lineage)?;
    }
    catalog::reconcile(context, database)?;
    if let Found::Plain(plain) = found {
        let mut record = plain.record.clone();
        (record.restore_status, record.last_restored_at) = (Some(RestoreStatus::Success), Some(entry.at));
        rows::Rows::open(database, context.deadline())?.upsert(&[record], context.config.catalog_size)?;
    }
    Ok(())
}

/// From what is at hand: reading could fail, and the restore has taken place.
fn restored_record(context: &Context, found: &Found, entry: &Restore) -> Record {
    let of_head = |head| catalog::record_with(context, head, &Journal::of(context, entry));
    match found {
        Found::Packed(head) => of_head(head),
        Found::Backup(backup) => Record {
            s3_key: backup.store.locate(&backup.head.key()),
            ..of_head(&backup.head)
        },
        Found::Plain(plain) => {
            let mut record = plain.record.clone();
            (record.restore_status, record.last_restored_at) = (Some(RestoreStatus::Success), Some(entry.at));
            record
        }
    }
}

/// How the file that a restore assembles beside the database begins, so that it is found after a crash.
pub(crate) fn assembled_prefix(entry: &Restore) -> String {
    format!(".snapshot-writer-{}-", entry.id)
}

fn begin_entry(context: &Context, database: &Path, found: &Found) -> Restore {
    let (snapshot, snapshot_name) = match found {
        Found::Packed(head) => (head.id, head.name.clone()),
        Found::Backup(backup) => (backup.head.id, backup.head.name.clone()),
        Found::Plain(plain) => (
            Uuid::try_parse(&plain.record.id).unwrap_or_default(),
            plain.record.name.clone(),
        ),
    };
    Restore {
        id: Uuid::new_v4(),
        snapshot,
        snapshot_name,
        database: database.to_path_buf(),
        safety: None,
        identity_before: identity(database),
        cookie_before: None,
        cookie: None,
        moved: Vec::new(),
        published: None,
        was_wal: false,
        outcome: Outcome::Begun,
        message: None,
        at: create::now(),
        sequence: Some(sequence::next(&context.repository, &[])),
        mirrored: false,
        undone: false,
        cut_off: false,
        undoes: None,
    }
}

fn check_plain(context: &Context, target: Target, found: &Found) -> Result<Target> {
    if target.page_count() == 0 {
        return Ok(target);
    }
    let host = std::sync::Arc::clone(&context.host);
    let image = image::open(Box::new(target))?;
    let alive = std::sync::Arc::new(move || host.check_alive().is_ok());
    if let Judgement::Damaged(finding) = check::check(&image, crate::config::Check::Quick, alive)? {
        fail!(
            SnapshotDamaged,
            "the old snapshot is damaged: {finding}; nothing was changed"
        );
    }
    drop(image);
    Target::open(context, found)
}

/// Whether an old plain snapshot holds an empty database.
pub(crate) fn is_empty_image(context: &Context, target: Target) -> Result<bool> {
    if target.page_count() == 0 {
        return Ok(true);
    }
    let image = image::open(Box::new(target))?;
    image.is_empty(&context.config.core_tables)
}
