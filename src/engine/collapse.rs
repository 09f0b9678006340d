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
use super::find::{everything_left, mark_of_plain, retain_own_plain};
use crate::database::plain_snapshots::PlainSnapshot;
use crate::error::{Result, fail};
use crate::record::Status;
use crate::repository::clock::is_ahead;
use crate::repository::identity::Identity;
use crate::repository::instance::key_of;
use crate::repository::manifest::{Head, Kind};
use crate::repository::order::{self, Mark, Order};

/// By instance (an older version wrote the lineage), what later snapshots are measured by: the newest one when a loss was acknowledged, or when
/// a prune found none. On this host only: another one asks its own operator.
const FILE: &str = "local/measures.json";

/// The first snapshot after the content was lost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Collapse {
    pub(crate) id: Uuid,
    pub(crate) name: String,
    pub(crate) created_at: Timestamp,
    #[serde(skip)]
    sequence: Option<u64>,
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
    #[serde(default)]
    sequence: Option<u64>,
    is_empty: bool,
    core_counts: BTreeMap<String, u64>,
    size: u64,
}

type Measures = BTreeMap<Uuid, Content>;

/// The newest collapse of the configured database that nobody has acknowledged. `heads`: oldest
/// first, of any lineage. Neither they nor the old plain snapshots are to hold what is in the trash.
pub(crate) fn find(context: &Context, heads: &[Head], plain: &[PlainSnapshot]) -> Result<Option<Collapse>> {
    let Some(identity) = identity_of(context, heads)? else {
        return Ok(None);
    };
    let contents = contents(heads, |head| identity.owns(head));
    let measures = measures(context)?;
    let measure = measure_of(&measures, &identity);
    let after_plain = match measure {
        Some(_) => None,
        None => {
            let mut own = plain.to_vec();
            retain_own_plain(&mut own, Some(&identity), heads);
            empty_after_plain(&contents, &own)
        }
    };
    Ok(match newest(&contents, measure) {
        // Among empty ones, too, one may have lost more than half of its bytes.
        Some(loss) => Some(Collapse {
            last_good: loss.last_good.or(after_plain.and_then(|loss| loss.last_good)),
            ..loss
        }),
        None => after_plain,
    })
}

/// Fails for the last good snapshot before a loss that nobody has acknowledged. Whoever cleans up by age or number
/// would delete it in good faith, and the alarm with it: nothing would be left that tells of the loss.
pub(crate) fn refuse_last_good(context: &Context, id: Uuid) -> Result<()> {
    let (mut survey, plain) = everything_left(context)?;
    if let Some(error) = survey.bucket_failure.take() {
        return Err(error);
    }
    let heads = survey.into_heads();
    let (name, losses) = if let Some(doomed) = heads.iter().find(|head| head.id == id) {
        let measures = measures(context)?;
        let losses = match context
            .identity_if_any(&heads)?
            .filter(|identity| identity.owns(doomed))
        {
            Some(identity) => standing(
                &contents(&heads, |head| identity.owns(head)),
                measure_of(&measures, &identity),
            ),
            // Whoever cleans up may have no database configured.
            None => {
                let makers = context.makers(&heads)?;
                standing(
                    &contents(&heads, |head| makers.are_of_one(doomed, head)),
                    measure_for(&measures, &makers, doomed),
                )
            }
        };
        (&doomed.name, losses)
    } else if let Some(doomed) = plain.iter().find(|plain| plain.note_id() == id) {
        let loss = find(context, &heads, &plain)?;
        (&doomed.record.name, loss.into_iter().collect())
    } else {
        return Ok(());
    };
    match losses.into_iter().find(|loss| loss.last_good == Some(id)) {
        None => Ok(()),
        Some(Collapse { reason, .. }) => fail!(
            SnapshotLastGood,
            "\"{name}\" is the last good snapshot before a loss of content ({reason}), so nothing was deleted; \
             restore it if the loss was an accident; afterwards, or if the loss was meant, acknowledge() lets it go"
        ),
    }
}

/// Says that the loss is meant: what is stored now is what later snapshots are compared with.
pub(crate) fn acknowledge(context: &Context) -> Result<Value> {
    // As status and prune see it, or what they show could not be acknowledged.
    let (survey, plain) = everything_left(context)?;
    let heads = survey.known_heads();
    let _lock = context.lock_for_writing("acknowledge")?;
    let found = find(context, &heads, &plain)?;
    if found.is_some() {
        measure_by_newest(context, &heads)?;
    }
    Ok(json!({ "acknowledged": found }))
}

/// From now on later snapshots are measured by the newest one. Below the lock.
pub(crate) fn measure_by_newest(context: &Context, heads: &[Head]) -> Result<()> {
    let Some(identity) = identity_of(context, heads)? else {
        return Ok(());
    };
    let mut measures = measures(context)?;
    let contents = contents(heads, |head| identity.owns(head));
    let order = Order::of(contents.iter().map(Content::mark));
    let newest = contents.last();
    // The one so far may be newer: it was deleted since.
    let is_newer = |newest: &&Content| {
        let known = measure_of(&measures, &identity);
        known.is_none_or(|known| order.is_before(known.mark(), newest.mark()))
    };
    if let (Some(newest), Some(key)) = (newest.filter(is_newer), identity.key()) {
        measures.insert(key, newest.clone());
        context.repository.replace_json(FILE, &measures)?;
    }
    Ok(())
}

