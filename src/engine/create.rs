//! Making a snapshot.

use std::collections::HashSet;
use std::path::Path;

use jiff::Timestamp;
use uuid::Uuid;

use super::capture::{self, Captured, capture_through};
use super::examine::{Facts, examine};
use super::find::everything;
use super::live_image::LiveImage;
use super::trash::Trash;
use super::{Context, Writing, catalog, names, parents, repack, upload};
use crate::config::Check;
use crate::database::connect::open_for_reading;
use crate::database::source::PageSource;
use crate::error::{Code, Error, Result, fail};
use crate::failpoint;
use crate::priority;
use crate::record::Record;
use crate::repository::cache;
use crate::repository::identity::Identity;
use crate::repository::manifest::{self, Description, Head, Kind};
use crate::repository::packed_pages::PackedPages;
use crate::repository::sequence;

/// Makes a snapshot of the configured database.
pub(crate) fn create(context: &Context, name: Option<&str>) -> Result<Record> {
    let database = context.settled_database()?;
    if let Some(name) = name {
        names::validate(name)?;
    }
    check_is_a_database_file(&database)?;
    // Before the lock: what is no database makes no repository.
    drop(open_for_reading(&database)?);
    // The bucket is asked before the lock as well; one that cannot be asked costs no snapshot.
    let elsewhere = Elsewhere::look(context)?;
    let lock = context.lock_for_writing("createSnapshot")?;
    store(context, &database, &database, name, "snapshot", elsewhere, lock)
}

/// Stores what is in the file `source` as a snapshot of `database`, under the lock.
pub(crate) fn store(
    context: &Context,
    source: &Path,
    database: &Path,
    name: Option<&str>,
    prefix: &str,
    elsewhere: Elsewhere,
    lock: Writing,
) -> Result<Record> {
    context.announce_snapshot();
    let heads = context.repository.local_heads()?;
    let created_at = now();
    let is_taken = |name: &str| heads.iter().any(|head| head.name == name) || elsewhere.names.contains(name);
    let name = match name {
        Some(name) => name.to_owned(),
        None => names::generate(prefix, created_at, is_taken),
    };
    if Trash::read(context)?.named(&name).is_some() {
        fail!(
            SnapshotExists,
            "a snapshot named {name} is in the trash; bring it back with undelete, or delete it for good with deleteSnapshot"
        );
    }
    names::check_free(&name, is_taken)?;
    let id = Uuid::new_v4();
    let identity = context.identity(&elsewhere.heads)?;
    let sequence = sequence::next(&context.repository, &elsewhere.heads);
    let made = make(
        context,
        source,
        &identity,
        &heads,
        New {
            id,
            name: name.clone(),
            kind: Kind::Snapshot,
            check: context.config.check,
            sequence,
            created_at,
        },
    );
    match made {
        Ok(head) => {
            count(context, &head);
            let record = catalog::record(context, &head)?;
            // One that was rescued has no table; its row comes with the restore.
            if database.is_file() {
                catalog::add_rows(context, database, &identity, &elsewhere.heads, &record);
            }
            drop(lock);
            let uploaded = match elsewhere.failure {
                Some(error) if !may_still_take(&error) => Err(error),
                _ => upload::upload_pending(context, database, &head),
            };
            let head = repack::after_create(context, &head, uploaded.is_ok());
            uploaded.map_err(|error| upload::failed(&head, error))?;
            catalog::record(context, &head)
        }
        Err(error) => {
            clean_up(context);
            if had_begun(&error) && database.is_file() {
                catalog::add_failed_row(context, database, id, &name, created_at, &error);
            }
            Err(error)
        }
    }
}

/// Whether a bucket that could not be asked for everything it has is worth an upload all the same:
/// it answered, and may only have kept an archived object to itself, or everything from being read.
fn may_still_take(error: &Error) -> bool {
    matches!(error.code, Code::S3AccessDenied | Code::S3Failed)
}

/// From here on the snapshot is there, whatever becomes of its upload.
fn count(context: &Context, head: &Head) {
    let (created_at, size, added) = (head.created_at, head.size(), head.stored_bytes);
    let (image, level) = (head.mark(), context.config.check);
    context.tally.add(move |counters| {
        counters.last_created = Some(created_at);
        counters.last_size = Some(size);
        counters.added_bytes += added;
        if level != Check::None {
            counters.examined(true, image, level);
        }
    });
}

