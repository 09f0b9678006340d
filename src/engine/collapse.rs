//! A database that lost its content, and goes on being snapshotted.
//!
//! Retention counts snapshots and does not look into them: a database that was emptied at night
//! and snapshotted every six hours would age its good snapshots out. So what came before a
//! collapse is kept until somebody has said that the loss is meant.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use super::Context;
use crate::error::Result;
use crate::repository::lineage::{self, Lineage};
use crate::repository::manifest::{Head, Kind};

/// What was acknowledged, by lineage. On this host only: another one asks its own operator.
const FILE: &str = "local/acknowledged.json";

/// The first snapshot after the content was lost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Collapse {
    pub(crate) id: Uuid,
    pub(crate) name: String,
    pub(crate) created_at: Timestamp,
    /// What is missing, in words, and which snapshot still has it.
    pub(crate) reason: String,
}

/// What a snapshot says about the content of its image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Content {
    id: Uuid,
    name: String,
    created_at: Timestamp,
    is_empty: bool,
    core_counts: BTreeMap<String, u64>,
    size: u64,
}

type Acknowledged = BTreeMap<Uuid, Content>;

/// The newest collapse of the configured database that nobody has acknowledged. `heads`: oldest
/// first, of any lineage.
pub(crate) fn find(context: &Context, heads: &[Head]) -> Result<Option<Collapse>> {
    let Some(lineage) = lineage_of(context, heads)? else {
        return Ok(None);
    };
    let acknowledged: Acknowledged = context.repository.read_json(FILE)?.unwrap_or_default();
    Ok(newest(&contents(heads, lineage), acknowledged.get(&lineage)))
}

/// Says that the loss is meant: what is stored now is what later snapshots are compared with.
pub(crate) fn acknowledge(context: &Context) -> Result<Value> {
    let _lock = context.lock_for_writing("acknowledge")?;
    let heads = context.repository.heads()?;
    let found = find(context, &heads)?;
    if let (Some(_), Some(lineage)) = (&found, lineage_of(context, &heads)?) {
        let mut acknowledged: Acknowledged = context.repository.read_json(FILE)?.unwrap_or_default();
        acknowledged.extend(contents(&heads, lineage).pop().map(|newest| (lineage, newest)));
        context.repository.replace_json(FILE, &acknowledged)?;
    }
    Ok(json!({ "acknowledged": found }))
}

/// When the newest snapshot was made at the time when somebody last said so.
pub(crate) fn acknowledged_until(context: &Context, lineage: Uuid) -> Result<Option<Timestamp>> {
    let acknowledged: Acknowledged = context.repository.read_json(FILE)?.unwrap_or_default();
    Ok(acknowledged.get(&lineage).map(|content| content.created_at))
}

/// `None`: no database is configured, or no snapshot is certain to be of it.
fn lineage_of(context: &Context, heads: &[Head]) -> Result<Option<Uuid>> {
    if context.config.database_path.is_none() {
        return Ok(None);
    }
    Ok(match lineage::find(&context.repository, &context.database()?, heads)? {
        Lineage::Known(id) => Some(id),
        Lineage::Unknown { .. } => None,
    })
}

fn contents(heads: &[Head], lineage: Uuid) -> Vec<Content> {
    heads
        .iter()
        .filter(|head| head.lineage == lineage && head.kind == Kind::Snapshot)
        .map(|head| Content {
            id: head.id,
            name: head.name.clone(),
            created_at: head.created_at,
            is_empty: head.is_empty,
            core_counts: head.core_counts.clone(),
            size: head.size(),
        })
        .collect()
}

/// Compares each snapshot with the one before it; the first one after an acknowledgement with what
/// was acknowledged, for the snapshots of that time may be gone.
fn newest(contents: &[Content], acknowledged: Option<&Content>) -> Option<Collapse> {
    let is_later = |content: &&Content| acknowledged.is_none_or(|known| content.created_at > known.created_at);
    let mut before = acknowledged;
    let mut found = None;
    for content in contents.iter().filter(is_later) {
        if let Some(loss) = before.and_then(|before| loss(before, content)) {
            found = Some(Collapse {
                id: content.id,
                name: content.name.clone(),
                created_at: content.created_at,
                reason: loss,
            });
        }
        before = Some(content);
    }
    found
}

/// What `now` has lost of `before`, in words; `None` when it is no collapse.
fn loss(before: &Content, now: &Content) -> Option<String> {
    let (name, earlier) = (&now.name, &before.name);
    if now.is_empty && !before.is_empty {
        return Some(format!("\"{name}\" is empty, \"{earlier}\" before it was not"));
    }
    let (rows_before, rows_now) = rows_in_both(before, now);
    if rows_now < rows_before.div_ceil(2) {
        return Some(format!(
            "\"{name}\" has {rows_now} rows in the core tables, \"{earlier}\" before it had {rows_before}"
        ));
    }
    if now.size < before.size.div_ceil(2) {
        return Some(format!(
            "\"{name}\" has {} bytes, \"{earlier}\" before it had {}",
            now.size, before.size
        ));
    }
    None
}

/// Rows of the core tables that were counted in both: `coreTables` may have changed in between.
fn rows_in_both(before: &Content, now: &Content) -> (u64, u64) {
    let both = before
        .core_counts
        .iter()
        .filter_map(|(table, rows)| Some((rows, now.core_counts.get(table)?)));
    both.fold((0, 0), |(before, now), (rows_before, rows_now)| {
        (before + rows_before, now + rows_now)
    })
}

#[cfg(test)]
#[path = "collapse_tests.rs"]
mod tests;
