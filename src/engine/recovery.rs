//! Backups before risky operations, in a repository of their own (`RECOVERY_DIR`), and the way back.
//!
//! Rolling back is a restore like any other: the main repository keeps the safety snapshot, the
//! journal and the table. Only the pages come from here. Whoever needs the locks of both
//! repositories takes the main one first.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use uuid::Uuid;

use super::create::{self, New};
use super::find::Found;
use super::good_states::{self, newest_good};
use super::integrity::{Integrity, check_database};
use super::overwrite::Only;
use super::restore::{Restored, restore_found, restore_only, wait_for_those_left_behind};
use super::{Context, canonical, foreign, known_damage, names, post_restore, reset, unfinished};
use crate::config::Config;
use crate::error::{Code, Error, Result, fail};
use crate::repository::manifest::{self, Head, Kind};
use crate::repository::operations::{self, Operation};
use crate::repository::restores::{self, Outcome, Restore};
use crate::repository::sequence;

/// How often a database is judged that changes before it can be taken back.
const JUDGEMENTS: u32 = 3;

/// The main repository, and the one of the backups.
pub(crate) struct Recovery<'a> {
    main: &'a Context,
    own: Context,
}

impl Drop for Recovery<'_> {
    fn drop(&mut self) {
        known_damage::remember_packs(&self.own.repository);
    }
}

impl<'a> Recovery<'a> {
    pub(crate) fn open(main: &'a Context, folder: &Path) -> Result<Self> {
        if canonical(folder) == canonical(main.repository.root()) {
            fail!(
                InvalidArgument,
                "RECOVERY_DIR and SNAPSHOT_DIR are the same folder, {}; backups before operations need one of their own",
                folder.display()
            );
        }
        // They are for mishaps of this host within hours, so they stay on it.
        let config = Config {
            snapshot_dir: folder.to_path_buf(),
            s3: None,
            ..main.config.clone()
        };
        let own = Context::new(config, Arc::clone(&main.host))?;
        Ok(Self { main, own })
    }

    /// Stores what the database holds before the operation, checked like a snapshot.
    pub(crate) fn back_up(&self, operation: &str, metadata: Option<Value>) -> Result<Value> {
        let context = &self.own;
        let database = self.main.settled_database()?;
        create::check_is_a_database_file(&database)?;
        let _lock = context.lock_for_writing("createPreOperationBackup")?;
        let heads = context.repository.local_heads()?;
        let created_at = create::now();
        let prefix = format!("pre_{operation}");
        let name = names::generate(&prefix, created_at, |name| heads.iter().any(|head| head.name == name));
        names::validate(&name)?;
        let new = New {
            id: Uuid::new_v4(),
            name: name.clone(),
            kind: Kind::Safety,
            check: context.config.check,
            sequence: sequence::next(&context.repository, &[]),
            created_at,
        };
        let note = Operation {
            id: new.id,
            name,
            operation: operation.to_owned(),
            metadata,
        };
        // Before the manifest: a backup that is there can say what it is for.
        note.save(&context.repository)?;
        let identity = context.identity(&heads)?;
        match create::make(context, &database, &identity, &heads, new) {
            Ok(head) => Ok(json!({ "backup": describe(context, &head, Some(&note)) })),
            Err(error) => {
                create::clean_up(context);
                Err(error)
            }
        }
    }

    /// Makes the database what it was when the backup of that name was made.
    pub(crate) fn roll_back(&self, name: &str) -> Result<Value> {
        let database = self.main.database()?;
        // Before the lock: a name that is not there makes no repository.
        self.find(name)?;
        wait_for_those_left_behind(self.main, &database)?;
        let lock = self.main.lock_for_writing("rollbackToPreOperationBackup")?;
        let reading = self.own.lock_for_reading("rollbackToPreOperationBackup")?;
        let found = self.find(name)?;
        foreign::refuse_backup(&self.own, &found)?;
        let restored = restore_found(self.main, &database, &found)?;
        // Waiting for the main lock with this one in hand could be waiting for ever.
        drop(reading);
        post_restore::run(self.main, &database, lock, &restored)?;
        Ok(json!({ "snapshot": restored.told(self.main) }))
    }

