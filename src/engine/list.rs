//! Listing snapshots.

use serde_json::{Value, json};
use uuid::Uuid;

use super::catalog::{self, Journal};
use super::find::{everything, find, mark_of_plain, tier_of};
use super::pins::Pins;
use super::trash::Trash;
use super::{Context, unfinished};
use crate::database::plain_snapshots::PlainSnapshot;
use crate::error::{Result, fail};
use crate::repository::manifest;
use crate::repository::order::{self, Mark};
use crate::repository::survey::{Listed, Survey};
use crate::repository::tiers::Tier;
use crate::storage::{Object, Store};

/// Every snapshot, newest first; those in the trash on request. Reads heads only and takes no lock:
/// manifests appear and disappear as a whole.
pub(crate) fn list(context: &Context, with_deleted: bool) -> Result<Vec<Value>> {
    if let Ok(database) = context.database()
        && let Err(error) = unfinished::check(context, &database)
    {
        // The snapshots are there all the same, and may be what somebody looks for just now.
        tracing::warn!(code = error.code.as_str(), reason = %error, "the database cannot be asked for its Snapshot table");
    }
    let (survey, plain) = everything(context)?;
    infos(context, &survey, &plain, with_deleted)
}

/// What is told of the snapshots that a look found.
pub(crate) fn infos(
    context: &Context,
    survey: &Survey,
    plain: &[PlainSnapshot],
    with_deleted: bool,
) -> Result<Vec<Value>> {
    let (journal, trash) = (Journal::read(context)?, Trash::read(context)?);
    let pins = match survey.bucket_failure {
        None => Pins::read(context)?,
        Some(_) => Pins::of_this_host(context)?,
    };
    let mut all: Vec<(Mark, Value)> = Vec::new();
    let mut add = |mark: Mark, tiers: &[Tier], is_left: bool, mut info: Value| {
        let id = mark.id;
        info["sequence"] = json!(mark.sequence);
        info["tiers"] = json!(tiers);
        info["pinned"] = json!(pins.contains(id));
        info["deletedAt"] = json!(trash.deleted_at(id).filter(|_| !is_left));
        if is_left || with_deleted {
            all.push((mark, info));
        }
    };
    for listed in &survey.snapshots {
        let left = trash.tiers_left(listed);
        let tiers = if left.is_empty() { &listed.tiers } else { &left };
        let info = packed(context, listed, &journal);
        add(listed.head.mark(), tiers, !left.is_empty(), info);
    }
    for copies in copies(plain) {
        let left: Vec<&PlainSnapshot> = copies.iter().copied().filter(|copy| !trash.holds_plain(copy)).collect();
        let is_left = !left.is_empty();
        let shown = if is_left { left } else { copies };
        let tiers: Vec<Tier> = shown.iter().map(|copy| tier_of(copy)).collect();
        let plain = shown[0];
        add(mark_of_plain(plain), &tiers, is_left, plain_info(plain));
    }
    order::newest_first(&mut all, |(mark, _)| *mark);
    Ok(all.into_iter().map(|(_, info)| info).collect())
}

/// The copies of each old plain snapshot.
fn copies(plain: &[PlainSnapshot]) -> Vec<Vec<&PlainSnapshot>> {
    let mut all: Vec<(Uuid, Vec<&PlainSnapshot>)> = Vec::new();
    for plain in plain {
        let id = plain.note_id();
        match all.iter_mut().find(|(known, _)| *known == id) {
            Some((_, copies)) => copies.push(plain),
            None => all.push((id, vec![plain])),
        }
    }
    all.into_iter().map(|(_, copies)| copies).collect()
}

/// One snapshot by its name.
pub(crate) fn get(context: &Context, name: &str) -> Result<Value> {
    let id = find(context, name)?.id();
    match list(context, false)?.into_iter().find(|info| info["id"] == id.as_str()) {
        Some(info) => Ok(info),
        None => fail!(SnapshotNotFound, "Snapshot not found: {name}"),
    }
}

/// What the bucket holds under the key that the application knows a snapshot by (`s3Key`).
pub(crate) fn head_object(context: &Context, key: &str) -> Result<Value> {
    let bucket = context.repository.require_bucket()?;
    let below = key.strip_prefix(&bucket.locate("")).unwrap_or(key);
    // A snapshot keeps the key that the application knows, whatever its generation is by now.
    let generation = |object: &Object| manifest::parse_key(&object.key).map(|(_, generation)| generation);
    let listed = match manifest::parse_key(below) {
        Some((id, _)) => bucket
            .list(&format!("snapshots/{id}."))?
            .into_iter()
            .max_by_key(generation),
        None => bucket.list(below)?.into_iter().find(|object| object.key == below),
    };
    let Some(object) = listed else {
        return Ok(json!({ "found": false }));
    };
    let (name, size, checksum) = if generation(&object).is_some() {
        let head = manifest::read_head(bucket, &object.key)?;
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

fn packed(context: &Context, listed: &Listed, journal: &Journal) -> Value {
    let head = &listed.head;
    let mut info = json!(catalog::record_of(context, listed, journal));
    info["tiers"] = json!(listed.tiers);
    info["kind"] = json!(head.kind);
    info["pageSize"] = json!(head.page_size);
    info["pageCount"] = json!(head.page_count);
    info["storedSize"] = json!(head.stored_bytes);
    info["packs"] = json!(head.packs());
    info["isEmpty"] = json!(head.is_empty);
    if !head.unjudged.is_empty() {
        info["unjudged"] = json!(head.unjudged);
    }
    info["lineage"] = json!(head.lineage);
    info["instance"] = json!(head.instance);
    info["databaseName"] = json!(head.database_name);
    info
}

fn plain_info(plain: &PlainSnapshot) -> Value {
    let mut info = json!(plain.record);
    info["tiers"] = Value::Null;
    info["kind"] = json!("plain");
    info["storedSize"] = json!(plain.record.size);
    for unknown in [
        "pageSize",
        "pageCount",
        "packs",
        "isEmpty",
        "lineage",
        "instance",
        "databaseName",
    ] {
        info[unknown] = Value::Null;
    }
    info
}
