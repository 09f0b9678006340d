//! Snapshots of the module before this one: whole SQLite files `snapshot_<timestamp>.db` beside
//! the repository's own folders.
//!
//! Only names, sizes and dates are looked at here; nothing is opened, for one of the files may be
//! somebody's open database.

use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::Offset;
use sha2::{Digest, Sha256};
use uuid::{Builder, Uuid};

use super::catalog_mirror::LARGEST_INT;
use crate::error::{Code, Error, Result};
use crate::record::{Record, Status};
use crate::storage::Object;

/// An old snapshot.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PlainSnapshot {
    /// The catalog's row when it has one. Made from the file otherwise; then `checksum` is empty,
    /// because nobody has read the file yet.
    pub(crate) record: Record,
    pub(crate) place: Place,
}

/// Where an old snapshot is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Place {
    File(PathBuf),
    /// By its key in the bucket's store.
    Object(String),
}

impl PlainSnapshot {
    /// Follows from the name of its file alone: its row, whose id may be another one, comes and goes.
    pub(crate) fn note_id(&self) -> Uuid {
        let path = match &self.place {
            Place::File(path) => path.to_string_lossy(),
            Place::Object(key) => key.into(),
        };
        uuid_of(path.rsplit('/').next().unwrap_or_default())
    }
}

/// The old snapshots directly in `folder`, oldest first: what has such a name, and every other
/// `.db` file that a row says is one.
pub(crate) fn list(folder: &Path, rows: &[Record]) -> Result<Vec<PlainSnapshot>> {
    let unreadable = |error: io::Error| {
        Error::new(
            Code::RepositoryIo,
            format!("cannot list the folder {}", folder.display()),
        )
        .because(error)
    };
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(unreadable(error)),
    };
    let mut snapshots = Vec::new();
    for entry in entries {
        let path = entry.map_err(unreadable)?.path();
        match fs::metadata(&path) {
            Ok(metadata) if metadata.is_file() => snapshots.extend(snapshot_at(path, &metadata, rows)),
            // Folders; and files that went while we looked: retention runs in other processes.
            _ => {}
        }
    }
    snapshots.sort_by(|a, b| (a.record.created_at, &a.record.s3_key).cmp(&(b.record.created_at, &b.record.s3_key)));
    Ok(snapshots)
}

/// The old snapshots among the objects of a bucket, oldest first. `locate` gives the whole key.
pub(crate) fn list_objects(objects: &[Object], locate: impl Fn(&str) -> String, rows: &[Record]) -> Vec<PlainSnapshot> {
    let plain = objects.iter().filter(|object| is_plain_name(&object.key));
    let mut snapshots: Vec<PlainSnapshot> = plain
        .filter_map(|object| {
            let key = locate(&object.key);
            let record = match row_for(&key, &object.key, rows) {
                Some(row) => with_exact_size(row.clone(), object.size),
                None => describe(&key, object.size, object.modified)?,
            };
            Some(PlainSnapshot {
                record,
                place: Place::Object(object.key.clone()),
            })
        })
        .collect();
    snapshots.sort_by_key(|plain| (plain.record.created_at, plain.record.s3_key.clone()));
    snapshots
}

/// Whether a row's key is that of an old snapshot in a bucket.
pub(crate) fn is_plain_key(key: &str) -> bool {
    !Path::new(key).is_absolute() && key.rsplit('/').next().is_some_and(is_plain_name)
}

/// Whether a file name or the last part of a key is that of an old snapshot.
pub(crate) fn is_plain_name(file_name: &str) -> bool {
    stem(file_name).is_some_and(|stem| stem.strip_prefix("snapshot_").is_some_and(|rest| !rest.is_empty()))
}

fn snapshot_at(path: PathBuf, metadata: &Metadata, rows: &[Record]) -> Option<PlainSnapshot> {
    // Keys are text in the table, so a path that is none cannot be told of.
    let key = path.to_str()?;
    let file_name = path.file_name()?.to_str()?;
    stem(file_name)?;
    let record = match row_for(key, file_name, rows) {
        Some(row) => with_exact_size(row.clone(), metadata.len()),
        None if is_plain_name(file_name) => {
            let modified = metadata.modified().ok().and_then(|time| Timestamp::try_from(time).ok());
            describe(key, metadata.len(), modified.unwrap_or(Timestamp::UNIX_EPOCH))?
        }
        None => return None,
    };
    Some(PlainSnapshot {
        record,
        place: Place::File(path),
    })
}

/// The record of an old snapshot that no row tells of, from what a listing says about it. `key` is
/// its absolute path or its key in the bucket, from which the id follows: it is the same in every
/// process and after every restore.
pub(crate) fn describe(key: &str, size: u64, modified: Timestamp) -> Option<Record> {
    let name = stem(key.rsplit(['/', '\\']).next()?)?;
    let modified = Timestamp::from_millisecond(modified.as_millisecond()).ok()?;
    let created_at = name
        .strip_prefix("snapshot_")
        .and_then(time_in_name)
        .unwrap_or(modified);
    Some(Record {
        id: id_of(key),
        name: name.to_owned(),
        s3_key: key.to_owned(),
        checksum: String::new(),
        size,
        status: Status::Completed,
        restore_status: None,
        restore_message: None,
        last_restored_at: None,
        created_at,
        updated_at: modified,
        schema_version: 1,
    })
}

fn stem(file_name: &str) -> Option<&str> {
    file_name.strip_suffix(".db").filter(|stem| !stem.is_empty())
}

/// The row that names this path; else one that names the same file some other way (a relative
/// path, the repository before it was moved, the key of its copy in the bucket).
fn row_for<'a>(key: &str, file_name: &str, rows: &'a [Record]) -> Option<&'a Record> {
    let last_part = |row: &&Record| row.s3_key.rsplit(['/', '\\']).next() == Some(file_name);
    rows.iter()
        .find(|row| row.s3_key == key)
        .or_else(|| rows.iter().filter(last_part).max_by_key(|row| row.created_at))
}

/// A row's size may have been cut to what every client can read; any other one is to be believed,
/// because a file that differs from it is damaged.
fn with_exact_size(row: Record, file_size: u64) -> Record {
    let size = if row.size == LARGEST_INT {
        row.size.max(file_size)
    } else {
        row.size
    };
    Record { size, ..row }
}

/// The hash of the key in the shape of the random ids that all other snapshots have.
fn id_of(key: &str) -> String {
    uuid_of(key).to_string()
}

fn uuid_of(text: &str) -> Uuid {
    let hash = Sha256::digest(text.as_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash[..16]);
    Builder::from_random_bytes(bytes).into_uuid()
}

/// `2026-01-02T03-04-05-678Z` (an ISO time with `:` and `.` replaced) or milliseconds. Better than
/// the file's date, which a copy changes.
fn time_in_name(text: &str) -> Option<Timestamp> {
    if text.len() == 13 && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Timestamp::from_millisecond(text.parse().ok()?).ok();
    }
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let [hour, minute, second, millis]: [&str; 4] = time.split('-').collect::<Vec<_>>().try_into().ok()?;
    let time: DateTime = format!("{date}T{hour}:{minute}:{second}.{millis}").parse().ok()?;
    Offset::UTC.to_timestamp(time).ok()
}

#[cfg(test)]
#[path = "plain_snapshots_tests.rs"]
mod tests;