    /// After a restore that failed: settles it, says what the database holds, and takes it back
    /// to the newest good state only when it is damaged.
    pub(crate) fn recover(&self, name: &str) -> Result<Value> {
        let database = self.main.database()?;
        let lock = self.main.lock_for_writing("recoverFromFailedRestore")?;
        for _ in 0..JUDGEMENTS {
            let integrity = check_database(&self.own, &database)?;
            let Some(damage) = &integrity.damage else {
                return Ok(integrity.with_unjudged(json!({
                    "state": if self.took_place(&database, name)? { "restored" } else { "unchanged" },
                    "problems": integrity.problems(),
                    "snapshot": null,
                    "passedOver": [],
                })));
            };
            tracing::warn!(
                damage,
                "the database is damaged and is taken back to the newest good state"
            );
            if let Some((restored, passed_over)) = self.take_back(&database, &integrity)? {
                post_restore::run(self.main, &database, lock, &restored)?;
                return Ok(json!({
                    "state": "rolledBack",
                    "problems": integrity.problems(),
                    "snapshot": restored.told(self.main),
                    "passedOver": passed_over,
                }));
            }
            tracing::warn!("the database has changed since it was judged, and is judged again");
        }
        fail!(
            WritersTooBusy,
            "{} is written to all the time, so what was found damaged is never what would be overwritten; nothing was \
             changed. Stop what writes to it, and call again",
            database.display()
        )
    }

    /// Restores the newest good state, with the reasons why newer ones were passed over. `None`: the
    /// database is no longer the one that was judged.
    fn take_back(&self, database: &Path, integrity: &Integrity) -> Result<Option<(Restored, Vec<String>)>> {
        let _reading = self.own.lock_for_reading("recoverFromFailedRestore")?;
        let good_states::Candidates { found, unreadable } = good_states::newest_first(self.main, &self.own)?;
        let mut passed_over = Vec::new();
        for candidate in found {
            if let Some(reason) = good_states::fault(self.main, &candidate)? {
                tracing::warn!(
                    snapshot = candidate.name(),
                    reason,
                    "this one is no good; an older one is tried"
                );
                passed_over.push(format!("{}: {reason}", candidate.name()));
                continue;
            }
            let restored = restore_only(self.main, database, &candidate, Only::Judged(integrity.judged))?;
            passed_over.extend(unreadable);
            return Ok(restored.map(|restored| (restored, passed_over)));
        }
        passed_over.extend(unreadable);
        Err(Error::new(
            Code::DatabaseCorrupt,
            format!(
                "the database is damaged ({}), and there is no good backup or snapshot to take it back to; nothing was changed",
                integrity.problems().join("; ")
            ),
        )
        .because(if passed_over.is_empty() {
            "none was made of this database".to_owned()
        } else {
            passed_over.join("; ")
        }))
    }

    /// What SQLite says of the live database.
    pub(crate) fn validate(&self) -> Result<Value> {
        let database = self.main.database()?;
        unfinished::check(self.main, &database)?;
        let integrity = check_database(&self.own, &database)?;
        Ok(integrity.with_unjudged(json!({
            "valid": integrity.problems().is_empty(),
            "damaged": integrity.damage.is_some(),
            "problems": integrity.problems(),
        })))
    }

    /// Empties the database after a backup, which is one of these.
    pub(crate) fn reset(&self) -> Result<Value> {
        let database = self.main.settled_database()?;
        let is_open = |restore: &Restore| restore.outcome == Outcome::Begun && restore.database == database;
        if restores::all(&self.main.repository)?.iter().any(is_open) {
            // Afterwards nothing would tell whether it had taken place.
            drop(self.main.lock_for_writing("emergencyDatabaseReset")?);
        }
        reset::reset(&self.own)
    }

    /// Deletes backups that are older than `max_age`. The newest good one of a database stays, whatever its age.
    pub(crate) fn clean_up(&self, max_age: Duration) -> Result<Value> {
        let context = &self.own;
        if !context.repository.root().is_dir() {
            return Ok(json!({ "deleted": [], "kept": [], "freedBytes": 0 }));
        }
        let _lock = context.lock_for_writing("cleanupOldRecoveryBackups")?;
        let heads = context.repository.local_heads()?;
        let identity = context.identity_if_any(&heads)?;
        let makers = context.makers(&heads)?;
        let newest_good = newest_good(context, &makers, &heads)?;
        let now = create::now();
        // One from the future, by a clock that was wrong, is not old.
        let age = |head: &Head| Duration::try_from(now.duration_since(head.created_at)).unwrap_or_default();
        // Where nothing is good, nothing goes: even a damaged backup may hold what is sought.
        let is_own = |head: &Head| identity.as_ref().is_none_or(|identity| identity.owns(head));
        let good_of = |head: &Head| newest_good.get(&makers.maker(head));
        let may_go = |head: &Head| is_own(head) && good_of(head).is_some_and(|good| *good != head.id);
        let is_old = |head: &&Head| may_go(head) && age(head) > max_age;
        let (old, kept): (Vec<&Head>, Vec<&Head>) = heads.iter().partition(is_old);
        for head in &old {
            context.host.check_alive()?;
            context.repository.remove_manifest(head.id)?;
        }
        context.repository.forget_notes_of_nothing()?;
        let freed = context.repository.remove_unneeded_packs()?;
        Ok(json!({ "deleted": names_of(old), "kept": names_of(kept), "freedBytes": freed }))
    }

