//! What a damaged database can be taken back to.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use uuid::Uuid;

use super::Context;
use super::find::{Found, everything_left_without};
use super::target::{Target, check_restorable};
use super::verify::assemble_image;
use crate::config::Check;
use crate::database::check;
use crate::error::{Code, Error, Result};
use crate::record::Status;
use crate::repository::lineage::{self, Lineage};
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
pub(crate) fn newest_first(main: &Context, own: &Context, database: &Path) -> Result<Candidates> {
    let mut all: Vec<Found> = Vec::new();
    let backups = survey::local_without(&own.repository, Without::Unreadable)?;
    let (survey, plain) = everything_left_without(main, Without::Unreadable)?;
    let damaged = backups.damaged.iter().chain(&survey.damaged);
    let unreadable = damaged
        .map(|(id, error)| format!("manifest {id}: {}", error.story()))
        .collect();
    for head in of_database(own, database, backups.into_heads())? {
        all.push(Found::backup(head, &own.repository));
    }
    for head in of_database(main, database, survey.into_heads())? {
        all.push(Found::Packed(Box::new(head)));
    }
    for plain in plain {
        if plain.record.status != Status::Failed {
            all.push(Found::Plain(Box::new(plain)));
        }
    }
    order::newest_first(&mut all, Found::mark);
    Ok(Candidates { found: all, unreadable })
}

/// Snapshots of the database that hold something. A lost database that was snapshotted empty is
/// no state to go back to.
fn of_database(context: &Context, database: &Path, heads: Vec<Head>) -> Result<Vec<Head>> {
    let Lineage::Known(own) = lineage::find(&context.repository, database, &heads)? else {
        return Ok(Vec::new());
    };
    let is_candidate = |head: &Head| head.lineage == own && head.kind != Kind::Forensic && !head.is_empty;
    Ok(heads.into_iter().filter(is_candidate).collect())
}

/// Why a candidate is no good; `None` when every hash is right and SQLite finds nothing wrong.
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
    let mut image = assemble_image(context, &mut target)?;
    let host = Arc::clone(&context.host);
    check::check(&mut image, Check::Full, Arc::new(move || host.check_alive().is_ok()))
}

/// The newest backup of each database of which every hash is right, an empty one only where no other is
/// good. One of which none is right is not in it.
pub(crate) fn newest_good(own: &Context, heads: &[Head]) -> Result<BTreeMap<Uuid, Uuid>> {
    let mut good = BTreeMap::new();
    let mut best_first: Vec<&Head> = heads.iter().rev().filter(|head| head.kind != Kind::Forensic).collect();
    best_first.sort_by_key(|head| head.is_empty);
    for head in best_first {
        if good.contains_key(&head.lineage) {
            continue;
        }
        let found = Found::backup(head.clone(), &own.repository);
        let read = Target::open(own, &found).and_then(|mut target| target.read_all(|_| own.host.check_alive()));
        match read {
            Ok(()) => {
                good.insert(head.lineage, head.id);
            }
            Err(error) if error.code == Code::SnapshotDamaged => {
                tracing::warn!(backup = %head.name, reason = %error, "a backup is damaged");
            }
            Err(error) => return Err(error),
        }
    }
    Ok(good)
}
