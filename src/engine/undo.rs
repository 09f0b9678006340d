//! Taking a restore back: a restore of the safety snapshot that it made.

use super::Context;
use super::find::Found;
use super::restore::{Restored, restore_found, wait_for_those_left_behind};
use crate::error::{Result, fail};
use crate::record::Record;
use crate::repository::restores::{self, Outcome, Restore};

/// Undoes the newest restore of the configured database that was not undone yet.
pub(crate) fn undo(context: &Context) -> Result<Record> {
    let database = context.database()?;
    wait_for_those_left_behind(context, &database)?;
    let _lock = context.lock_for_writing("undoRestore")?;
    let newest = restores::all(&context.repository)?
        .into_iter()
        .rev()
        .find(|restore| restore.database == database && restore.outcome == Outcome::Done && !restore.undone);
    let Some(newest) = newest else {
        fail!(
            UndoUnavailable,
            "no restore of {} is there to undo; nothing was changed",
            database.display()
        );
    };
    if restores::is_followed_by_damage(&context.repository, &newest)? {
        fail!(
            UndoUnavailable,
            "the note of a restore after that of {} is damaged, so the last one is not known; nothing was changed: \
             restore the safety snapshot you want by its name",
            newest.snapshot_name
        );
    }
    undo_entry(context, newest).map(|restored| restored.told(context))
}

/// Undoes one restore, under the lock.
pub(crate) fn undo_entry(context: &Context, mut entry: Restore) -> Result<Restored> {
    let safety = entry.safety.and_then(|id| {
        context
            .repository
            .local_heads()
            .ok()?
            .into_iter()
            .find(|head| head.id == id)
    });
    let Some(safety) = safety else {
        fail!(
            UndoUnavailable,
            "the restore of {} has no safety snapshot (there was no readable database before it, or it was deleted); nothing was changed",
            entry.snapshot_name
        );
    };
    let mut restored = restore_found(context, &entry.database.clone(), &Found::Packed(Box::new(safety)))?;
    entry.undone = true;
    entry.save(&context.repository)?;
    // Undoing is not itself undone by the next call: that would go back and forth.
    restored.entry.undone = true;
    restored.entry.save(&context.repository)?;
    Ok(restored)
}