/// What there is besides the local manifests.
pub(crate) struct Elsewhere {
    /// Names in the bucket, and of old plain snapshots.
    names: HashSet<String>,
    /// Heads of every snapshot in reach.
    heads: Vec<Head>,
    /// Why the bucket could not be asked.
    failure: Option<Error>,
}

impl Elsewhere {
    pub(crate) fn look(context: &Context) -> Result<Self> {
        let (mut survey, plain) = everything(context)?;
        let failure = survey.bucket_failure.take();
        let heads = survey.into_heads();
        let names = plain.into_iter().map(|plain| plain.record.name);
        Ok(Self {
            names: names.chain(heads.iter().map(|head| head.name.clone())).collect(),
            heads,
            failure,
        })
    }
}

/// What a new snapshot is to be called.
#[derive(Clone)]
pub(crate) struct New {
    pub(crate) id: Uuid,
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) check: Check,
    pub(crate) sequence: u64,
    pub(crate) created_at: Timestamp,
}

/// Captures, verifies and publishes; the packs of a failed attempt are left to [`clean_up`].
pub(crate) fn make(context: &Context, database: &Path, identity: &Identity, heads: &[Head], new: New) -> Result<Head> {
    let captured = capture::twice(context, database, &parents::of(context, database, identity, heads)?)?;
    let lineage = parents::lineage(context, identity, &captured)?;
    publish(context, database, identity, lineage, captured, new)
}

/// As [`make`], read through a connection that is there already. Returns the version of the data
/// that it saw, which only this connection can compare.
pub(crate) fn make_through(
    context: &Context,
    source: &mut PageSource,
    database: &Path,
    identity: &Identity,
    heads: &[Head],
    new: New,
) -> Result<(Head, i64)> {
    let parents = parents::of(context, database, identity, heads)?;
    let captured = capture_through(context, source, database, parents)?;
    let version = captured.data_version;
    let lineage = parents::lineage(context, identity, &captured)?;
    Ok((publish(context, database, identity, lineage, captured, new)?, version))
}

/// Verifies what was captured and gives it a manifest.
pub(crate) fn publish(
    context: &Context,
    database: &Path,
    identity: &Identity,
    lineage: Uuid,
    captured: Captured,
    new: New,
) -> Result<Head> {
    if new.kind == Kind::Snapshot {
        // No lock is held from here on; a restore goes on to take one.
        priority::lower();
    }
    let repository = &context.repository;
    let Captured {
        recording,
        page_size,
        checksum,
        base,
        ..
    } = &captured;
    let new_packs = &recording.packs[recording.packs.len() - recording.new_packs..];
    let stored_bytes = new_packs.iter().map(|pack| pack.size).sum();

    let packs = PackedPages::open(&**repository.local(), &recording.packs, *page_size)?;
    packs.read_back_last(recording.new_packs)?;
    let core_tables = &context.config.core_tables;
    let known = base
        .as_ref()
        .filter(|base| is_same_image(base, &captured, new.check) && knows_content(base, &new, core_tables));
    captured.check_not_moved(database)?;
    let (check_level, checksum, base) = (new.check, checksum.clone(), known.cloned());
    let Captured {
        recording, page_size, ..
    } = captured;
    // A restore keeps a connection open while it makes its safety snapshot.
    let live = (new.kind != Kind::Safety).then_some(database);
    let mut live = LiveImage::new(live, recording.table, packs, page_size);
    let checksum = match (checksum, &base) {
        (Some(checksum), _) => checksum,
        (None, Some(base)) => base.checksum.clone(),
        (None, None) => live.checksum()?,
    };
    let (table, facts) = match base {
        Some(base) => (
            live.into_table(),
            Facts {
                is_empty: base.is_empty,
                counts: base.core_counts.clone(),
                core_tables: base.core_tables.clone(),
                finding: None,
                unjudged: base.unjudged.clone(),
            },
        ),
        None if !looks_into_content(&new) => (live.into_table(), Facts::default()),
        None => examine(context, live, check_level)?,
    };

    let kind = if facts.finding.is_some() {
        Kind::Forensic
    } else {
        new.kind
    };
    let description = Description {
        id: new.id,
        generation: 1,
        name: if kind == Kind::Forensic {
            format!("forensic_{}", new.id)
        } else {
            new.name
        },
        kind,
        sequence: Some(new.sequence),
        created_at: new.created_at,
        lineage,
        instance: identity.instance.clone(),
        database_name: identity.file_name(),
        page_size,
        checksum,
        is_empty: facts.is_empty,
        core_counts: facts.counts,
        core_tables: facts.core_tables,
        check: check_name(check_level).to_owned(),
        finding: facts.finding.clone(),
        unjudged: facts.unjudged.clone(),
        stored_bytes,
    };
    context.host.check_alive()?;
    if kind == Kind::Snapshot {
        catalog::remember_row(context, new.id)?;
        if context.repository.bucket().is_some() {
            upload::remember(context, new.id)?;
        }
    }
    failpoint::reached("create.before-manifest")?;
    let head = manifest::write(
        &**repository.local(),
        &repository.scratch()?,
        description,
        &table,
        &recording.packs,
    )?;
    failpoint::reached("create.after-manifest")?;
    if let Err(error) = cache::write(repository, &head, &table) {
        tracing::warn!(reason = %error, "the page-hash cache could not be written; the next snapshot reads the packs instead");
    }
    repository.check_stored(&head, &recording.packs)?;
    if !facts.unjudged.is_empty() {
        tracing::warn!(snapshot = %head.name, reason = %facts.unjudged.join("; "), "the snapshot is complete; SQLite found no damage in it, but could not judge everything, or found content that breaks a rule of the schema");
    }
    match facts.finding {
        None => Ok(head),
        Some(finding) => Err(Error::new(
            Code::CheckFailed,
            format!(
                "SQLite finds the database damaged: {finding}. The image is kept as {} for forensics; earlier snapshots are untouched",
                head.name
            ),
        )),
    }
}

