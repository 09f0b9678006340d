//! Whose turn it is to make the run of a schedule's tick.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Context, create};
use crate::database::connect::open_for_reading;
use crate::error::{Code, Result};
use crate::failpoint;
use crate::repository::bucket;
use crate::repository::instance::key_of;
use crate::repository::lock::{Lock, Mode, Subject};
use crate::repository::schedule::{Claim, Claims, FILE, Runner};
use crate::storage::io_error;

/// Claims a tick for the process that asks: of all processes and hosts one is told `claimed`.
///
/// The claim is noted here before the bucket is asked, and corrected afterwards: killed in between,
/// this host knows that the claim it finds in the bucket is its own, and makes the run.
///
/// When the bucket cannot be asked, this host decides alone: two snapshots do no harm, none does.
pub(crate) fn claim_tick(context: &Context, schedule: String, tick: Timestamp) -> Result<Value> {
    // Before any wait: a worker whose scheduler is gone has another parent.
    let by = Runner::ours();
    let database = context.database()?;
    create::check_is_a_database_file(&database)?;
    // What is no database makes no repository.
    drop(open_for_reading(&database)?);
    if !context.repository.is_made() {
        // The instance follows from its id.
        drop(context.lock_for_writing("claimTick")?);
    }
    let turn = lock(context, "claimTick")?;
    let mut here = read(context)?;
    let instance = context.identity(&[])?.instance.unwrap_or_default();
    let claim = Claim {
        id: Uuid::new_v4(),
        database: local_name(&database),
        lineage: key_of(&instance),
        schedule,
        tick,
        by,
        at: create::now(),
        attempt: 1,
        finished: false,
    };
    let cut_off = here.cut_off(&claim);
    if let Some(holder) = here.holder(&claim, cut_off) {
        return Ok(refused(holder));
    }
    failpoint::reached("claim.before-note")?;
    context.host.check_alive()?;
    here.enter(claim.clone());
    context.repository.replace_json_beside(FILE, &here)?;
    failpoint::reached("claim.after-note")?;
    // Another host may have another path for it.
    let there = Claim {
        database: instance,
        ..claim.clone()
    };
    let holder = ask_bucket(context, &there, cut_off);
    failpoint::reached("bucket-claim.answered")?;
    if let Some(holder) = &holder {
        // Whoever was faster is noted here too: the other processes of this host need not ask again.
        // Whether that run was cut off is not for this host to find out.
        here.correct(claim.id, |noted| {
            *noted = Claim {
                database: claim.database,
                finished: true,
                ..holder.clone()
            };
        });
        context.repository.replace_json_beside(FILE, &here)?;
    }
    drop(turn);
    Ok(match holder {
        Some(holder) => {
            remember_bucket(context);
            refused(&holder)
        }
        None => json!({ "claimed": true, "by": there.by }),
    })
}

/// Notes that the run of a tick is over: from now on nobody makes it again, even if the process
/// that made it is gone.
pub(crate) fn finish_tick(context: &Context, tick: Timestamp) -> Result<Value> {
    change(context, "finishTick", |here, database| {
        here.finish(database, tick, &Runner::ours());
    })
}

/// Gives a claim back whose run was not begun: the next start on this host makes it.
pub(crate) fn give_back_tick(context: &Context, tick: Timestamp) -> Result<Value> {
    change(context, "giveBackTick", |here, database| {
        here.give_back(database, tick, &Runner::ours());
    })
}

fn change(context: &Context, operation: &str, change: impl FnOnce(&mut Claims, &str)) -> Result<Value> {
    let database = context.database()?;
    let _turn = lock(context, operation)?;
    let mut here = read(context)?;
    change(&mut here, &local_name(&database));
    context.repository.replace_json_beside(FILE, &here)?;
    Ok(json!({}))
}

fn refused(holder: &Claim) -> Value {
    json!({
        "claimed": false,
        "by": holder.by,
        "at": holder.at,
        "tick": holder.tick,
        "finished": holder.finished,
    })
}

/// A host that never makes the run itself sees what the others have stored, for its metrics. Best effort.
fn remember_bucket(context: &Context) {
    if let Err(error) = context.repository.survey() {
        tracing::warn!(code = error.code.as_str(), reason = %error, "the repository could not be looked at; the metrics are as old as the last look");
    }
}

fn ask_bucket(context: &Context, claim: &Claim, cut_off: Option<Uuid>) -> Option<Claim> {
    let bucket = context.repository.bucket()?;
    match bucket::schedule::claim(bucket, claim, cut_off) {
        Ok(holder) => holder,
        Err(error) => {
            tracing::warn!(code = error.code.as_str(), reason = %error, "the bucket cannot be asked whether another host makes this run, so this one makes it");
            None
        }
    }
}

/// The claims of this host. What cannot be understood is set aside, for a run too many does no harm.
fn read(context: &Context) -> Result<Claims> {
    let place = context.repository.path(FILE);
    let bytes = match fs::read(&place) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Claims::default()),
        // Not to be understood either.
        Err(error) if error.kind() == ErrorKind::IsADirectory => Vec::new(),
        Err(error) => return Err(io_error("read", &place, error)),
    };
    match Claims::decode(&bytes, &place.display().to_string()) {
        Err(error) if error.code == Code::RepositoryIo => {
            let aside = context.repository.set_aside(FILE)?;
            tracing::warn!(reason = %error.causes().join(": "), "{FILE} cannot be understood and is kept as {aside}; which runs were made is unknown");
            Ok(Claims::default())
        }
        read => read,
    }
}

fn local_name(database: &Path) -> String {
    database.to_string_lossy().into_owned()
}

fn lock(context: &Context, operation: &str) -> Result<Lock> {
    Lock::acquire(
        context.repository.root(),
        Subject::Schedule,
        Mode::Exclusive,
        operation,
        context.config.lock_timeout(),
    )
}
