//! Retention: what a policy does not keep goes into the trash, and what has been there for long
//! enough is deleted for real. Then packs of which little is needed are rewritten.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use uuid::Uuid;

use super::pins::Pins;
use super::plan::Plan;
use super::trash::{self, Note, Trash};
use super::{Context, catalog, delete, find, repack, upload};
use crate::database::plain_snapshots::PlainSnapshot;
use crate::error::{Code, Error, Result, fail};
use crate::failpoint;
use crate::repository::bucket::deletion;
use crate::repository::retention::{Policy, Request};
use crate::repository::tiers::Tier;

/// A snapshot in the trash.
type Due = (Uuid, Note);

/// How often a plan is made anew because the repository changed meanwhile.
const ATTEMPTS: u32 = 5;

/// Applies a policy, or says what it would do.
pub(crate) fn prune(context: &Context, request: &Request, dry_run: bool) -> Result<Value> {
    let policy = Policy::new(request)?;
    if context.tier == Some(Tier::S3) {
        context.repository.require_bucket()?;
    }
    let mut outcome = Outcome::default();
    if dry_run {
        let plan = make_plan(context, &policy)?;
        let mut trash = Trash::read(context)?;
        plan.removed.iter().for_each(|line| trash.add(line, &plan.identity));
        for tier in &plan.tiers {
            due(context, &plan, &trash, *tier)
                .into_iter()
                .for_each(|due| outcome.add(due));
        }
        return Ok(outcome.tell(plan, true));
    }
    let before = context.repository.stored_bytes()?;
    let plan = in_local_tier(context, &policy, &mut outcome)?;
    if plan.tiers.contains(&Tier::S3) {
        match in_bucket(context, &plan, &mut outcome) {
            // The local tier was pruned all the same.
            Err(error) if context.tier.is_none() && error.code != Code::Aborted => outcome.bucket_failure = Some(error),
            other => other?,
        }
    }
    remove_rows(context, &plan)?;
    match repack::now(context, context.config.lock_timeout()) {
        Ok(summary) => outcome.repacked = summary,
        Err(error) if error.code == Code::Aborted => return Err(error),
        Err(error) => {
            tracing::warn!(code = error.code.as_str(), reason = %error, "the repository could not be repacked; every snapshot is whole, and a later call tries again");
        }
    }
    outcome.freed_bytes += before.saturating_sub(context.repository.stored_bytes()?);
    Ok(outcome.tell(plan, false))
}

fn make_plan(context: &Context, policy: &Policy) -> Result<Plan> {
    let mut plan = Plan::make(context, policy)?;
    match plan.bucket_failure.take_if(|_| context.tier == Some(Tier::S3)) {
        Some(error) => Err(error),
        None => Ok(plan),
    }
}

/// What was done.
#[derive(Default)]
struct Outcome {
    /// What was deleted for real.
    swept: Vec<Due>,
    freed_bytes: u64,
    repacked: Option<repack::Summary>,
    bucket_failure: Option<Error>,
}

/// Puts what the policy does not keep into the trash, and empties that of the local tier. Readers
/// hold the lock as well, so nothing goes that somebody reads.
fn in_local_tier(context: &Context, policy: &Policy, outcome: &mut Outcome) -> Result<Plan> {
    for _ in 0..ATTEMPTS {
        // The bucket is asked before the lock.
        let plan = make_plan(context, policy)?;
        let _lock = context.lock_for_writing("prune")?;
        if !plan.is_up_to_date(context)? {
            continue;
        }
        context.host.check_alive()?;
        plan.remember_no_collapse(context)?;
        for line in &plan.removed {
            failpoint::reached("prune.before-note")?;
            trash::put(context, line, &plan.identity)?;
            upload::forget(context, line.id)?;
            failpoint::reached("prune.after-note")?;
        }
        if plan.tiers.contains(&Tier::Local) {
            sweep_local_tier(context, &plan, outcome)?;
        }
        return Ok(plan);
    }
    fail!(
        RepositoryBusy,
        "snapshots are made or deleted all the time, so no plan stays true; nothing was pruned: try again"
    )
}

fn sweep_local_tier(context: &Context, plan: &Plan, outcome: &mut Outcome) -> Result<()> {
    let (plain, packed) = due_by_form(context, plan, Tier::Local)?;
    for (id, note) in packed {
        failpoint::reached("prune.before-manifest")?;
        delete::remove_manifest(context, id)?;
        failpoint::reached("prune.after-manifest")?;
        trash::swept(context, id, Tier::Local)?;
        outcome.add((id, note));
    }
    if !plain.is_empty() {
        for removed in remove_plain(context, &plain, find::plain_files(context)?)? {
            outcome.freed_bytes += removed.record.size;
        }
        forget(context, plain, Tier::Local, outcome)?;
    }
    failpoint::reached("prune.before-packs")?;
    context.repository.remove_unneeded_packs()?;
    Ok(())
}