/// The image is the newest snapshot's, which was checked at least as well.
fn is_same_image(base: &Head, captured: &Captured, level: Check) -> bool {
    let well_checked = match level {
        Check::None => true,
        Check::Quick => base.check != check_name(Check::None),
        Check::Full => base.check == check_name(Check::Full),
    };
    let same = || Ok::<_, Error>(captured.recording.table.list_hash()? == base.page_list_hash()?);
    well_checked
        && base.finding.is_none()
        && base.page_count == captured.recording.table.pages()
        && same().unwrap_or(false)
}

/// Whether the base says of its content what is to be said of the new snapshot: nobody looked into a safety snapshot,
/// and others may have been made with other core tables.
fn knows_content(base: &Head, new: &New, core_tables: &Vec<String>) -> bool {
    !looks_into_content(new) || base.core_tables.as_ref() == Some(core_tables)
}

/// Nobody bootstraps from a safety snapshot, and that of a restore is made while somebody waits.
fn looks_into_content(new: &New) -> bool {
    new.kind != Kind::Safety || new.check != Check::None
}

const fn check_name(check: Check) -> &'static str {
    match check {
        Check::None => "none",
        Check::Quick => "quick",
        Check::Full => "full",
    }
}

/// Removes what a failed attempt had stored already: packs, and notes about a snapshot that did not come to
/// be. Best effort: what stays is swept by a later call.
pub(crate) fn clean_up(context: &Context) {
    let forgotten = context.repository.forget_notes_of_nothing();
    if let Err(error) = context.repository.remove_unneeded_packs().and(forgotten) {
        tracing::warn!(reason = %error, "what the failed snapshot had stored could not be removed");
    }
}

/// Whether the capture had begun, so that a FAILED row tells the story.
fn had_begun(error: &Error) -> bool {
    !matches!(
        error.code,
        Code::DatabaseNotFound
            | Code::DatabaseNotAFile
            | Code::DatabaseInvalid
            | Code::DatabaseEncrypted
            | Code::DatabaseMoved
            | Code::DatabaseAliased
            | Code::DatabaseTruncated
            | Code::DatabaseReadonly
            | Code::DatabaseBusy
            | Code::DatabaseExclusive
            | Code::Aborted
    )
}

pub(crate) fn check_is_a_database_file(database: &Path) -> Result<()> {
    match database.metadata() {
        Ok(metadata) if metadata.is_file() => Ok(()),
        Ok(_) => fail!(
            DatabaseNotAFile,
            "{} is not a file; set DATABASE_URL to the SQLite file itself",
            database.display()
        ),
        Err(error) => Err(Error::new(
            Code::DatabaseNotFound,
            format!("the database {} does not exist; nothing was stored", database.display()),
        )
        .because(error)),
    }
}

/// Now, in milliseconds: what the table can hold.
pub(crate) fn now() -> Timestamp {
    Timestamp::from_millisecond(Timestamp::now().as_millisecond()).unwrap_or_else(|_| Timestamp::now())
}
