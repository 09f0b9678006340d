//! Verifying what is stored.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::find::{Found, find};
use super::target::Target;
use super::{Context, health, known_damage};
use crate::config::Check;
use crate::database::image::{FileImage, ImageDatabase};
use crate::database::{check, image};
use crate::error::{Code, Error, Result};
use crate::storage::io_error;

/// How deep a verification goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Level {
    /// Manifest and packs are present and well formed.
    Structure,
    /// Every hash is recomputed.
    Data,
    /// `Data`, and SQLite's `integrity_check` and `foreign_key_check` on the image.
    Database,
}

/// The outcome of a verification.
#[derive(Debug, Serialize)]
pub(crate) struct Verdict {
    pub(crate) ok: bool,
    pub(crate) level: Level,
    pub(crate) problems: Vec<String>,
    /// What SQLite could not judge, and content that breaks a rule of the schema.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) unjudged: Vec<String>,
    /// Whether something of the snapshot is damaged, in contrast to rows that lack their parents.
    #[serde(skip)]
    pub(crate) damaged: bool,
}

/// Verifies one snapshot. Damage is a verdict, not an error.
pub(crate) fn verify(context: &Context, name: &str, level: Level) -> Result<Verdict> {
    let _lock = context.lock_for_reading("verifySnapshot")?;
    let found = match find(context, name) {
        // Of a damaged head, nobody can say which snapshot it is of.
        Err(error) if error.code == Code::SnapshotDamaged => return Ok(Verdict::bad(level, &error)),
        other => other?,
    };
    let verdict = match examine(context, &found, level) {
        Err(error) if error.code == Code::SnapshotDamaged || error.code.is_damage() => Verdict::bad(level, &error),
        verdict => verdict?,
    };
    known_damage::remember(context, found.note_id(), &verdict);
    Ok(verdict)
}

impl Verdict {
    fn good(level: Level) -> Self {
        Self {
            ok: true,
            level,
            problems: Vec::new(),
            unjudged: Vec::new(),
            damaged: false,
        }
    }

    fn bad(level: Level, error: &Error) -> Self {
        Self {
            ok: false,
            problems: vec![error.story()],
            damaged: true,
            ..Self::good(level)
        }
    }
}

fn examine(context: &Context, found: &Found, level: Level) -> Result<Verdict> {
    let mut target = Target::open(context, found)?;
    if level >= Level::Data {
        let total = u64::from(target.page_size) * u64::from(target.page_count());
        let mut done = 0;
        target.read_all(|run| {
            context.host.check_alive()?;
            done += run.len() as u64;
            context.host.progress("verify", done, total, "bytes");
            Ok(())
        })?;
    }
    if level < Level::Database || target.page_count() == 0 {
        return Ok(Verdict::good(level));
    }
    let image = assemble_image(context, &mut target)?;
    let host = Arc::clone(&context.host);
    let judgement = check::check(&image, Check::Full, Arc::new(move || host.check_alive().is_ok()))?;
    let (damage, mut unjudged) = judgement.into_parts();
    if let Found::Packed(head) = found
        && health::is_ours(context, head)
    {
        let (healthy, image) = (damage.is_none(), head.mark());
        context
            .tally
            .add(move |counters| counters.examined(healthy, image, Check::Full));
    }
    let foreign_keys = check::check_foreign_keys(&image)?;
    unjudged.extend(foreign_keys.unjudged);
    let damaged = damage.is_some();
    let problems: Vec<String> = damage.into_iter().chain(foreign_keys.broken).collect();
    Ok(Verdict {
        ok: problems.is_empty(),
        level,
        problems,
        unjudged,
        damaged,
    })
}

/// The image as a database to ask. SQLite reads pages in any order, so it is assembled first.
pub(crate) fn assemble_image(context: &Context, target: &mut Target) -> Result<ImageDatabase> {
    let scratch = context.repository.scratch()?;
    let file = super::export::assemble(context, target, &scratch, "verify-", |error| {
        io_error("write", &scratch, error)
    })?;
    let reopened = file.reopen().map_err(|error| io_error("read", &scratch, error))?;
    let (page_size, page_count) = (target.page_size, target.page_count());
    image::open(Box::new(FileImage::new(reopened, page_size, page_count)))
}