/// Deletes in the bucket what has been in the trash for long enough, by the protocol that keeps
/// other hosts from harm.
fn in_bucket(context: &Context, plan: &Plan, outcome: &mut Outcome) -> Result<()> {
    let bucket = context.repository.require_bucket()?;
    let (mut plain, mut packed) = due_by_form(context, plan, Tier::S3)?;
    if !packed.is_empty() {
        let (grace, timeout) = (context.config.delete_grace(), context.config.lock_timeout());
        let alive = || context.host.check_alive();
        let lease = deletion::turn(bucket, "prune", timeout, &alive)?;
        (_, packed) = still_due(context, plan)?;
        let ids: Vec<Uuid> = packed.iter().map(|(id, _)| *id).collect();
        deletion::delete_all(&lease, &ids, grace, &alive)?;
        forget_in_turn(context, packed, outcome)?;
    }
    if !plain.is_empty() {
        let _lease = context.bucket_lease("prune")?;
        (plain, _) = still_due(context, plan)?;
        remove_plain(context, &plain, find::plain_objects(context)?)?;
        forget_in_turn(context, plain, outcome)?;
    }
    Ok(())
}

/// Takes what is deleted from the bucket out of the trash. With the lease still held, or somebody could
/// bring back what is gone; not with the lock any earlier, for what came before took trips over the network.
fn forget_in_turn(context: &Context, swept: Vec<Due>, outcome: &mut Outcome) -> Result<()> {
    let _lock = context.lock_for_writing("prune")?;
    forget(context, swept, Tier::S3, outcome)
}

/// What is to go from the bucket now that it is our turn: since the plan was made, some of it may
/// have been brought back, or pinned by another host. As [`due_by_form`].
fn still_due(context: &Context, plan: &Plan) -> Result<(Vec<Due>, Vec<Due>)> {
    let mut pins = Pins::read(context)?;
    if let Some(error) = pins.bucket_failure.take() {
        return Err(error);
    }
    let (mut plain, mut packed) = due_by_form(context, plan, Tier::S3)?;
    for due in [&mut plain, &mut packed] {
        due.retain(|(id, _)| !pins.contains(*id));
    }
    Ok((plain, packed))
}

/// Takes what is deleted for real out of the trash, below the lock.
fn forget(context: &Context, swept: Vec<Due>, tier: Tier, outcome: &mut Outcome) -> Result<()> {
    for (id, note) in swept {
        trash::swept(context, id, tier)?;
        outcome.add((id, note));
    }
    Ok(())
}

/// Removes old plain snapshots from one tier, whose `copies` are given. Returns what was still there.
fn remove_plain(context: &Context, due: &[Due], mut copies: Vec<PlainSnapshot>) -> Result<Vec<PlainSnapshot>> {
    let due: BTreeSet<Uuid> = due.iter().map(|(id, _)| *id).collect();
    copies.retain(|copy| due.contains(&copy.note_id()));
    for copy in &copies {
        delete::remove_plain(context, &copy.place)?;
    }
    Ok(copies)
}

/// Old plain snapshots, and all others.
fn due_by_form(context: &Context, plan: &Plan, tier: Tier) -> Result<(Vec<Due>, Vec<Due>)> {
    let due = due(context, plan, &Trash::read(context)?, tier).into_iter();
    Ok(due.partition(|(_, note)| note.plain.is_some()))
}

/// What has been in the trash of a tier for long enough, and what nothing protects by now.
fn due(context: &Context, plan: &Plan, trash: &Trash, tier: Tier) -> Vec<Due> {
    let mut due = trash.due(tier, context.config.trash_grace());
    due.retain(|(id, note)| plan.may_sweep(tier, *id, note));
    due
}

/// Removes the rows of what is left nowhere; also those that an earlier call could not remove. A bucket
/// that cannot be asked may hold any of them.
fn remove_rows(context: &Context, plan: &Plan) -> Result<()> {
    if !plan.is_whole {
        return Ok(());
    }
    let (survey, plain) = find::everything_left(context)?;
    if survey.bucket_failure.is_some() {
        return Ok(());
    }
    let packed = survey.snapshots.iter().map(|listed| listed.head.id);
    let damaged = survey.damaged.iter().map(|(id, _)| *id);
    let plain = plain.iter().map(PlainSnapshot::note_id);
    let left: BTreeSet<Uuid> = packed.chain(damaged).chain(plain).collect();

    let (trash, database) = (Trash::read(context)?, context.database()?);
    let rows = trash.rows(&plan.identity, &left);
    if rows.is_empty() || !database.is_file() || catalog::remove_rows(context, &database, &rows) {
        trash.forget_swept(context, &plan.identity)?;
    }
    Ok(())
}

impl Outcome {
    fn add(&mut self, due: Due) {
        // What goes in both tiers is one snapshot.
        if !self.swept.iter().any(|(known, _)| *known == due.0) {
            self.swept.push(due);
        }
    }

    fn tell(self, plan: Plan, dry_run: bool) -> Value {
        let failure = self.bucket_failure.or(plan.bucket_failure);
        if let Some(error) = &failure {
            tracing::warn!(code = error.code.as_str(), reason = %error, "the bucket was not pruned");
        }
        let swept: Vec<String> = self.swept.into_iter().map(|(_, note)| note.name).collect();
        json!({
            "dryRun": dry_run,
            "kept": plan.kept,
            "removed": plan.removed,
            "swept": swept,
            "freedBytes": self.freed_bytes,
            "repacked": self.repacked,
            "collapse": plan.collapse,
            "bucketFailure": failure.map(|error| json!({ "code": error.code.as_str(), "message": error.to_string() })),
        })
    }
}
