//! Deleting a snapshot and the packs that nothing else needs.

use std::path::Path;

use serde_json::{Value, json};
use uuid::Uuid;

use super::find::{Found, damaged_manifest, everything, find, plain_files};
use super::trash::Trash;
use super::{Context, catalog, collapse, foreign, gone_rows, pins, repack, trash, unless_full, upload, warn_if_lost};
use crate::database::plain_snapshots::{Place, PlainSnapshot, is_plain_name};
use crate::error::{Code, Result, fail};
use crate::failpoint;
use crate::repository::bucket::deletion;
use crate::repository::manifest::{self, Kind};
use crate::storage::{Store, io_error, sync_folder};

/// What is to be deleted.
enum Doomed {
    Packed(Uuid, InBucket),
    Plain(Box<PlainSnapshot>),
}

/// Whether the bucket may hold the snapshot as well.
#[derive(PartialEq, Eq)]
enum InBucket {
    Never,
    Perhaps,
}

/// Deletes a snapshot in every tier, then its row.
pub(crate) fn delete(context: &Context, name: &str) -> Result<Value> {
    let doomed = match find(context, name) {
        Ok(found) => {
            foreign::refuse_removal(context, &found)?;
            Doomed::of(found)
        }
        Err(error) if error.code == Code::SnapshotNotFound => in_trash(context, name)?.ok_or(error)?,
        // Its manifest can no longer be read, but it can still be deleted.
        Err(error) if error.code == Code::SnapshotDamaged => {
            let key = damaged_manifest(context, name).unwrap_or_default();
            let Some((id, _)) = manifest::parse_key(&key) else {
                fail!(SnapshotNotFound, "Snapshot not found: {name}");
            };
            Doomed::Packed(id, InBucket::Perhaps)
        }
        Err(error) => return Err(error),
    };
    let (id, freed) = remove(context, &doomed)?;
    if let Ok(database) = context.database()
        && database.is_file()
    {
        remove_row(context, &database, id);
    }
    Ok(json!({ "name": name, "freedBytes": freed }))
}

/// Removes its row. One that cannot be removed now, because the database is locked or on the same full disk, is
/// noted, and a later call removes it.
fn remove_row(context: &Context, database: &Path, id: String) {
    if !catalog::remove_rows(context, database, std::slice::from_ref(&id)) {
        let lock = context.lock_for_removing("deleteSnapshot");
        warn_if_lost(lock.and_then(|_lock| gone_rows::remember(context, database, &id)));
    }
}

/// Deletes the snapshot that the application knows by this key (`s3Key`) and leaves its row to the
/// application. A snapshot that is gone already is no error, as in S3.
pub(crate) fn delete_object(context: &Context, key: &str) -> Result<Value> {
    let bucket = context.repository.require_bucket()?;
    let prefix = bucket.locate("");
    let below = key.strip_prefix(&prefix).unwrap_or(key);
    let local = context.repository.local().locate("");
    let below = below
        .strip_prefix(&local)
        .map_or(below, |rest| rest.trim_start_matches('/'));
    if let Some((id, _)) = manifest::parse_key(below) {
        let (survey, _) = everything(context)?;
        if let Some(head) = survey.known_heads().into_iter().find(|head| head.id == id) {
            foreign::refuse_removal(context, &Found::Packed(Box::new(head)))?;
        }
        remove(context, &Doomed::Packed(id, InBucket::Perhaps))?;
        return Ok(json!({}));
    }
    let file_name = below.rsplit('/').next().unwrap_or(below);
    let (_, plain) = everything(context)?;
    let same =
        |plain: &PlainSnapshot| plain.record.s3_key == key || plain.record.s3_key.ends_with(&format!("/{file_name}"));
    match plain.into_iter().find(same) {
        Some(plain) => {
            let found = Found::Plain(Box::new(plain));
            foreign::refuse_removal(context, &found)?;
            remove(context, &Doomed::of(found)).map(|_| json!({}))
        }
        None if is_plain_name(file_name) => Ok(json!({})),
        None => fail!(
            InvalidArgument,
            "{key} is not the s3Key of a snapshot; nothing was deleted: use an S3 client of your own for other objects"
        ),
    }
}

/// What the trash holds of that name.
fn in_trash(context: &Context, name: &str) -> Result<Option<Doomed>> {
    let trash = Trash::read(context)?;
    let Some((id, note)) = trash.named(name) else {
        return Ok(None);
    };
    if let Some(identity) = context.identity_if_any(&everything(context)?.0.known_heads())?
        && !note.is_of(&identity)
    {
        foreign::refuse(name, "another database", note.instance().unwrap_or("its name"))?;
    }
    if note.plain.is_none() {
        return Ok(Some(Doomed::Packed(id, InBucket::Perhaps)));
    }
    let mut plain = everything(context)?.1.into_iter();
    let found = plain.find(|plain| plain.note_id() == id);
    Ok(found.map(|plain| Doomed::Plain(Box::new(plain))))
}

