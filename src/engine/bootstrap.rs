//! Filling an empty database from the newest good snapshot.

use std::collections::HashMap;
use std::path::Path;
use std::time::Instant;

use serde_json::{Map, Value, json};

use super::find::{Found, everything_left_without, is_own_plain};
use super::good_states::speaks_against_it;
use super::overwrite::Only;
use super::restore::restore_only;
use super::target::Target;
use super::{Context, create, left_behind, sync, unfinished};
use crate::database::plain_snapshots::PlainSnapshot;
use crate::database::rows;
use crate::error::{Code, Error, Result};
use crate::record::Status;
use crate::repository::identity::Beginning;
use crate::repository::manifest::{Head, Kind};
use crate::repository::order;
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
    left_behind::wait(context, &database, context.deadline())?;
    let _lock = context.lock_for_writing("bootstrapDatabase")?;
    // Another process may have been first.
    if !is_empty(context, &database)? {
        return Ok(json!({ "bootstrapped": false }));
    }
    left_behind::wait(context, &database, Instant::now())?;
    let found = look(context, &database)?;
    let mut passed_over = found.passed_over;
    let apart = apart(&found.candidates);
    if let Some((one, other)) = &apart {
        tracing::warn!(
            one,
            other,
            "hosts that did not see each other both made snapshots; what only one of them has is not in the other's"
        );
    }
    let mut last_error = found.failure;
    for candidate in found.candidates {
        let bad = match read_all(context, &candidate) {
            Ok(()) => match restore(context, &database, &candidate) {
                // Somebody has written meanwhile.
                Ok(None) => return Ok(json!({ "bootstrapped": false })),
                Ok(Some(mut value)) => {
                    if !passed_over.is_empty() {
                        value["passedOver"] = json!(passed_over);
                    }
                    if let Some((one, other)) = apart {
                        value["apart"] = json!([one, other]);
                    }
                    return Ok(value);
                }
                // Else it is about the database, or the disk where it is to be.
                Err(error) if error.code == Code::SnapshotDamaged => error,
                // A file that has come into being meanwhile was left as it is.
                Err(error) if error.code == Code::DatabaseMoved && !is_empty(context, &database)? => {
                    return Ok(json!({ "bootstrapped": false }));
                }
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
    Ok(match found.refusal {
        Some(error) => json!({
            "bootstrapped": false,
            "code": Code::SnapshotNotFound.as_str(),
            "error": error,
        }),
        None => json!({ "bootstrapped": false }),
    })
}

/// The newest two snapshots with one number: hosts that did not see each other gave it, so both have something that
/// the other one lacks.
fn apart(newest_first: &[Found]) -> Option<(String, String)> {
    let mut by_number = HashMap::new();
    newest_first.iter().find_map(|found| {
        let newer = by_number.insert(found.mark().sequence?, found)?;
        Some((newer.name().to_owned(), found.name().to_owned()))
    })
}

/// What there is to bootstrap from.
#[derive(Default)]
struct Look {
    /// Newest first.
    candidates: Vec<Found>,
    /// Why none of the snapshots that there are is taken.
    refusal: Option<String>,
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
    let identity = context.identity(&heads)?;
    let is_candidate =
        |plain: &PlainSnapshot| plain.record.status != Status::Failed && is_own_plain(plain, &identity, &heads);
    let plain = plain.into_iter().filter(is_candidate);
    look.candidates = plain.map(|plain| Found::Plain(Box::new(plain))).collect();
    let of_use = |head: &&Head| head.kind == Kind::Snapshot && !head.is_empty;
    let packed = match identity.beginning(heads.iter().filter(of_use).cloned().collect()) {
        Beginning::Own(heads) => heads,
        Beginning::Fork(heads, instance) => {
            tracing::warn!(
                instance,
                "{} has no snapshots of its own yet; it begins with those of {}, the only ones of that file name, \
                 and goes on as a database of its own. Is it the same one on a new host, give both the same SNAPSHOT_DATABASE_ID",
                database.display(),
                instance
            );
            heads
        }
        Beginning::Several(others) => {
            look.refusal = Some(format!(
                "several databases may be {}: {}. Restore a snapshot by its name, or set SNAPSHOT_DATABASE_ID",
                identity.file_name(),
                others.join(", ")
            ));
            Vec::new()
        }
        Beginning::Nothing(found) if found.is_empty() => Vec::new(),
        Beginning::Nothing(found) => {
            look.refusal = Some(format!(
                "no snapshot here is certain to be of {}; there are snapshots of: {}. Restore one by its name",
                identity.file_name(),
                found.join(", ")
            ));
            Vec::new()
        }
    };
    look.candidates
        .extend(packed.into_iter().map(|head| Found::Packed(Box::new(head))));
    order::newest_first(&mut look.candidates, Found::mark);
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

/// `None`: the database was no longer empty.
fn restore(context: &Context, database: &Path, found: &Found) -> Result<Option<Value>> {
    let Some(restored) = restore_only(context, database, found, Only::Empty)? else {
        return Ok(None);
    };
    // The database is filled: that it cannot be counted just now is no failure of it.
    let counts = rows::core_counts(database, &context.config.core_tables, context.deadline()).unwrap_or_else(|error| {
        tracing::warn!(reason = %error, "the rows of the restored database cannot be counted; the counts are those of the snapshot");
        match found {
            Found::Packed(head) => head.core_counts.clone(),
            Found::Backup(_) | Found::Plain(_) => std::collections::BTreeMap::new(),
        }
    });
    let record = restored.told(context);
    Ok(Some(json!({
        "bootstrapped": true,
        "snapshot": { "name": record.name, "timestamp": record.created_at, "checksum": record.checksum },
        "counts": named_counts(context, &counts),
    })))
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
