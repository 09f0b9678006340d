//! Retention: what a policy does not keep goes into the trash, and what has been there for long
//! enough is deleted for real. Then packs of which little is needed are rewritten.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use uuid::Uuid;

use super::pins::Pins;
use super::plan::Plan;
use super::trash::{self, Note, Trash};
use super::{Context, catalog, delete, find, repack, unless_full, upload, warn_if_lost};
use crate::database::plain_snapshots::PlainSnapshot;
use crate::error::{Code, Error, Result, fail};
use crate::failpoint;
use crate::repository::bucket::deletion;
use crate::repository::identity::Identity;
use crate::repository::retention::{Policy, Request};
use crate::repository::tiers::Tier;

/// A snapshot in the trash.
type Due = (Uuid, Note);

/// How often a plan is made anew because the repository changed meanwhile.
const ATTEMPTS: u32 = 5;

/// How a policy is applied.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct How {
    /// Only says what it would do.
    pub(crate) dry_run: bool,
    /// Nothing waits in the trash, so that a full disk has room at once.
    pub(crate) now: bool,
}

/// Applies a policy, or says what it would do.
pub(crate) fn prune(context: &Context, request: &Request, how: How) -> Result<Value> {
    let policy = Policy::new(request)?;
    let mut context = context.clone();
    if how.now {
        context.config.trash_grace_ms = 0;
    }
    let context = &context;
    if context.tier == Some(Tier::S3) {
        context.repository.require_bucket()?;
    }
    let mut outcome = Outcome::default();
    if how.dry_run {
        let plan = make_plan(context, &policy)?;
        let mut trash = Trash::read(context)?;
        plan.removed.iter().for_each(|line| trash.add(line, &plan.identity));
        for tier in &plan.tiers {
            due(context, &plan, &trash, *tier)
                .into_iter()
                .for_each(|due| outcome.add(due));
        }
        return Ok(outcome.tell(plan, how));
    }
    let before = context.repository.stored_bytes()?;
    let plan = in_local_tier(context, &policy, how, &mut outcome)?;
    if plan.tiers.contains(&Tier::S3) {
        match in_bucket(context, &plan, &mut outcome) {
            // The local tier was pruned all the same.
            Err(error) if context.tier.is_none() && error.code != Code::Aborted => outcome.bucket_failure = Some(error),
            other => other?,
        }
    }
    if plan.is_whole {
        remove_rows(context, &plan.identity)?;
    }
    match repack::now(context, context.config.lock_timeout()) {
        Ok(summary) => outcome.repacked = summary,
        Err(error) if error.code == Code::Aborted => return Err(error),
        Err(error) => {
            tracing::warn!(code = error.code.as_str(), reason = %error, "the repository could not be repacked; every snapshot is whole, and a later call tries again");
        }
    }
    outcome.freed_bytes += before.saturating_sub(context.repository.stored_bytes()?);
    Ok(outcome.tell(plan, how))
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
fn in_local_tier(context: &Context, policy: &Policy, how: How, outcome: &mut Outcome) -> Result<Plan> {
    for _ in 0..ATTEMPTS {
        // The bucket is asked before the lock.
        let plan = make_plan(context, policy)?;
        let _lock = context.lock_for_removing("prune")?;
        if !plan.is_up_to_date(context)? {
            continue;
        }
        context.host.check_alive()?;
        unless_full(plan.remember_no_collapse(context))?;
        let trash = throw_away(context, &plan, how)?;
        if plan.tiers.contains(&Tier::Local) {
            sweep_local_tier(context, &plan, &trash, outcome)?;
        }
        return Ok(plan);
    }
    fail!(
        RepositoryBusy,
        "snapshots are made or deleted all the time, so no plan stays true; nothing was pruned: try again"
    )
}

/// Puts what the policy does not keep into the trash. Returns the trash, with what it has no note of because the
/// disk is full: where that is to go now, it goes without.
fn throw_away(context: &Context, plan: &Plan, how: How) -> Result<Trash> {
    let mut put = Vec::new();
    for line in &plan.removed {
        let noted = failpoint::reached("prune.before-note").and_then(|()| trash::put(context, line, &plan.identity));
        match noted {
            Ok(before) => {
                put.push((line.id, before));
                failpoint::reached("prune.after-note")?;
            }
            Err(error) if error.code != Code::RepositoryFull => return Err(error),
            Err(_) if how.now => {}
            Err(error) => {
                for (id, before) in &put {
                    warn_if_lost(trash::take_back(context, *id, before.as_ref()));
                }
                return Err(no_room(error));
            }
        }
    }
    let mut trash = Trash::read(context)?;
    for line in &plan.removed {
        upload::forget(context, line.id)?;
        trash.add(line, &plan.identity);
    }
    Ok(trash)
}

fn no_room(error: Error) -> Error {
    let message = "the disk has no room for the notes of the trash, so nothing was pruned; \
                   prune --now (option now) needs no room, and frees it at once";
    Error::new(Code::RepositoryFull, message).because(error)
}

/// Deletes what is due: manifests, then the packs that nothing needs any more. Then there is room to note it.
fn sweep_local_tier(context: &Context, plan: &Plan, trash: &Trash, outcome: &mut Outcome) -> Result<()> {
    let (plain, packed) = due_by_form(context, plan, trash, Tier::Local);
    for (id, _) in &packed {
        failpoint::reached("prune.before-manifest")?;
        delete::remove_manifest(context, *id)?;
        failpoint::reached("prune.after-manifest")?;
    }
    if !plain.is_empty() {
        for removed in remove_plain(context, &plain, find::plain_files(context)?)? {
            outcome.freed_bytes += removed.record.size;
        }
    }
    failpoint::reached("prune.before-packs")?;
    match packed.is_empty() {
        true => context.repository.remove_unneeded_packs()?,
        false => repack::free_packs(context)?,
    };
    warn_if_lost(plan.remember_no_collapse(context));
    for (id, note) in packed.into_iter().chain(plain) {
        // Without its note the row of what was just deleted would stay.
        warn_if_lost(trash::swept(context, id, &note, Tier::Local));
        outcome.add((id, note));
    }
    Ok(())
}

/// Deletes in the bucket what has been in the trash for long enough, by the protocol that keeps
/// other hosts from harm.
fn in_bucket(context: &Context, plan: &Plan, outcome: &mut Outcome) -> Result<()> {
    let bucket = context.repository.require_bucket()?;
    let (mut plain, mut packed) = due_by_form(context, plan, &Trash::read(context)?, Tier::S3);
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
    let _lock = context.lock_for_removing("prune")?;
    for (id, note) in swept {
        warn_if_lost(trash::swept(context, id, &note, Tier::S3));
        outcome.add((id, note));
    }
    Ok(())
}

/// What is to go from the bucket now that it is our turn: since the plan was made, some of it may
/// have been brought back, or pinned by another host. As [`due_by_form`].
fn still_due(context: &Context, plan: &Plan) -> Result<(Vec<Due>, Vec<Due>)> {
    let mut pins = Pins::read(context)?;
    if let Some(error) = pins.bucket_failure.take() {
        return Err(error);
    }
    let (mut plain, mut packed) = due_by_form(context, plan, &Trash::read(context)?, Tier::S3);
    for due in [&mut plain, &mut packed] {
        due.retain(|(id, _)| !pins.contains(*id));
    }
    Ok((plain, packed))
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
fn due_by_form(context: &Context, plan: &Plan, trash: &Trash, tier: Tier) -> (Vec<Due>, Vec<Due>) {
    let due = due(context, plan, trash, tier).into_iter();
    due.partition(|(_, note)| note.plain.is_some())
}

/// What has been in the trash of a tier for long enough, and what nothing protects by now.
fn due(context: &Context, plan: &Plan, trash: &Trash, tier: Tier) -> Vec<Due> {
    let mut due = trash.due(tier, context.config.trash_grace());
    due.retain(|(id, note)| plan.may_sweep(tier, *id, note));
    due
}

/// Removes the rows of what is left nowhere; also those that an earlier call could not remove. A bucket
/// that cannot be asked may hold any of them.
fn remove_rows(context: &Context, identity: &Identity) -> Result<()> {
    let (survey, plain) = find::everything_left(context)?;
    if survey.bucket_failure.is_some() {
        return Ok(());
    }
    let packed = survey.snapshots.iter().map(|listed| listed.head.id);
    let damaged = survey.damaged.iter().map(|(id, _)| *id);
    let plain = plain.iter().map(PlainSnapshot::note_id);
    let left: BTreeSet<Uuid> = packed.chain(damaged).chain(plain).collect();

    let (trash, database) = (Trash::read(context)?, context.database()?);
    let rows = trash.rows(identity, &left);
    if rows.is_empty() || !database.is_file() || catalog::remove_rows(context, &database, &rows) {
        trash.forget_swept(context, identity)?;
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

    fn tell(self, plan: Plan, how: How) -> Value {
        let failure = self.bucket_failure.or(plan.bucket_failure);
        if let Some(error) = &failure {
            tracing::warn!(code = error.code.as_str(), reason = %error, "the bucket was not pruned");
        }
        let swept: Vec<String> = self.swept.into_iter().map(|(_, note)| note.name).collect();
        json!({
            "dryRun": how.dry_run,
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
