//! Listing snapshots and the state of the repository.

use serde_json::{Value, json};

use super::Context;
use super::catalog::{self, Journal};
use super::find::{everything, find};
use crate::database::plain_snapshots::{Place, PlainSnapshot};
use crate::error::{Result, fail};
use crate::repository::manifest::{self, Head};
use crate::repository::restores::{self, Outcome};
use crate::repository::survey::Listed;
use crate::repository::tiers::Tier;
use crate::storage::Store;

/// Every snapshot, newest first. Reads heads only and takes no lock: manifests appear and
/// disappear as a whole.
pub(crate) fn list(context: &Context) -> Result<Vec<Value>> {
    let journal = Journal::read(context)?;
    let mut all: Vec<(jiff::Timestamp, Value)> = Vec::new();
    let (survey, plain) = everything(context)?;
    for Listed { head, tiers, .. } in survey.snapshots {
        all.push((head.created_at, packed(context, &head, &tiers, &journal)));
    }
    for plain in plain {
        all.push((plain.record.created_at, plain_info(&plain)));
    }
    all.sort_by_key(|(created_at, _)| std::cmp::Reverse(*created_at));
    Ok(all.into_iter().map(|(_, info)| info).collect())
}

/// One snapshot by its name.
pub(crate) fn get(context: &Context, name: &str) -> Result<Value> {
    let id = find(context, name)?.id();
    match list(context)?.into_iter().find(|info| info["id"] == id.as_str()) {
        Some(info) => Ok(info),
        None => fail!(SnapshotNotFound, "Snapshot not found: {name}"),
    }
}

/// What the bucket holds under the key that the application knows a snapshot by (`s3Key`).
pub(crate) fn head_object(context: &Context, key: &str) -> Result<Value> {
    let bucket = context.repository.require_bucket()?;
    let below = key.strip_prefix(&bucket.locate("")).unwrap_or(key);
    let listed = bucket.list(below)?.into_iter().find(|object| object.key == below);
    let Some(object) = listed else {
        return Ok(json!({ "found": false }));
    };
    let (name, size, checksum) = if manifest::parse_key(below).is_some() {
        let head = manifest::read_head(bucket, below)?;
        (head.name.clone(), head.size(), head.checksum.clone())
    } else {
        let checksum = bucket.sha256(below)?.unwrap_or_default();
        (below.to_owned(), object.size, checksum)
    };
    Ok(json!({
        "found": true,
        "name": name,
        "contentLength": size,
        "lastModified": object.modified,
        "etag": format!("\"{checksum}\""),
        "sha256": checksum,
    }))
}

/// What an operator asks first.
pub(crate) fn status(context: &Context) -> Result<Value> {
    let snapshots = list(context)?;
    let is_snapshot = |info: &&Value| info["kind"] == "snapshot" || info["kind"] == "plain";
    let pending = snapshots.iter().filter(|info| info["status"] == "PENDING").count();
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
        "bucket": context.config.s3.as_ref().map(|s3| &s3.bucket),
        "pendingUploads": pending,
    }))
}

fn packed(context: &Context, head: &Head, tiers: &[Tier], journal: &Journal) -> Value {
    let mut info = json!(catalog::record_with(context, head, journal));
    info["tiers"] = json!(tiers);
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

fn plain_info(plain: &PlainSnapshot) -> Value {
    let mut info = json!(plain.record);
    info["tiers"] = json!([match plain.place {
        Place::File(_) => Tier::Local,
        Place::Object(_) => Tier::S3,
    }]);
    info["kind"] = json!("plain");
    info["storedSize"] = json!(plain.record.size);
    for unknown in ["pageSize", "pageCount", "packs", "isEmpty", "lineage", "databaseName"] {
        info[unknown] = Value::Null;
    }
    info
}
