//! Taking a restore back: a restore of the safety snapshot that it made.

use super::Context;
use super::find::Found;
use super::restore::{Restored, restore_undoing, wait_for_those_left_behind};
use crate::error::{Result, fail};
use crate::record::Record;
use crate::repository::restores::{self, Outcome, Restore, Undoes};

/// Undoes the newest restore of the configured database that was not undone yet.
pub(crate) fn undo(context: &Context) -> Result<Record> {
    let database = context.settled_database()?;
    wait_for_those_left_behind(context, &database)?;
    let _lock = context.lock_for_writing("undoRestore")?;
    let entries = restores::all(&context.repository)?;
    let mut own = entries.into_iter().rev().filter(|restore| restore.database == database);
    let was_cut_off = |restore: &Restore| restore.cut_off && restore.undoes.is_none();
    let newest = own.find(|restore| was_cut_off(restore) || (restore.outcome == Outcome::Done && !restore.undone));
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
    if was_cut_off(&newest) {
        // Going on to the one before it would overwrite what nobody meant.
        fail!(
            UndoUnavailable,
            "the last restore of {} ({}) was cut off before it had taken place, so there is nothing to undo; nothing \
             was changed. To go back further, restore a safety snapshot by its name",
            database.display(),
            newest.snapshot_name
        );
    }
    undo_entry(context, &newest, None).map(|restored| restored.told(context))
}

/// Undoes one restore, under the lock. `because`: it counts as failed from then on.
pub(crate) fn undo_entry(context: &Context, entry: &Restore, because: Option<String>) -> Result<Restored> {
    let heads = context.repository.local_heads()?;
    let safety = heads.into_iter().find(|head| Some(head.id) == entry.safety);
    let Some(safety) = safety else {
        fail!(
            UndoUnavailable,
            "the restore of {} has no safety snapshot (there was no readable database before it, or it was deleted); nothing was changed",
            entry.snapshot_name
        );
    };
    let undoes = Undoes { id: entry.id, because };
    restore_undoing(context, &entry.database, &Found::Packed(Box::new(safety)), undoes)
}
