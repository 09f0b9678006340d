//! Filling an empty database from the newest good snapshot.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::Context;
use super::find::{Found, all_plain};
use super::restore::restore_found;
use super::target::Target;
use crate::database::rows;
use crate::error::{Code, Error, Result};
use crate::record::Status;
use crate::repository::lineage::{self, Lineage};
use crate::repository::manifest::{Head, Kind};

/// Whether the configured database is empty; a missing file is.
pub(crate) fn is_database_empty(context: &Context) -> Result<bool> {
    let database = context.database()?;
    is_empty(context, &database)
}

fn is_empty(context: &Context, database: &Path) -> Result<bool> {
    match database.metadata() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(true),
        Ok(metadata) if metadata.is_file() && metadata.len() == 0 => Ok(true),
        // What cannot be read at all is no empty database: nothing is written over it unasked.
        _ => rows::is_empty(database, &context.config.core_tables, context.deadline()),
    }
}

/// Restores the newest snapshot that verifies and is not itself empty, if the database is empty.
pub(crate) fn bootstrap(context: &Context) -> Result<Value> {
    let database = context.database()?;
    if !context.repository.root().is_dir() || !is_empty(context, &database)? {
        return Ok(json!({ "bootstrapped": false }));
    }
    let _lock = context.lock_for_writing("bootstrapDatabase")?;
    // Another process may have been first.
    if !is_empty(context, &database)? {
        return Ok(json!({ "bootstrapped": false }));
    }
    let heads = context.repository.heads()?;
    let candidates = candidates(context, &database, &heads)?;
    let (candidates, foreign) = match candidates {
        Candidates::Own(candidates) => (candidates, Vec::new()),
        Candidates::Foreign(found) => (Vec::new(), found),
    };
    if candidates.is_empty() && !foreign.is_empty() {
        return Ok(json!({
            "bootstrapped": false,
            "error": format!(
                "no snapshot here is certain to be of {}; there are snapshots of: {}. Restore one by its name",
                lineage::file_name(&database), foreign.join(", ")
            ),
        }));
    }
    let mut passed_over: Vec<String> = Vec::new();
    let mut last_error: Option<Error> = None;
    for found in candidates {
        match restore_verified(context, &database, &found) {
            Ok(value) if passed_over.is_empty() => return Ok(value),
            Ok(mut value) => {
                value["passedOver"] = json!(passed_over);
                return Ok(value);
            }
            Err(error) if error.code == Code::SnapshotDamaged => {
                let name = name_of(&found);
                tracing::warn!(snapshot = name, reason = %error, "the newest snapshot is damaged; the one before it is tried");
                passed_over.push(format!("{name}: {error}"));
                last_error = Some(error);
            }
            Err(error) => return Err(error),
        }
    }
    last_error.map_or_else(|| Ok(json!({ "bootstrapped": false })), Err)
}

enum Candidates {
    /// Newest first.
    Own(Vec<Found>),
    /// File names of other databases.
    Foreign(Vec<String>),
}

fn candidates(context: &Context, database: &Path, heads: &[Head]) -> Result<Candidates> {
    let plain = all_plain(context)?
        .into_iter()
        .filter(|plain| plain.record.status != Status::Failed);
    let mut all: Vec<(jiff::Timestamp, Found)> = plain
        .map(|plain| (plain.record.created_at, Found::Plain(Box::new(plain))))
        .collect();
    match lineage::find(&context.repository, database, heads)? {
        Lineage::Known(id) => {
            let own = heads
                .iter()
                .filter(|head| head.lineage == id && head.kind == Kind::Snapshot && !head.is_empty);
            all.extend(own.map(|head| (head.created_at, Found::Packed(Box::new(head.clone())))));
        }
        Lineage::Unknown { found } if all.is_empty() && !found.is_empty() => return Ok(Candidates::Foreign(found)),
        Lineage::Unknown { .. } => {}
    }
    all.sort_by_key(|(created_at, _)| std::cmp::Reverse(*created_at));
    Ok(Candidates::Own(all.into_iter().map(|(_, found)| found).collect()))
}

/// Verifies every hash of the image, then restores it.
fn restore_verified(context: &Context, database: &Path, found: &Found) -> Result<Value> {
    let mut target = Target::open(context, found)?;
    target.read_all(|_| context.host.check_alive())?;
    if let Found::Plain(_) = found
        && super::restore::is_empty_image(context, target)?
    {
        return Err(Error::new(Code::SnapshotDamaged, "the image is empty"));
    }
    let restored = restore_found(context, database, found)?;
    let counts = rows::core_counts(database, &context.config.core_tables, context.deadline())?;
    Ok(json!({
        "bootstrapped": true,
        "snapshot": { "name": restored.record.name, "timestamp": restored.record.created_at, "checksum": restored.record.checksum },
        "counts": named_counts(context, &counts),
    }))
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

fn name_of(found: &Found) -> &str {
    match found {
        Found::Packed(head) => &head.name,
        Found::Plain(plain) => &plain.record.name,
    }
}
