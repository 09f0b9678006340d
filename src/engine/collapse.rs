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
use super::trash::Trash;
use crate::error::{Result, fail};
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
    /// The newest snapshot with content from before it: what a bootstrap would bring back.
    #[serde(skip)]
    last_good: Option<Uuid>,
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

/// Fails for the last good snapshot before a loss that nobody has acknowledged. Whoever cleans up by age or number
/// would delete it in good faith, and the alarm with it: nothing would be left that tells of the loss.
pub(crate) fn refuse_last_good(context: &Context, id: Uuid) -> Result<()> {
    let survey = context.repository.survey()?;
    if let Some(error) = survey.bucket_failure {
        return Err(error);
    }
    let listed = Trash::read(context)?.take_out(survey.snapshots);
    let heads: Vec<Head> = listed.into_iter().map(|listed| listed.head).collect();
    // By the lineage of the snapshot: whoever cleans up may have another database configured, or none.
    let Some(doomed) = heads.iter().find(|head| head.id == id) else {
        return Ok(());
    };
    let acknowledged: Acknowledged = context.repository.read_json(FILE)?.unwrap_or_default();
    let losses = standing(&contents(&heads, doomed.lineage), acknowledged.get(&doomed.lineage));
    match losses.into_iter().find(|loss| loss.last_good == Some(id)) {
        None => Ok(()),
        Some(Collapse { reason, .. }) => fail!(
            SnapshotLastGood,
            "\"{}\" is the last good snapshot before a loss of content ({reason}), so nothing was deleted; \
             restore it if the loss was an accident; afterwards, or if the loss was meant, acknowledge() lets it go",
            doomed.name
        ),
    }
}

/// Says that the loss is meant: what is stored now is what later snapshots are compared with.
pub(crate) fn acknowledge(context: &Context) -> Result<Value> {
    let _lock = context.lock_for_writing("acknowledge")?;
    let heads = context.repository.survey()?.known_heads();
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

fn newest(contents: &[Content], acknowledged: Option<&Content>) -> Option<Collapse> {
    standing(contents, acknowledged).pop()
}

/// Every collapse that nobody has acknowledged. Compares each snapshot with the one before it; the first one after an
/// acknowledgement with what was acknowledged, for the snapshots of that time may be gone.
fn standing(contents: &[Content], acknowledged: Option<&Content>) -> Vec<Collapse> {
    let is_later = |content: &Content| acknowledged.is_none_or(|known| content.created_at > known.created_at);
    let mut before = acknowledged;
    let mut found = Vec::new();
    for (index, content) in contents.iter().enumerate().filter(|(_, content)| is_later(content)) {
        if let Some(loss) = before.and_then(|before| loss(before, content)) {
            let last_good = contents[..index].iter().rev().find(|earlier| !earlier.is_empty);
            found.push(Collapse {
                id: content.id,
                name: content.name.clone(),
                created_at: content.created_at,
                reason: loss,
                last_good: last_good.map(|content| content.id),
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
