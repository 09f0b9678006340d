//! Whose turn it is to make the run of a schedule's tick.

use std::path::Path;

use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Context, create};
use crate::database::connect::open_for_reading;
use crate::error::Result;
use crate::failpoint;
use crate::repository::bucket;
use crate::repository::lineage::{self, Lineage};
use crate::repository::lock::{Lock, Mode, Subject};
use crate::repository::schedule::{Claim, Claims, FILE, Runner};

/// Claims a tick for the process that asks: of all processes and hosts one is told `claimed`.
///
/// When the bucket cannot be asked, this host decides alone: two snapshots do no harm, none does.
pub(crate) fn claim_tick(context: &Context, schedule: String, tick: Timestamp) -> Result<Value> {
    let database = context.database()?;
    create::check_is_a_database_file(&database)?;
    // What is no database makes no repository.
    drop(open_for_reading(&database)?);
    let turn = lock(context, "claimTick")?;
    let mut here = read(context)?;
    let identity = Identity::of(context, &database)?;
    let claim = Claim {
        id: Uuid::new_v4(),
        database: local_name(&database),
        lineage: identity.lineage,
        schedule,
        tick,
        by: Runner::ours(),
        at: create::now(),
        attempt: 1,
        finished: false,
    };
    let cut_off = here.cut_off(&claim);
    if let Some(holder) = here.holder(&claim, cut_off) {
        return Ok(refused(holder));
    }
    let mut there = Claim {
        database: lineage::file_name(&database),
        ..claim.clone()
    };
    let holder = ask_bucket(context, &mut there, cut_off, &identity);
    if identity.is_unknown_here {
        let _lock = context.lock_for_writing("claimTick")?;
        lineage::set(&context.repository, &database, there.lineage)?;
    }
    failpoint::reached("claim.before-note")?;
    // Whoever was faster is noted here too: the other processes of this host need not ask again.
    // Whether that run was cut off is not for this host to find out.
    let entered = holder.clone().unwrap_or_else(|| there.clone());
    here.enter(Claim {
        database: claim.database,
        finished: holder.is_some(),
        ..entered
    });
    context.repository.replace_json_beside(FILE, &here)?;
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
    let database = context.database()?;
    let _turn = lock(context, "finishTick")?;
    let mut here = read(context)?;
    here.finish(&local_name(&database), tick, &Runner::ours());
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

fn ask_bucket(context: &Context, claim: &mut Claim, cut_off: Option<Uuid>, identity: &Identity) -> Option<Claim> {
    let bucket = context.repository.bucket()?;
    let may_adopt = |id| identity.is_new && !lineage::is_taken(&context.repository, id);
    match bucket::schedule::claim(bucket, claim, cut_off, may_adopt) {
        Ok(holder) => holder,
        Err(error) => {
            tracing::warn!(code = error.code.as_str(), reason = %error, "the bucket cannot be asked whether another host makes this run, so this one makes it");
            None
        }
    }
}

/// What is known about the database that a claim is for.
struct Identity {
    lineage: Uuid,
    /// The lineage was made up just now.
    is_new: bool,
    /// This host does not know the path yet.
    is_unknown_here: bool,
}

impl Identity {
    /// As a snapshot would find it; remembers nothing.
    fn of(context: &Context, database: &Path) -> Result<Self> {
        if let Some(lineage) = lineage::known(&context.repository, database)? {
            return Ok(Self {
                lineage,
                is_new: false,
                is_unknown_here: false,
            });
        }
        let mut heads = context.repository.local_heads()?;
        if heads.is_empty() {
            heads = context.repository.heads()?;
        }
        let found = lineage::find(&context.repository, database, &heads)?;
        Ok(Self {
            lineage: match found {
                Lineage::Known(lineage) => lineage,
                Lineage::Unknown { .. } => Uuid::new_v4(),
            },
            is_new: !matches!(found, Lineage::Known(_)),
            is_unknown_here: true,
        })
    }
}

fn read(context: &Context) -> Result<Claims> {
    let place = context.repository.path(FILE);
    match context.repository.read_json(FILE)? {
        Some(json) => Claims::read(json, &place.display().to_string()),
        None => Ok(Claims::default()),
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
