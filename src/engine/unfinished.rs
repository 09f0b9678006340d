//! Finishing what a killed process left half-done.
//!
//! Nothing is believed but what the entry of the journal names: the cookie that its transaction sets, the
//! file that it publishes, the files that it moves. Another file, whoever put it there, is left alone.

use std::path::Path;

use super::restore::assembled_prefix;
use super::{Context, catalog};
use crate::database::{cookie, offline, one_file};
use crate::error::{Code, Result, fail};
use crate::repository::lineage;
use crate::repository::restores::{self, Outcome, Restore};

/// Settles every restore of the configured database that was cut off. What cannot be settled is left to
/// the next call, and hinders this one only where it needs the database. Call it under the exclusive lock.
pub(crate) fn finish(context: &Context) -> Result<()> {
    let Ok(database) = context.database() else {
        return Ok(());
    };
    for mut restore in restores::all(&context.repository)? {
        if restore.database != database {
            continue;
        }
        let settled = match restore.outcome {
            Outcome::Begun => settle(context, &mut restore),
            Outcome::Done if !restore.mirrored => restore
                .settle_undone(&context.repository)
                .and_then(|()| mirror_or_warn(context, &mut restore)),
            _ => Ok(()),
        };
        if let Err(error) = settled {
            tracing::warn!(snapshot = %restore.snapshot_name, reason = %error.story(), "a restore that was cut off cannot be settled yet; the next call tries again");
        }
    }
    Ok(())
}

/// Fails while the database is missing because the restore that was to replace it goes on or was cut off:
/// what is to be said of it is not that it is empty.
pub(crate) fn check(context: &Context, database: &Path) -> Result<()> {
    if database.exists() {
        return Ok(());
    }
    for restore in restores::all(&context.repository)? {
        let is_open = restore.outcome == Outcome::Begun && restore.database == database;
        if is_open && offline::is_aside(database, &restore.moved)? {
            fail!(
                Unsettled,
                "{} is being replaced by a restore, or that was cut off; its files are {} meanwhile. The next call \
                 that writes, such as \"snapshot-writer create\", puts them back",
                database.display(),
                restore.moved[0].to.display()
            );
        }
    }
    Ok(())
}

fn settle(context: &Context, restore: &mut Restore) -> Result<()> {
    let took_place = took_place(context, restore)?;
    if !took_place {
        for file in offline::put_back(&restore.database, &restore.moved)? {
            tracing::warn!(file = %file.display(), "a file that a cut-off restore had moved aside was put back");
        }
        if restore.was_wal && restore.database.is_file() && !one_file::is_wal(&restore.database)? {
            one_file::return_to_wal(&restore.database, context.deadline())?;
        }
    }
    offline::remove_assembled(&restore.database, &assembled_prefix(restore))?;
    tracing::warn!(snapshot = %restore.snapshot_name, took_place, "a restore was cut off");
    if took_place {
        restore.outcome = Outcome::Done;
        restore.message = Some("the process ended after the restore had committed".to_owned());
    } else {
        restore.outcome = Outcome::Failed;
        restore.cut_off = true;
        restore.message =
            Some("the process ended before the restore committed; the database was not changed by it".to_owned());
    }
    restore.save(&context.repository)?;
    if took_place {
        restore.settle_undone(&context.repository)?;
    }
    mirror_or_warn(context, restore)
}

/// Brings the table up to date with a settled restore; a locked one, or a repository that cannot be
/// listed, is left to the next call.
fn mirror_or_warn(context: &Context, restore: &mut Restore) -> Result<()> {
    if restore.database.is_file()
        && let Err(error) = mirror(context, restore)
    {
        tracing::warn!(reason = %error, "the Snapshot table could not be brought up to date");
        return Ok(());
    }
    restore.mirrored = true;
    restore.save(&context.repository)
}

fn mirror(context: &Context, restore: &Restore) -> Result<()> {
    let heads = context.repository.heads()?;
    let database = &restore.database;
    let head = heads.iter().find(|head| head.id == restore.snapshot);
    if restore.outcome == Outcome::Done {
        // Without a head it was an old plain file or a backup from another repository, and the
        // database stays what it was.
        if let Some(head) = head {
            lineage::set(&context.repository, database, head.lineage)?;
        }
        return catalog::reconcile(context, database);
    }
    let Some(head) = head else { return Ok(()) };
    let record = catalog::record(context, head)?;
    if let Some(status) = record.restore_status {
        catalog::set_restore(
            context,
            database,
            &record.id,
            status,
            record.restore_message.as_deref(),
            None,
        );
    }
    Ok(())
}

/// Whether the restore had taken place. An error: it cannot be found out now.
fn took_place(context: &Context, restore: &Restore) -> Result<bool> {
    let database = &restore.database;
    if let Some(published) = &restore.published {
        return offline::is_published(database, published);
    }
    let Some(cookie) = restore.cookie else {
        return Ok(false);
    };
    match cookie::has_committed(database, cookie, context.deadline()) {
        // Whatever lies there, if anything does, is not what the transaction has written.
        Err(error)
            if matches!(
                error.code,
                Code::DatabaseNotFound | Code::DatabaseInvalid | Code::DatabaseNotAFile
            ) =>
        {
            Ok(false)
        }
        committed => committed,
    }
}
