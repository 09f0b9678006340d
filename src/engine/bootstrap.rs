//! Filling an empty database from the newest good snapshot.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::find::{Found, everything_left_without};
use super::good_states::speaks_against_it;
use super::restore::restore_found;
use super::target::Target;
use super::{Context, create, sync, unfinished};
use crate::database::rows;
use crate::error::{Code, Error, Result};
use crate::record::Status;
use crate::repository::lineage::{self, Lineage};
use crate::repository::manifest::{Head, Kind};
use crate::repository::survey::{Survey, Without};

/// Whether the configured database is empty; a missing file is.
pub(crate) fn is_database_empty(context: &Context) -> Result<bool> {
    let database = context.database()?;
    is_empty(context, &database)
}

fn is_empty(context: &Context, database: &Path) -> Result<bool> {
    unfinished::check(context, database)?;
    match database.metadata() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(true),
        Ok(metadata) if metadata.is_file() && metadata.len() == 0 => Ok(true),
        // What cannot be read at all is no empty database: nothing is written over it unasked.
        _ => rows::is_empty(database, &context.config.core_tables, context.deadline()),
    }
}

/// Restores the newest snapshot that verifies and is not itself empty, if the database is empty.
pub(crate) fn bootstrap(context: &Context) -> Result<Value> {
    let database = context.settled_database()?;
    let nothing = !context.repository.root().is_dir() && context.repository.bucket().is_none();
    if nothing || !is_empty(context, &database)? {
        return Ok(json!({ "bootstrapped": false }));
    }
    let _lock = context.lock_for_writing("bootstrapDatabase")?;
    // Another process may have been first.
    if !is_empty(context, &database)? {
        return Ok(json!({ "bootstrapped": false }));
    }
    let found = look(context, &database)?;
    let mut passed_over = found.passed_over;
    let mut last_error = found.failure;
    for candidate in found.candidates {
        let bad = match read_all(context, &candidate) {
            Ok(()) => match restore(context, &database, &candidate) {
                Ok(mut value) => {
                    if !passed_over.is_empty() {
                        value["passedOver"] = json!(passed_over);
                    }
                    return Ok(value);
                }
                // Else it is about the database, or the disk where it is to be.
                Err(error) if error.code == Code::SnapshotDamaged => error,
                Err(error) => return Err(error),
            },
            Err(error) if speaks_against_it(&error) && !is_of_the_network(&error) => error,
            Err(error) => return Err(error),
        };
        let name = candidate.name();
        tracing::warn!(snapshot = name, reason = %bad, "the newest snapshot cannot be used; the one before it is tried");
        passed_over.push(format!("{name}: {bad}"));
        last_error = Some(bad);
    }
    if let Some(error) = last_error {
        return Err(error);
    }
    if !found.foreign.is_empty() {
        return Ok(json!({
            "bootstrapped": false,
            "code": Code::SnapshotNotFound.as_str(),
            "error": format!(
                "no snapshot here is certain to be of {}; there are snapshots of: {}. Restore one by its name",
                lineage::file_name(&database), found.foreign.join(", ")
            ),
        }));
    }
    Ok(json!({ "bootstrapped": false }))
}

/// What there is to bootstrap from.
#[derive(Default)]
struct Look {
    /// Newest first.
    candidates: Vec<Found>,
    /// File names of other databases.
    foreign: Vec<String>,
    /// What could not be considered, and why.
    passed_over: Vec<String>,
    failure: Option<Error>,
}

