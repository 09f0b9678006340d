//! The newest snapshot of the configured database.

use std::collections::BTreeSet;

use jiff::Timestamp;
use uuid::Uuid;

use crate::database::plain_snapshots::PlainSnapshot;
use crate::engine::find::{Found, everything, plain_files, plain_objects, retain_own_plain};
use crate::engine::trash::Trash;
use crate::engine::{Context, catalog, collapse};
use crate::error::{Error, Result};
use crate::record::Status;
use crate::repository::identity::Beginning;
use crate::repository::lineage;
use crate::repository::manifest::{Head, Kind};
use crate::repository::order::{self, Mark, Order};
use crate::repository::survey::{self, Survey};
use crate::repository::tiers::Tier;

/// The newest snapshot, whatever its state.
pub(super) enum Newest {
    Good(Found),
    /// It is damaged so badly that nobody can say what it is.
    Damaged(String),
    /// There is none, or none that is certain to be meant.
    None(String),
}

/// What a look at the tiers found.
pub(super) struct Look {
    pub(super) found: Newest,
    /// Of the database that was looked for; `None` when no snapshot tells.
    pub(super) lineage: Option<Uuid>,
    /// Why the bucket was left out.
    pub(super) bucket_failure: Option<Error>,
}

/// Looks for the newest snapshot in the tier that was asked for. A damaged one is not passed over:
/// whoever needs the newest data would not get them.
pub(super) fn find(context: &Context) -> Result<Look> {
    let (survey, plain) = look(context)?;
    let Survey {
        snapshots,
        damaged,
        bucket_failure,
        ..
    } = survey;
    let heads: Vec<Head> = snapshots.into_iter().map(|listed| listed.head).collect();
    let mut plain = plain;
    retain_own_plain(&mut plain, context.identity_if_any(&heads)?.as_ref(), &heads);
    let own = own(context, heads)?;
    let first = own.as_ref().ok().and_then(|heads| heads.first());
    Ok(Look {
        lineage: first.map(|head| head.lineage),
        found: newest(context, own, plain, damaged),
        bucket_failure,
    })
}

/// Whether a drill without a name would take that snapshot. The bucket is asked only if it is the tier that is meant:
/// what is here can be drilled without it.
pub(super) fn is_newest(context: &Context, found: &Found) -> Result<bool> {
    let (survey, plain) = match context.tier {
        None => {
            let (mut survey, mut plain) = (survey::here(&context.repository)?, plain_files(context)?);
            Trash::read(context)?.take_out_of(&mut survey, &mut plain);
            (survey, plain)
        }
        Some(_) => look(context)?,
    };
    let mut plain = plain;
    let heads = survey.known_heads();
    retain_own_plain(&mut plain, context.identity_if_any(&heads)?.as_ref(), &heads);
    let own = own(context, heads)?;
    let newest = newest(context, own, plain, survey.damaged);
    Ok(matches!(newest, Newest::Good(newest) if newest.id() == found.id()))
}

/// What this host knows the configured database by.
pub(super) fn known_lineage(context: &Context) -> Option<Uuid> {
    let database = context.database().ok()?;
    lineage::known(&context.repository, &database).ok().flatten()
}

/// The instance of the configured database.
pub(super) fn own_instance(context: &Context) -> Option<String> {
    context.identity_if_any(&[]).ok().flatten()?.instance
}

/// The newest of one's own snapshots, or why there is none.
fn newest(
    context: &Context,
    own: Result<Vec<Head>, String>,
    plain: Vec<PlainSnapshot>,
    damaged: Vec<(Uuid, Error)>,
) -> Newest {
    let heads = match own {
        Ok(heads) => heads,
        Err(others) => return Newest::None(others),
    };
    let order = Order::of(heads.iter().map(Head::mark));
    let newest = newest_of(heads, plain);
    match damaged_since(context, damaged, &order, newest.as_ref().map(Found::mark)) {
        Some(detail) => Newest::Damaged(detail),
        None => newest.map_or_else(
            || Newest::None("there is no snapshot of this database".to_owned()),
            Newest::Good,
        ),
    }
}

