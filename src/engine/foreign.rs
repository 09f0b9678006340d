//! What may not be done with the snapshots of another database.

use super::Context;
use super::find::{Found, everything, is_own_plain};
use crate::error::{Result, fail};
use crate::repository::identity::Identity;
use crate::repository::manifest::{Head, Kind};
use crate::repository::survey::{self, Without};

/// Refuses to restore what another database made, unless the caller knows, or the database has no snapshots yet and
/// bears the same name: then it may be the same one on a new host.
pub(crate) fn refuse_restore(context: &Context, found: &Found, is_meant: bool) -> Result<()> {
    if is_meant {
        return Ok(());
    }
    // Its own may be in the bucket alone, as it was last seen: nobody waits for the network here.
    let heads = survey::here_without(&context.repository, Without::Unreadable)?.known_heads();
    let identity = context.identity(&heads)?;
    let other = match found {
        Found::Packed(head) if !is_of_another(&identity, head, &heads, Kind::Snapshot) => return Ok(()),
        Found::Packed(head) => format!("{} (instance {})", head.database_name, identity.maker(head)),
        Found::Plain(plain) if is_own_plain(plain, &identity, &heads) => return Ok(()),
        Found::Plain(_) => "another database that has snapshots here".to_owned(),
        Found::Backup(_) => return Ok(()),
    };
    fail!(
        SnapshotForeign,
        "{} is a snapshot of {other}, not of {}; nothing was changed. Restore it with foreign: true (--foreign) if that \
         is meant: what the database holds is kept, and it stays a database of its own",
        found.name(),
        context.database()?.display()
    );
}

/// As [`refuse_restore`], for a backup in the repository of the backups, which nobody means to take from another one.
pub(crate) fn refuse_backup(backups: &Context, found: &Found) -> Result<()> {
    let Found::Backup(backup) = found else {
        return Ok(());
    };
    let heads = backups.repository.readable_heads()?;
    let identity = backups.identity(&heads)?;
    if is_of_another(&identity, &backup.head, &heads, Kind::Safety) {
        fail!(
            SnapshotForeign,
            "{} is a backup of {} (instance {}), not of {}; nothing was changed. Roll back with that database configured",
            backup.head.name,
            backup.head.database_name,
            identity.maker(&backup.head),
            backups.database()?.display()
        );
    }
    Ok(())
}

/// Whether a snapshot is not for this database. `heads`: those beside it, `kind`: which of them say that the database
/// has a history of its own here.
fn is_of_another(identity: &Identity, head: &Head, heads: &[Head], kind: Kind) -> bool {
    let has_own = || heads.iter().any(|own| own.kind == kind && identity.is_mine(own));
    !identity.may_be_mine(head) && (has_own() || !identity.is_called(&head.database_name))
}

/// Refuses to remove what another database made.
pub(crate) fn refuse_removal(context: &Context, found: &Found) -> Result<()> {
    let (survey, _) = everything(context)?;
    let heads = survey.known_heads();
    let Some(identity) = context.identity_if_any(&heads)? else {
        return Ok(());
    };
    let other = match found {
        Found::Packed(head) if identity.may_remove(head) => return Ok(()),
        Found::Packed(head) => (head.database_name.clone(), identity.maker(head)),
        Found::Plain(plain) if is_own_plain(plain, &identity, &heads) => return Ok(()),
        Found::Plain(_) => ("another database".to_owned(), "a name of its own".to_owned()),
        Found::Backup(_) => return Ok(()),
    };
    refuse(found.name(), &other.0, &other.1)
}

/// As [`refuse_removal`], with the file name and the instance of the other one at hand.
pub(crate) fn refuse(name: &str, database: &str, instance: &str) -> Result<()> {
    fail!(
        SnapshotForeign,
        "{name} is a snapshot of {database}, not of the configured database, so it was not deleted; delete it where that \
         database is configured, or, if it is gone for good, with SNAPSHOT_DATABASE_ID set to {instance}"
    );
}
