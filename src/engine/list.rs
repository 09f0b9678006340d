//! Listing snapshots and the state of the repository.

use serde_json::{Value, json};

use super::find::{Found, all_plain, find};
use super::{Context, catalog};
use crate::error::Result;
use crate::record::Record;
use crate::repository::manifest::Head;
use crate::repository::restores::{self, Outcome, Restore};

/// Every snapshot, newest first. Reads heads only and takes no lock: manifests appear and
/// disappear as a whole.
pub(crate) fn list(context: &Context) -> Result<Vec<Value>> {
    let restores = restores::all(&context.repository)?;
    let mut all: Vec<(jiff::Timestamp, Value)> = Vec::new();
    for head in context.repository.heads()? {
        all.push((head.created_at, packed(context, &head, &restores)));
    }
    for plain in all_plain(context)? {
        all.push((plain.record.created_at, plain_info(&plain.record)));
    }
    all.sort_by_key(|(created_at, _)| std::cmp::Reverse(*created_at));
    Ok(all.into_iter().map(|(_, info)| info).collect())
}

/// One snapshot by its name.
pub(crate) fn get(context: &Context, name: &str) -> Result<Value> {
    Ok(match find(context, name)? {
        Found::Packed(head) => packed(context, &head, &restores::all(&context.repository)?),
        Found::Plain(plain) => plain_info(&plain.record),
    })
}

/// What an operator asks first.
pub(crate) fn status(context: &Context) -> Result<Value> {
    let snapshots = list(context)?;
    let is_snapshot = |info: &&Value| info["kind"] == "snapshot" || info["kind"] == "plain";
    let unfinished = restores::all(&context.repository)?
        .iter()
        .any(|restore| restore.outcome == Outcome::Begun);
    Ok(json!({
        "databasePath": context.config.database_path,
        "snapshotDir": context.repository.root(),
        "snapshots": snapshots.len(),
        "latest": snapshots.iter().find(is_snapshot),
        "storedBytes": context.repository.stored_bytes()?,
        "unfinishedRestore": unfinished,
    }))
}

fn packed(context: &Context, head: &Head, restores: &[Restore]) -> Value {
    let mut info = json!(catalog::record_with(context, head, restores));
    info["kind"] = json!(head.kind);
    info["pageSize"] = json!(head.page_size);
    info["pageCount"] = json!(head.page_count);
    info["storedSize"] = json!(head.stored_bytes);
    info["packs"] = json!(head.packs());
    info["isEmpty"] = json!(head.is_empty);
    info["lineage"] = json!(head.lineage);
    info["databaseName"] = json!(head.database_name);
    info
}

fn plain_info(record: &Record) -> Value {
    let mut info = json!(record);
    info["kind"] = json!("plain");
    info["storedSize"] = json!(record.size);
    for unknown in ["pageSize", "pageCount", "packs", "isEmpty", "lineage", "databaseName"] {
        info[unknown] = Value::Null;
    }
    info
}