fn look(context: &Context, database: &Path) -> Result<Look> {
    let (survey, plain) = everything_left_without(context, Without::Unreadable)?;
    let Survey {
        snapshots,
        damaged,
        bucket_failure,
        ..
    } = survey;
    let mut look = Look::default();
    for (id, error) in damaged {
        if matches!(error.code, Code::S3Unreachable | Code::S3Failed) {
            // It may be the newest one.
            return Err(error);
        }
        look.passed_over.push(format!("manifest {id}: {error}"));
        look.failure = Some(error);
    }
    if let Some(error) = bucket_failure {
        look.passed_over
            .push(format!("the bucket ({}): {error}", error.code.as_str()));
        look.failure = Some(error);
    }
    let heads: Vec<Head> = snapshots.into_iter().map(|listed| listed.head).collect();
    let plain = plain.into_iter().filter(|plain| plain.record.status != Status::Failed);
    let mut all: Vec<(jiff::Timestamp, Found)> = plain
        .map(|plain| (plain.record.created_at, Found::Plain(Box::new(plain))))
        .collect();
    match lineage::find(&context.repository, database, &heads)? {
        Lineage::Known(id) => {
            let is_own = |head: &Head| head.lineage == id && head.kind == Kind::Snapshot && !head.is_empty;
            let own = heads.into_iter().filter(is_own);
            all.extend(own.map(|head| (head.created_at, Found::Packed(Box::new(head)))));
        }
        Lineage::Unknown { found } => look.foreign = found,
    }
    all.sort_by_key(|(created_at, _)| std::cmp::Reverse(*created_at));
    look.candidates = all.into_iter().map(|(_, found)| found).collect();
    Ok(look)
}

/// A network that is down comes back; an older state that was put into the database would stay.
fn is_of_the_network(error: &Error) -> bool {
    error.code.as_str().starts_with("S3_")
}

/// Verifies every hash of the image.
fn read_all(context: &Context, found: &Found) -> Result<()> {
    bring_near(context, found)?;
    let mut target = Target::open(context, found)?;
    target.read_all(|_| context.host.check_alive())?;
    if let Found::Plain(_) = found
        && super::restore::is_empty_image(context, target)?
    {
        return Err(Error::new(Code::SnapshotDamaged, "the image is empty"));
    }
    Ok(())
}

fn restore(context: &Context, database: &Path, found: &Found) -> Result<Value> {
    let restored = restore_found(context, database, found)?;
    // The database is filled: that it cannot be counted just now is no failure of it.
    let counts = rows::core_counts(database, &context.config.core_tables, context.deadline()).unwrap_or_else(|error| {
        tracing::warn!(reason = %error, "the rows of the restored database cannot be counted; the counts are those of the snapshot");
        match found {
            Found::Packed(head) => head.core_counts.clone(),
            Found::Backup(_) | Found::Plain(_) => std::collections::BTreeMap::new(),
        }
    });
    let record = restored.told(context);
    Ok(json!({
        "bootstrapped": true,
        "snapshot": { "name": record.name, "timestamp": record.created_at, "checksum": record.checksum },
        "counts": named_counts(context, &counts),
    }))
}

/// Copies a snapshot that only the bucket has into the local tier, verified: it is read once
/// instead of twice, and the next snapshot is an increment of it. Where the disk has no room for
/// that, it is restored straight from the bucket.
fn bring_near(context: &Context, found: &Found) -> Result<()> {
    let (Found::Packed(head), Some(bucket)) = (found, context.repository.bucket()) else {
        return Ok(());
    };
    if context.repository.path(&head.key()).exists() {
        return Ok(());
    }
    match sync::download(context, bucket, head.id, head.generation) {
        Err(error) if error.code == Code::RepositoryFull => {
            tracing::warn!(snapshot = %head.name, reason = %error, "no room for a local copy; the snapshot is restored straight from the bucket");
            create::clean_up(context);
            Ok(())
        }
        other => other.map(drop),
    }
}

/// The contract's names for the first three core tables.
fn named_counts(context: &Context, counts: &std::collections::BTreeMap<String, u64>) -> Value {
    let names = ["realities", "paths", "fields"];
    let count = |table: &String| json!(counts.get(table).copied().unwrap_or(0));
    let named: Map<String, Value> = names
        .iter()
        .zip(&context.config.core_tables)
        .map(|(name, table)| ((*name).to_owned(), count(table)))
        .collect();
    Value::Object(named)
}
