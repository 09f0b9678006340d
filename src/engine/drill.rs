//! Restore drills: whether what is stored would bring the database back, tried out.
//!
//! The snapshot is assembled as a restore does it, into a file without a name in the scratch
//! folder; the checks run on that copy. The file goes with the process, however that ends.

mod checks;
mod content;
mod newest;

use std::fs::File;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use super::find::{Found, find};
use super::target::{Target, check_restorable};
use super::{Context, create, export};
use crate::database::assertions::{self, Assertion};
use crate::database::image::FileImage;
use crate::error::{Code, Error, Result, fail};
use crate::failpoint;
use crate::finding::{Check, Outcome};
use crate::repository::drills::{self, Drill, Subject};
use crate::repository::lock::Lock;
use crate::repository::survey;
use crate::repository::tiers::Tier;
use crate::storage::{free_bytes, io_error};
use newest::Newest;

/// The check that stands for the snapshot as such.
const IMAGE: &str = "image";
const BUCKET: &str = "bucket";
/// Left to others on the disk of the scratch folder.
const SPARE_BYTES: u64 = 64 << 20;

/// What to drill, and what must hold in the restored data.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Request {
    /// `None`: the newest snapshot.
    name: Option<String>,
    assertions: Option<Value>,
    /// A JSON file with more of them.
    assertions_file: Option<PathBuf>,
    /// Share by which the rows of a table may differ from the live database's.
    max_drift: f64,
    assertion_timeout_ms: u64,
}

/// Drills one snapshot. Damage is an outcome, and so is a drill that cannot be done; only bad
/// arguments are errors.
pub(crate) fn drill(context: &Context, request: &Request) -> Result<Drill> {
    let assertions = request.assertions()?;
    assertions::refuse_bad(&assertions)?;
    let mut drill = Drill {
        id: Uuid::new_v4(),
        outcome: Outcome::Inconclusive,
        reason: None,
        snapshot: None,
        tier: context.tier,
        lineage: newest::known_lineage(context),
        instance: newest::own_instance(context),
        newest: request.name.is_none(),
        rto_ms: None,
        rpo_ms: None,
        checks: Vec::new(),
        at: create::now(),
    };
    match conduct(context, request, &assertions, &mut drill) {
        Ok(()) => {}
        Err(error) if error.code == Code::SnapshotDamaged => drill.checks.push(Check::failed(IMAGE, error.story())),
        Err(error) if stops_the_caller(error.code) => return Err(error),
        Err(error) => drill.checks.push(Check::inconclusive(IMAGE, told(&error))),
    }
    conclude(&mut drill);
    remember(context, &drill);
    Ok(drill)
}

/// Every drill that is remembered, newest first.
pub(crate) fn drills(context: &Context) -> Result<Vec<Drill>> {
    drills::all(&context.repository)
}

impl Request {
    fn assertions(&self) -> Result<Vec<Assertion>> {
        let mut all = self
            .assertions
            .as_ref()
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default();
        if let Some(path) = &self.assertions_file {
            let unreadable = |error: Box<dyn std::error::Error + Send + Sync>| {
                let message = format!("the assertions in {} cannot be read", path.display());
                Error::new(Code::InvalidArgument, message).because(error)
            };
            let text = std::fs::read(path).map_err(|error| unreadable(error.into()))?;
            match serde_json::from_slice(&text).map_err(|error| unreadable(error.into()))? {
                Value::Array(list) => all.extend(list),
                _ => fail!(
                    InvalidArgument,
                    "{} must hold an array of {{ name, sql, equals | min | max }}",
                    path.display()
                ),
            }
        }
        assertions::parse(&Value::Array(all))
    }
}

fn conduct(context: &Context, request: &Request, assertions: &[Assertion], drill: &mut Drill) -> Result<()> {
    let lock = lock(context)?;
    let begun = Instant::now();
    let found = match choose(context, request.name.as_deref(), drill)? {
        Some(found) => found,
        None => return Ok(()),
    };
    if let Found::Packed(head) = &found {
        drill.lineage = Some(head.lineage);
        // What is known of another database's snapshot says nothing of this one.
        let heads = survey::here(&context.repository)?.known_heads();
        if let Some(own) = context.identity_if_any(&heads)?
            && !own.may_be_mine(head)
        {
            drill.instance = Some(own.maker(head));
        }
    }
    let created_at = found.created_at();
    drill.snapshot = Some(Subject {
        name: found.name().to_owned(),
        id: found.id(),
        created_at,
        sequence: found.mark().sequence,
    });
    drill.rpo_ms = Some(drill.at.duration_since(created_at).as_millis().max(0) as u64);
    let target = open(context, &found, lock)?;
    failpoint::reached("drill.opened")?;
    let image = assemble(context, target)?;
    drill.rto_ms = Some(millis(begun.elapsed()));
    drill.checks.push(Check::passed(
        IMAGE,
        format!("{} pages assembled, every hash is right", image.pages),
    ));
    failpoint::reached("drill.assembled")?;
    checks::run(context, request, assertions, &found, image, &mut drill.checks)
}