/// The newest snapshot before this one, of the same database, that has content whose loss nobody
/// has acknowledged.
pub(super) fn with_content_before(context: &Context, found: &Found) -> Result<Option<Head>> {
    let (mut survey, _) = look(context)?;
    let bucket_failure = survey.bucket_failure.take();
    let heads = survey.into_heads();
    let makers = context.makers(&heads)?;
    let related = match found {
        Found::Packed(head) => heads
            .into_iter()
            .filter(|other| makers.are_of_one(head, other) && other.kind == Kind::Snapshot)
            .collect(),
        Found::Plain(_) | Found::Backup(_) => own(context, heads)?.unwrap_or_default(),
    };
    let order = Order::of(related.iter().map(Head::mark));
    let has_content_before = |head: &Head| !head.is_empty && order.is_before(head.mark(), found.mark());
    let newest = order::newest(related.into_iter().filter(has_content_before), Head::mark);
    match (newest, bucket_failure) {
        (Some(head), _) => {
            let is_accepted = collapse::is_accepted(context, &makers, &order, &head, found.mark())?;
            Ok(Some(head).filter(|_| !is_accepted))
        }
        // It may be there.
        (None, Some(error)) => Err(error),
        (None, None) => Ok(None),
    }
}

/// Without what is in the trash: no bootstrap would take that.
fn look(context: &Context) -> Result<(Survey, Vec<PlainSnapshot>)> {
    let (repository, trash) = (&context.repository, Trash::read(context)?);
    let (mut survey, mut plain) = match context.tier {
        None => everything(context)?,
        Some(Tier::Local) => (survey::local(repository)?, plain_files(context)?),
        Some(Tier::S3) => (
            survey::bucket(repository, repository.require_bucket()?)?,
            plain_objects(context)?,
        ),
    };
    trash.take_out_of(&mut survey, &mut plain);
    Ok((survey, plain))
}

/// The snapshots of the configured database; without one, those of the only database there is.
fn own(context: &Context, heads: Vec<Head>) -> Result<Result<Vec<Head>, String>> {
    let made: Vec<Head> = heads.into_iter().filter(|head| head.kind == Kind::Snapshot).collect();
    let others = match context.identity_if_any(&made)? {
        Some(identity) => match identity.beginning(made) {
            Beginning::Own(heads) | Beginning::Fork(heads, _) => return Ok(Ok(heads)),
            Beginning::Several(others) | Beginning::Nothing(others) => others,
        },
        None => {
            let makers = context.makers(&made)?;
            let is_of_first = |head: &Head| made.first().is_some_and(|first| makers.are_of_one(first, head));
            if made.iter().all(is_of_first) {
                return Ok(Ok(made));
            }
            let names: BTreeSet<String> = made.iter().map(|head| head.database_name.clone()).collect();
            names.into_iter().collect()
        }
    };
    if others.is_empty() {
        return Ok(Ok(Vec::new()));
    }
    Ok(Err(format!(
        "no snapshot here is certain to be of this database; there are snapshots of: {}. Drill one by its name",
        others.join(", ")
    )))
}

fn newest_of(heads: Vec<Head>, plain: Vec<PlainSnapshot>) -> Option<Found> {
    let packed = heads.into_iter().map(|head| Found::Packed(Box::new(head)));
    let plain = plain.into_iter().filter(|plain| plain.record.status != Status::Failed);
    let plain = plain.map(|plain| Found::Plain(Box::new(plain)));
    // The first of equals is taken: the file of a plain one, and not its copy in the bucket.
    order::newest(packed.chain(plain), Found::mark)
}

/// A manifest that cannot be read, and that is younger than what can: its row says when it was made,
/// else the object's own date does.
fn damaged_since(
    context: &Context,
    damaged: Vec<(Uuid, Error)>,
    order: &Order,
    newest: Option<Mark>,
) -> Option<String> {
    if damaged.is_empty() {
        return None;
    }
    let rows = catalog::rows(context);
    damaged.into_iter().find_map(|(id, error)| {
        let row = rows.iter().find(|row| row.id == id.to_string());
        let born = row.map(|row| row.created_at).or_else(|| published_at(context, id));
        let is_newer = born.zip(newest).is_none_or(|(created_at, newest)| {
            let sequence = None;
            order.is_before(
                newest,
                Mark {
                    sequence,
                    created_at,
                    id,
                },
            )
        });
        let name = row.map_or_else(|| id.to_string(), |row| row.name.clone());
        is_newer.then(|| format!("the newest snapshot, {name}, cannot be read: {}", error.story()))
    })
}

fn published_at(context: &Context, id: Uuid) -> Option<Timestamp> {
    let store = context.reading().ok()?;
    let objects = store.list(&format!("snapshots/{id}.")).ok()?;
    objects.into_iter().map(|object| object.modified).max()
}