/// Whether the loss of what `before` held had been accepted when a later snapshot was made. A measure that has
/// content itself accepts no loss after it.
pub(crate) fn is_accepted(
    context: &Context,
    makers: &Identity,
    order: &Order,
    before: &Head,
    later: Mark,
) -> Result<bool> {
    let measures = measures(context)?;
    let measure = measure_for(&measures, makers, before);
    Ok(measure.is_some_and(|measure| {
        order.is_before(before.mark(), measure.mark()) && (measure.is_empty || !order.is_before(measure.mark(), later))
    }))
}

/// Those whose place can be believed: without a number and dated in the future, one would be newer than every snapshot.
fn measures(context: &Context) -> Result<Measures> {
    let mut measures: Measures = context.repository.read_note(FILE)?.unwrap_or_default();
    measures.retain(|_, measure| has_place(measure.mark()));
    Ok(measures)
}

/// `None`: no database is configured.
fn identity_of(context: &Context, heads: &[Head]) -> Result<Option<Identity>> {
    match context.config.database_path {
        Some(_) => context.identity(heads).map(Some),
        None => Ok(None),
    }
}

/// The measure of whoever made a snapshot; an older version wrote it under the lineage.
fn measure_for<'a>(measures: &'a Measures, makers: &Identity, head: &Head) -> Option<&'a Content> {
    let by_maker = measures.get(&key_of(&makers.maker(head)));
    by_maker.or_else(|| measures.get(&head.lineage))
}

fn measure_of<'a>(measures: &'a Measures, identity: &Identity) -> Option<&'a Content> {
    let by_instance = identity.key().and_then(|key| measures.get(&key));
    by_instance.or_else(|| measures.get(&identity.lineage?))
}

fn contents(heads: &[Head], is_meant: impl Fn(&Head) -> bool) -> Vec<Content> {
    heads
        .iter()
        .filter(|head| is_meant(head) && head.kind == Kind::Snapshot)
        .filter(|head| has_place(head.mark()))
        .map(|head| Content {
            id: head.id,
            name: head.name.clone(),
            created_at: head.created_at,
            sequence: head.sequence,
            is_empty: head.is_empty,
            core_counts: head.core_counts.clone(),
            size: head.size(),
        })
        .collect()
}

fn newest(contents: &[Content], measure: Option<&Content>) -> Option<Collapse> {
    standing(contents, measure).pop()
}

/// Every collapse that nobody has acknowledged. Compares each snapshot with the one before it; the first one after the
/// measure with that, for the snapshots of its time may be gone.
fn standing(contents: &[Content], measure: Option<&Content>) -> Vec<Collapse> {
    let order = Order::of(contents.iter().chain(measure).map(Content::mark));
    let is_later = |content: &Content| measure.is_none_or(|known| order.is_before(known.mark(), content.mark()));
    let mut before = measure;
    let mut found = Vec::new();
    for (index, content) in contents.iter().enumerate().filter(|(_, content)| is_later(content)) {
        if let Some(loss) = before.and_then(|before| loss(before, content)) {
            let last_good = contents[..index].iter().rev().find(|earlier| !earlier.is_empty);
            found.push(content.collapse(loss, last_good.map(|content| content.id)));
        }
        before = Some(content);
    }
    found
}

/// Nobody has looked into the old plain snapshots. When only empty ones came after them, what they hold
/// may be all that there is.
fn empty_after_plain(contents: &[Content], plain: &[PlainSnapshot]) -> Option<Collapse> {
    let first = contents.first()?;
    let order = Order::of(contents.iter().map(Content::mark));
    let is_older = |plain: &&PlainSnapshot| {
        plain.record.status == Status::Completed && order.is_before(mark_of_plain(plain), first.mark())
    };
    let newest = order::newest(plain.iter().filter(is_older), |plain| mark_of_plain(plain))?;
    contents.iter().all(|content| content.is_empty).then(|| {
        let reason = format!(
            "\"{}\" is empty, as is every snapshot after it, and only old plain ones came before",
            first.name
        );
        first.collapse(reason, Some(newest.note_id()))
    })
}

impl Collapse {
    pub(crate) fn mark(&self) -> Mark {
        Mark {
            sequence: self.sequence,
            created_at: self.created_at,
            id: self.id,
        }
    }
}

/// Whether it can be told what came before it.
fn has_place(mark: Mark) -> bool {
    mark.sequence.is_some() || !is_ahead(mark.created_at, Timestamp::now())
}

impl Content {
    fn mark(&self) -> Mark {
        Mark {
            sequence: self.sequence,
            created_at: self.created_at,
            id: self.id,
        }
    }

    fn collapse(&self, reason: String, last_good: Option<Uuid>) -> Collapse {
        Collapse {
            id: self.id,
            name: self.name.clone(),
            created_at: self.created_at,
            sequence: self.sequence,
            reason,
            last_good,
        }
    }
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
