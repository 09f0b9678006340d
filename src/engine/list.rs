//! Listing snapshots.

use serde_json::{Value, json};

use super::Context;
use super::catalog::{self, Journal};
use super::find::{everything, find};
use crate::database::plain_snapshots::{Place, PlainSnapshot};
use crate::error::{Result, fail};
use crate::repository::manifest::{self, Head};
use crate::repository::survey::{Listed, Survey};
use crate::repository::tiers::Tier;
use crate::storage::Store;

/// Every snapshot, newest first. Reads heads only and takes no lock: manifests appear and
/// disappear as a whole.
pub(crate) fn list(context: &Context) -> Result<Vec<Value>> {
    let journal = Journal::read(context)?;
    let (survey, plain) = everything(context)?;
    Ok(infos(context, &survey, &plain, &journal))
}

/// What is told of the snapshots that a look found, newest first.
pub(crate) fn infos(context: &Context, survey: &Survey, plain: &[PlainSnapshot], journal: &Journal) -> Vec<Value> {
    let mut all: Vec<(jiff::Timestamp, Value)> = Vec::new();
    for Listed { head, tiers } in &survey.snapshots {
        all.push((head.created_at, packed(context, head, tiers, journal)));
    }
    for plain in plain {
        all.push((plain.record.created_at, plain_info(plain)));
    }
    all.sort_by_key(|(created_at, _)| std::cmp::Reverse(*created_at));
    all.into_iter().map(|(_, info)| info).collect()
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