impl Doomed {
    fn of(found: Found) -> Self {
        match found {
            Found::Packed(head) if head.kind == Kind::Snapshot => Self::Packed(head.id, InBucket::Perhaps),
            Found::Packed(head) => Self::Packed(head.id, InBucket::Never),
            Found::Backup(backup) => Self::Packed(backup.head.id, InBucket::Never),
            Found::Plain(plain) => Self::Plain(plain),
        }
    }
}

/// Removes a snapshot from the bucket, then from the local tier. Returns its id and the bytes that
/// were freed locally.
fn remove(context: &Context, doomed: &Doomed) -> Result<(String, u64)> {
    context.host.check_alive()?;
    match doomed {
        Doomed::Packed(id, in_bucket) => {
            pins::refuse_pinned(context, *id, *in_bucket == InBucket::Perhaps)?;
            // Safety snapshots and their like, which never are in the bucket, are no last good ones.
            if *in_bucket == InBucket::Perhaps {
                collapse::refuse_last_good(context, *id)?;
            }
            if let Some(bucket) = context.repository.bucket()
                && *in_bucket == InBucket::Perhaps
            {
                // Without a lock of ours: it takes trips over the network, and others may go on.
                let alive = || context.host.check_alive();
                let (grace, timeout) = (context.config.delete_grace(), context.config.lock_timeout());
                let lease = deletion::turn(bucket, "deleteSnapshot", timeout, &alive)?;
                // It may have been pinned while we waited.
                pins::refuse_pinned(context, *id, true)?;
                deletion::delete_all(&lease, &[*id], grace, &alive)?;
            }
            Ok((id.to_string(), remove_locally(context, *id)?))
        }
        Doomed::Plain(plain) => {
            let copy = in_bucket(context, plain);
            let _lease = match &copy {
                Some(_) => context.bucket_lease("deleteSnapshot")?,
                None => None,
            };
            pins::refuse_pinned(context, plain.note_id(), copy.is_some())?;
            collapse::refuse_last_good(context, plain.note_id())?;
            if let Some(copy) = &copy {
                remove_plain(context, copy)?;
            }
            let _lock = context.lock_for_removing("deleteSnapshot")?;
            pins::refuse_pinned(context, plain.note_id(), false)?;
            failpoint::reached("delete.before-manifest")?;
            // In the trash there may be a file of what was found in the bucket.
            let files = plain_files(context)?.into_iter();
            for copy in files.filter(|copy| copy.note_id() == plain.note_id()) {
                remove_plain(context, &copy.place)?;
            }
            trash::forget(context, plain.note_id())?;
            Ok((plain.record.id.clone(), plain.record.size))
        }
    }
}

fn remove_locally(context: &Context, id: Uuid) -> Result<u64> {
    if !context.repository.root().is_dir() {
        return Ok(0);
    }
    let _lock = context.lock_for_removing("deleteSnapshot")?;
    pins::refuse_pinned(context, id, false)?;
    failpoint::reached("delete.before-manifest")?;
    remove_manifest(context, id)?;
    trash::forget(context, id)?;
    let freed = repack::free_packs(context)?;
    failpoint::reached("delete.after-packs")?;
    Ok(freed)
}

/// Removes what names a snapshot in the local tier, below the lock: a pack without a manifest is
/// only garbage, the reverse is damage.
pub(crate) fn remove_manifest(context: &Context, id: Uuid) -> Result<()> {
    // Without room the note follows when the packs are gone.
    unless_full(repack::note_deletion(context))?;
    context.repository.remove_manifest(id)?;
    upload::forget(context, id)
}

/// Where the bucket has an old plain snapshot, or may have its copy: that would only take its place in the list.
fn in_bucket(context: &Context, plain: &PlainSnapshot) -> Option<Place> {
    context.repository.bucket()?;
    match &plain.place {
        Place::Object(key) => Some(Place::Object(key.clone())),
        Place::File(path) => {
            let file_name = path.file_name()?.to_str()?;
            is_plain_name(file_name).then(|| Place::Object(file_name.to_owned()))
        }
    }
}

/// Removes one copy of an old plain snapshot; a file below the lock.
pub(crate) fn remove_plain(context: &Context, place: &Place) -> Result<()> {
    match place {
        Place::File(path) => {
            context.repository.check_held()?;
            std::fs::remove_file(path).map_err(|error| io_error("delete", path, error))?;
            sync_folder(context.repository.root())
        }
        Place::Object(key) => context.repository.require_bucket()?.remove(key),
    }
}
