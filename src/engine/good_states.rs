//! What a damaged database can be taken back to.

use std::collections::BTreeMap;
use std::sync::Arc;

use uuid::Uuid;

use super::Context;
use super::find::{Found, everything_left_without, is_own_plain};
use super::target::{Target, check_restorable};
use super::verify::assemble_image;
use crate::config::Check;
use crate::database::check::{self, Judgement};
use crate::error::{Code, Error, Result};
use crate::record::Status;
use crate::repository::identity::{Beginning, Identity};
use crate::repository::manifest::{Head, Kind};
use crate::repository::order;
use crate::repository::survey::{self, Without};

/// What there may be to take a database back to.
pub(crate) struct Candidates {
    /// Newest first.
    pub(crate) found: Vec<Found>,
    /// Of these nobody knows what they are, nor how old: one sentence each.
    pub(crate) unreadable: Vec<String>,
}

/// Backups in `own`, and snapshots of every kind in `main`, of this database. Safety snapshots too:
/// that of the failed restore is what the database held before it.
pub(crate) fn newest_first(main: &Context, own: &Context) -> Result<Candidates> {
    let mut all: Vec<Found> = Vec::new();
    let backups = survey::local_without(&own.repository, Without::Unreadable)?;
    let (survey, plain) = everything_left_without(main, Without::Unreadable)?;
    let damaged = backups.damaged.iter().chain(&survey.damaged);
    let unreadable = damaged
        .map(|(id, error)| format!("manifest {id}: {}", error.story()))
        .collect();
    for head in of_database(own, backups.into_heads())? {
        all.push(Found::backup(head, &own.repository));
    }
    let main_heads = survey.into_heads();
    let identity = main.identity(&main_heads)?;
    for head in of_database(main, main_heads.clone())? {
        all.push(Found::Packed(Box::new(head)));
    }
    for plain in plain {
        if plain.record.status != Status::Failed && is_own_plain(&plain, &identity, &main_heads) {
            all.push(Found::Plain(Box::new(plain)));
        }
    }
    order::newest_first(&mut all, Found::mark);
    Ok(Candidates { found: all, unreadable })
}

/// Snapshots of the database that hold something. A lost database that was snapshotted empty is
/// no state to go back to.
fn of_database(context: &Context, heads: Vec<Head>) -> Result<Vec<Head>> {
    let identity = context.identity(&heads)?;
    let is_candidate = |head: &Head| head.kind != Kind::Forensic && !head.is_empty;
    Ok(
        match identity.beginning(heads.into_iter().filter(is_candidate).collect()) {
            Beginning::Own(heads) | Beginning::Fork(heads, _) => heads,
            Beginning::Several(_) | Beginning::Nothing(_) => Vec::new(),
        },
    )
}

/// Why a candidate is no good; `None` when every hash is right and SQLite finds no damage.
pub(crate) fn fault(context: &Context, found: &Found) -> Result<Option<String>> {
    // An older state that is at hand is better than a newer one behind a network that is down.
    match integrity(context, found) {
        Err(error) if speaks_against_it(&error) => Ok(Some(error.story())),
        other => other,
    }
}

/// Whether an error that reading a snapshot met leaves hope for an older one. A full disk would meet
/// that too, and nobody waits after an abort.
pub(crate) fn speaks_against_it(error: &Error) -> bool {
    !matches!(error.code, Code::Aborted | Code::RepositoryFull)
}

fn integrity(context: &Context, found: &Found) -> Result<Option<String>> {
    check_restorable(found)?;
    let mut target = Target::open(context, found)?;
    target.read_all(|_| context.host.check_alive())?;
    if target.page_count() == 0 {
        return Ok(None);
    }
    let image = assemble_image(context, &mut target)?;
    let host = Arc::clone(&context.host);
    match check::check(&image, Check::Full, Arc::new(move || host.check_alive().is_ok()))? {
        Judgement::Damaged(finding) => Ok(Some(finding)),
        Judgement::Sound | Judgement::Unjudged(_) => Ok(None),
    }
}

/// The newest backup of each database of which every hash is right, by who made it; an empty one only where no other
/// is good. One of which none is right is not in it.
pub(crate) fn newest_good(own: &Context, identity: &Identity, heads: &[Head]) -> Result<BTreeMap<String, Uuid>> {
    let mut good = BTreeMap::new();
    let mut best_first: Vec<&Head> = heads.iter().rev().filter(|head| head.kind != Kind::Forensic).collect();
    best_first.sort_by_key(|head| head.is_empty);
    for head in best_first {
        if good.contains_key(&identity.maker(head)) {
            continue;
        }
        let found = Found::backup(head.clone(), &own.repository);
        let read = Target::open(own, &found).and_then(|mut target| target.read_all(|_| own.host.check_alive()));
        match read {
            Ok(()) => {
                good.insert(identity.maker(head), head.id);
            }
            Err(error) if error.code == Code::SnapshotDamaged => {
                tracing::warn!(backup = %head.name, reason = %error, "a backup is damaged");
            }
            Err(error) => return Err(error),
        }
    }
    Ok(good)
}
