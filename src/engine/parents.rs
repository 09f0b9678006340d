//! Which snapshot a database resembles of which nobody knows where it comes from: a copy, a file that was put
//! there, a database that is new.

use std::collections::BTreeMap;

use super::Context;
use super::capture::{Base, open_base};
use crate::database::source::PageSource;
use crate::error::Result;
use crate::repository::hash::page_hash;
use crate::repository::identity::Identity;
use crate::repository::manifest::{Head, Kind};

/// Pages that are compared, evenly spread: a short look, which holds up no writer.
const SAMPLES: u32 = 64;
/// Databases that are looked at, the most recent ones.
const LOOKED_AT: usize = 8;

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
