//! Exchanging the database's file as a whole, for one that cannot be rewritten in place.

use std::path::Path;

use super::overwrite::{Only, check_link};
use super::restore::assemble;
use super::target::Target;
use super::{Context, safety};
use crate::database::offline::Exchange;
use crate::database::one_file;
use crate::database::target::ReplaceReason;
use crate::error::Result;
use crate::failpoint;
use crate::repository::restores::Restore;

/// Replaces a file that cannot be rewritten in place; refused while anybody has it open. Whether it was what `only`
/// says.
pub(super) fn replace(
    context: &Context,
    database: &Path,
    only: Only,
    target: &mut Target,
    entry: &mut Restore,
    reason: ReplaceReason,
) -> Result<bool> {
    let file = assemble(context, database, target, entry)?;
    entry.was_wal = one_file::is_wal(database)?;
    entry.save(&context.repository)?;
    failpoint::reached("restore.before-replace")?;
    let is_readable = reason != ReplaceReason::UnreadableHeader;
    let replaced = Exchange::of_existing(file, database, is_readable, context.deadline())
        .and_then(|planned| exchange_as_it_is_now(context, database, only, planned, entry));
    if !matches!(replaced, Ok(true))
        && entry.was_wal
        && let Err(error) = one_file::return_to_wal(database, context.deadline())
    {
        tracing::warn!(reason = %error, "the database could not be put back into WAL mode");
    }
    if !replaced? {
        if let Some(safety) = entry.safety {
            context.repository.remove_manifest(safety)?;
        }
        return Ok(false);
    }
    let aside: Vec<_> = entry.moved.iter().map(|moved| moved.to.display().to_string()).collect();
    tracing::warn!(reason = ?reason, aside = ?aside, "the database file was replaced; the old files are kept aside");
    Ok(true)
}

/// Somebody may have written since the safety snapshot was made: the image was assembled in between, without a lock.
fn exchange_as_it_is_now(
    context: &Context,
    database: &Path,
    only: Only,
    planned: Exchange,
    entry: &mut Restore,
) -> Result<bool> {
    check_link(context, database)?;
    let Some(lock) = planned.lock() else {
        // Nobody can look into it, so it is no empty database, nor the one that was judged.
        return match only.may_be_unreadable() {
            true => exchange(context, planned, entry).map(|()| true),
            false => Ok(false),
        };
    };
    if matches!(only, Only::Empty) && !lock.is_empty(&context.config.core_tables)? {
        return Ok(false);
    }
    if let Some(before) = entry.safety {
        let safety = safety::complete_alone(context, database, lock, before)?;
        entry.safety = Some(safety.head.id);
        // Page 1 tells of the journal mode, which is another one by now where it was WAL.
        if let Only::Judged(Some(judged)) = only
            && !entry.was_wal
            && safety.table.list_hash()? != judged
        {
            return Ok(false);
        }
    }
    lock.check_not_moved()?;
    exchange(context, planned, entry).map(|()| true)
}

/// Writes down what is moved and published, then does it.
pub(super) fn exchange(context: &Context, planned: Exchange, entry: &mut Restore) -> Result<()> {
    entry.moved = planned.moves().to_vec();
    entry.published = Some(planned.published().clone());
    entry.save(&context.repository)?;
    failpoint::reached("restore.before-exchange")?;
    planned.carry_out()
}