/// Keeps others from deleting what is being chosen and opened. In the bucket alone `deleteGraceMs`
/// does that for all hosts, and nobody here is to wait for a network.
fn lock(context: &Context) -> Result<Option<Lock>> {
    match context.tier {
        Some(Tier::S3) => Ok(None),
        Some(Tier::Local) | None => context.lock_for_reading("drill"),
    }
}

/// Opens every file of a snapshot, and gives the lock back: what is open can be read to its end,
/// whoever deletes it meanwhile.
fn open(context: &Context, found: &Found, lock: Option<Lock>) -> Result<Target> {
    check_restorable(found)?;
    // An old plain snapshot is one file, which is read to its end when it is opened.
    let _lock = lock.filter(|_| !matches!(found, Found::Plain(_)));
    Target::open(context, found)
}

/// The snapshot to drill; when there is none, the reason is among the checks.
fn choose(context: &Context, name: Option<&str>, drill: &mut Drill) -> Result<Option<Found>> {
    if let Some(name) = name {
        let found = find(context, name)?;
        drill.newest = newest::is_newest(context, &found)?;
        return Ok(Some(found));
    }
    let newest = newest::find(context)?;
    drill.lineage = newest.lineage.or(drill.lineage);
    if let Some(error) = newest.bucket_failure {
        let detail = format!(
            "the bucket cannot be asked, so a newer snapshot may be there: {}",
            told(&error)
        );
        drill.checks.push(Check::inconclusive(BUCKET, detail));
    }
    match newest.found {
        Newest::Good(found) => Ok(Some(found)),
        Newest::Damaged(detail) => {
            drill.checks.push(Check::failed(IMAGE, detail));
            Ok(None)
        }
        Newest::None(reason) => {
            drill.checks.push(Check::inconclusive(IMAGE, reason));
            Ok(None)
        }
    }
}

/// An assembled image.
struct Assembled {
    file: File,
    page_size: u32,
    pages: u32,
}

impl Assembled {
    fn into_image(self) -> FileImage {
        FileImage::new(self.file, self.page_size, self.pages)
    }
}

/// What a restore into a missing file does, up to giving the file its name.
fn assemble(context: &Context, mut target: Target) -> Result<Assembled> {
    let scratch = context.repository.scratch()?;
    let needed = u64::from(target.page_size) * u64::from(target.page_count());
    let free = free_bytes(&scratch)?;
    if free < needed + SPARE_BYTES {
        fail!(
            RepositoryFull,
            "the image has {needed} bytes and {} has {free} left; nothing was written",
            scratch.display()
        );
    }
    let io = |error| io_error("write", &scratch, error);
    let file = tempfile::tempfile_in(&scratch).map_err(io)?;
    export::write_image(context, &mut target, &file, io)?;
    file.sync_all().map_err(io)?;
    Ok(Assembled {
        file,
        page_size: target.page_size,
        pages: target.page_count(),
    })
}

/// Codes that are no outcome of a drill: the call was wrong, or nobody waits for it.
fn stops_the_caller(code: Code) -> bool {
    use Code::{
        Aborted, Internal, InvalidArgument, RepositoryNewer, S3Disabled, SnapshotNameInvalid, SnapshotNotFound,
    };
    matches!(
        code,
        Aborted | Internal | InvalidArgument | RepositoryNewer | S3Disabled | SnapshotNameInvalid | SnapshotNotFound
    )
}

/// One failed check makes the drill fail. One that could not be done leaves it open, unless it only
/// compares with the live database: that may be gone, which is when a drill matters most.
fn conclude(drill: &mut Drill) {
    let open = |check: &&Check| check.outcome == Outcome::Inconclusive && !checks::COMPARISONS.contains(&&*check.name);
    let failed = || drill.checks.iter().filter(|check| check.outcome == Outcome::Failed);
    let decisive: Vec<&Check> = match failed().count() {
        0 => drill.checks.iter().filter(open).collect(),
        _ => failed().collect(),
    };
    let reason = decisive.first().map(|check| {
        let others = match decisive.len() - 1 {
            0 => String::new(),
            more => format!(" (and {more} more)"),
        };
        format!("{}: {}{others}", check.name, check.detail)
    });
    drill.outcome = decisive.first().map_or(Outcome::Passed, |check| check.outcome);
    drill.reason = reason;
}

/// Best effort: a full disk must not hide what was found.
fn remember(context: &Context, drill: &Drill) {
    if !context.repository.root().is_dir() {
        return;
    }
    // Whoever gets the exclusive lock may clear the scratch folder, through which the note goes.
    let _lock = context.lock_for_reading("drill");
    if let Err(error) = drill.save(&context.repository) {
        tracing::warn!(code = error.code.as_str(), reason = %error, "the drill could not be written into the history");
    }
}

/// An error as a detail: its story and its code, by which docs/errors.md finds what to do.
fn told(error: &Error) -> String {
    format!("{} ({})", error.story(), error.code.as_str())
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
