//! Which snapshot a database resembles, so that only the difference is stored: its own newest one, the one that was
//! restored into it, or the closest of others where nobody knows where it comes from (a copy, a file that was put there).

use std::collections::BTreeMap;
use std::path::Path;

use uuid::Uuid;

use super::Context;
use super::capture::{Base, Captured, open_base};
use crate::database::source::PageSource;
use crate::error::Result;
use crate::repository::hash::page_hash;
use crate::repository::identity::Identity;
use crate::repository::manifest::{Head, Kind};
use crate::repository::order::Order;
use crate::repository::restores::{self, Outcome};

/// Pages that are compared, evenly spread: a short look, which holds up no writer.
const SAMPLES: u32 = 64;
/// Databases that are looked at, the most recent ones.
const LOOKED_AT: usize = 8;

/// What the database is compared with.
pub(super) fn of<'a>(
    context: &Context,
    database: &Path,
    identity: &Identity,
    heads: &'a [Head],
) -> Result<Vec<&'a Head>> {
    Ok(match nearest(context, database, identity, heads)? {
        Some(nearest) => vec![nearest],
        None => newest_of_each(heads, identity),
    })
}

/// Where the content comes from, remembered from now on.
pub(super) fn lineage(context: &Context, identity: &Identity, captured: &Captured) -> Result<Uuid> {
    let lineage = match identity.lineage {
        Some(lineage) => lineage,
        None => captured.origin()?.unwrap_or_else(Uuid::new_v4),
    };
    identity.remember(&context.repository, lineage)?;
    Ok(lineage)
}

/// The snapshot that the database most likely still resembles: its newest one, or the one that was restored
/// since. `None`: nobody knows.
fn nearest<'a>(context: &Context, database: &Path, identity: &Identity, heads: &'a [Head]) -> Result<Option<&'a Head>> {
    let newest = heads.iter().rev().find(|head| identity.is_mine(head));
    let order = Order::of(heads.iter().map(Head::mark));
    let restored = restores::all(&context.repository)?
        .into_iter()
        .rev()
        .find(|restore| restore.database == database && restore.outcome == Outcome::Done)
        .filter(|restore| newest.is_none_or(|head| order.is_before(head.mark(), restore.mark())));
    Ok(restored
        .and_then(|restore| heads.iter().find(|head| head.id == restore.snapshot))
        .or(newest))
}

/// The newest snapshot of each database in the local tier. `heads`: oldest first.
pub(super) fn newest_of_each<'a>(heads: &'a [Head], identity: &Identity) -> Vec<&'a Head> {
    let mut newest: BTreeMap<String, &Head> = BTreeMap::new();
    for head in heads.iter().filter(|head| head.kind == Kind::Snapshot) {
        newest.insert(identity.maker(head), head);
    }
    let mut newest: Vec<&Head> = newest.into_values().collect();
    newest.sort_by_key(|head| std::cmp::Reverse((head.created_at, head.id)));
    newest.truncate(LOOKED_AT);
    newest
}

/// The one of which most of the sampled pages are found in the database; `None` where none is.
pub(super) fn closest(context: &Context, source: &mut PageSource, candidates: &[&Head]) -> Result<Option<Base>> {
    if candidates.is_empty() {
        return Ok(None);
    }
    let pages = source.sample(SAMPLES)?;
    let mut best: Option<(usize, Base)> = None;
    for head in candidates {
        let Some(base) = open_base(context, head)? else {
            continue;
        };
        let is_there = |page: u32| page <= base.1.pages();
        let mut same = 0;
        for (page, data) in pages.iter().filter(|(page, _)| is_there(*page)) {
            same += usize::from(base.1.get(*page)?.hash == page_hash(data));
        }
        if same > best.as_ref().map_or(0, |(most, _)| *most) {
            best = Some((same, base));
        }
    }
    Ok(best.map(|(_, base)| base))
}