    /// The backups, newest first, as items; and how the database got to where it is.
    pub(crate) fn status(&self) -> Result<(Vec<Value>, Value)> {
        let notes = operations::all(&self.own.repository)?;
        let mut heads = self.own.repository.local_heads()?;
        heads.reverse();
        let note = |head: &Head| notes.iter().find(|note| note.id == head.id);
        let backups = heads.iter().map(|head| describe(&self.own, head, note(head))).collect();
        let database = self.main.database()?;
        let last = self.last_restore(&database)?;
        let status = json!({
            "databasePath": database,
            "recoveryDir": self.own.repository.root(),
            "storedBytes": self.own.repository.stored_bytes()?,
            "unfinishedRestore": last.as_ref().is_some_and(|restore| restore.outcome == Outcome::Begun),
            "lastRestore": last.map(|restore| json!({
                "snapshot": restore.snapshot_name,
                "status": match restore.outcome {
                    Outcome::Begun => "IN_PROGRESS",
                    Outcome::Done => "SUCCESS",
                    Outcome::Failed => "FAILED",
                },
                "message": restore.message,
                "at": restore.at,
                "undone": restore.undone,
            })),
        });
        Ok((backups, status))
    }

    fn find(&self, name: &str) -> Result<Found> {
        let repository = &self.own.repository;
        if let Some(head) = repository
            .local_heads()?
            .into_iter()
            .rev()
            .find(|head| head.name == name)
        {
            return Ok(Found::backup(head, repository));
        }
        // A damaged manifest no longer knows its name; the note does.
        let noted = operations::all(repository)?
            .into_iter()
            .rev()
            .find(|note| note.name == name);
        if let Some(note) = noted {
            for object in repository.local().list(&format!("snapshots/{}.", note.id))? {
                manifest::read_head(&**repository.local(), &object.key)?;
            }
        }
        fail!(SnapshotNotFound, "Snapshot not found: {name}")
    }

    /// Whether the newest restore of the database is one of that snapshot that took place although
    /// nobody heard of it. One that was told of is not the one that failed: a restore that is refused
    /// before it begins, or killed there, leaves no trace behind the last one that succeeded.
    fn took_place(&self, database: &Path, name: &str) -> Result<bool> {
        let is_it = |restore: Restore| {
            restore.snapshot_name == name
                && restore.outcome == Outcome::Done
                && !restore.undone
                && restore.is_untold(&self.main.repository)
        };
        Ok(self.last_restore(database)?.is_some_and(is_it))
    }

    /// The newest restore of the database.
    fn last_restore(&self, database: &Path) -> Result<Option<Restore>> {
        let is_it = |restore: &Restore| restore.database == database;
        Ok(restores::all(&self.main.repository)?.into_iter().rev().find(is_it))
    }
}

/// A backup as a listing shows it. The one that a reset makes has no note.
fn describe(context: &Context, head: &Head, note: Option<&Operation>) -> Value {
    json!({
        "id": head.id,
        "name": head.name,
        "type": note.map_or("emergency_reset", |note| note.operation.as_str()),
        "metadata": note.and_then(|note| note.metadata.as_ref()),
        "path": context.repository.local().locate(&head.key()),
        "checksum": head.checksum,
        "size": head.size(),
        "storedSize": head.stored_bytes,
        "createdAt": head.created_at,
        "damaged": head.kind == Kind::Forensic,
    })
}

fn names_of<'a>(heads: impl IntoIterator<Item = &'a Head>) -> Vec<&'a str> {
    heads.into_iter().map(|head| head.name.as_str()).collect()
}
