//! Finishing what a killed process left half-done.

use super::capture::identity;
use super::restore::assembled_prefix;
use super::{Context, catalog};
use crate::database::offline;
use crate::database::source::schema_cookie;
use crate::database::target::COOKIE_STEP;
use crate::error::Result;
use crate::repository::lineage;
use crate::repository::restores::{self, Outcome, Restore};

/// Settles every restore that was cut off: a SQLite transaction has either committed or not, so
/// only the journal and the table have to catch up. Call it under the exclusive lock.
pub(crate) fn finish(context: &Context) -> Result<()> {
    for mut restore in restores::all(&context.repository)? {
        if restore.outcome == Outcome::Done && !restore.mirrored {
            mirror_or_warn(context, &mut restore)?;
        }
        if restore.outcome != Outcome::Begun {
            continue;
        }
        tidy_files(&restore)?;
        let took_place = took_place(context, &restore);
        tracing::warn!(snapshot = %restore.snapshot_name, took_place, "a restore was cut off");
        restore.outcome = if took_place { Outcome::Done } else { Outcome::Failed };
        restore.message = Some(if took_place {
            "the process ended after the restore had committed".to_owned()
        } else {
            "the process ended before the restore committed; the database was not changed".to_owned()
        });
        restore.save(&context.repository)?;
        mirror_or_warn(context, &mut restore)?;
    }
    Ok(())
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

/// A new file has another identity; a restore in place raises the schema cookie by a large step,
/// the application's own changes of its schema by one each.
fn took_place(context: &Context, restore: &Restore) -> bool {
    let now = identity(&restore.database);
    if now != restore.identity_before {
        return now.is_some();
    }
    let cookie = schema_cookie(&restore.database, context.deadline()).ok();
    let raised = cookie
        .zip(restore.cookie_before)
        .map(|(now, before)| now.wrapping_sub(before));
    raised.is_some_and(|raised| raised >= COOKIE_STEP)
}

/// Puts the files beside and under the database's name in order: a set that was moved aside
/// while nothing took its place goes back, what was being assembled goes.
fn tidy_files(restore: &Restore) -> Result<()> {
    if restore.identity_before.is_some() {
        for file in offline::put_back(&restore.database)? {
            tracing::warn!(file = %file.display(), "a file that a cut-off restore had moved aside was put back");
        }
    }
    offline::remove_assembled(&restore.database, &assembled_prefix(restore))
}
