//! What SQLite says of the live database, asked of a captured image: a check of the file itself
//! would keep its lock for as long as it reads, and block every commit in rollback mode.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};

use super::capture::capture;
use super::live_image::LiveImage;
use super::{Context, create};
use crate::config::Check;
use crate::database::image::Image;
use crate::database::{check, image, raw_files};
use crate::error::{Code, Result};
use crate::repository::hash::StructureHash;
use crate::repository::packed_pages::PackedPages;

/// The state of a database.
#[derive(Debug, Default)]
pub(crate) struct Integrity {
    /// Why the file cannot be trusted: it is missing, no database, or SQLite finds it damaged.
    pub(crate) damage: Option<String>,
    /// Rows that point to missing rows. The file itself is sound.
    pub(crate) foreign_keys: Option<String>,
    /// What was judged, by the hash of its page list; `None`: its pages could not be read.
    pub(crate) judged: Option<StructureHash>,
    /// What could not be judged, and content that breaks another rule of the schema; one sentence each.
    pub(crate) unjudged: Vec<String>,
}

/// Checks the database. The repository of `context` lends its lock and the space for the image,
/// and is afterwards what it was before.
pub(crate) fn check_database(context: &Context, database: &Path) -> Result<Integrity> {
    let missing = || Integrity::damaged(format!("{} does not exist", database.display()));
    if !database.exists() {
        return Ok(missing());
    }
    let _lock = context.lock_for_writing("validateDatabaseIntegrity")?;
    // What keeps the database from being read counts as damage when it does so twice.
    let outcome = match check_image(context, database) {
        Err(error) if error.code.is_damage() => {
            raw_files::check_readable(database).and_then(|()| check_image(context, database))
        }
        other => other,
    };
    create::clean_up(context);
    match outcome {
        Err(error) if error.code.is_damage() => Ok(Integrity::damaged(error.story())),
        Err(error) if error.code == Code::DatabaseNotFound => Ok(missing()),
        other => other,
    }
}

impl Integrity {
    fn damaged(why: String) -> Self {
        Self {
            damage: Some(why),
            ..Self::default()
        }
    }

    /// Adds what could not be judged to what is told.
    pub(crate) fn with_unjudged(&self, mut told: Value) -> Value {
        if !self.unjudged.is_empty() {
            told["unjudged"] = json!(self.unjudged);
        }
        told
    }

    /// One sentence each; none when all is well.
    pub(crate) fn problems(&self) -> Vec<&str> {
        self.damage
            .iter()
            .chain(&self.foreign_keys)
            .map(String::as_str)
            .collect()
    }
}

fn check_image(context: &Context, database: &Path) -> Result<Integrity> {
    // Any snapshot will do: what its pages hold need not be written again.
    let heads = context.repository.readable_heads()?;
    let captured = capture(context, database, heads.last())?;
    captured.check_not_moved(database)?;
    let judged = Some(captured.recording.table.list_hash()?);
    let packs = &captured.recording.packs;
    let pages = PackedPages::open(&**context.repository.local(), packs, captured.page_size)?;
    let live = LiveImage::new(Some(database), captured.recording.table, pages, captured.page_size);
    if live.page_count() == 0 {
        return Ok(Integrity {
            judged,
            ..Integrity::default()
        });
    }
    let host = Arc::clone(&context.host);
    let looked = image::open(Box::new(live)).and_then(|image| {
        let judgement = check::check(&image, Check::Full, Arc::new(move || host.check_alive().is_ok()))?;
        Ok((image, judgement))
    });
    let (image, judgement) = match looked {
        Err(error) if error.code.is_damage() => {
            return Ok(Integrity {
                judged,
                ..Integrity::damaged(error.story())
            });
        }
        looked => looked?,
    };
    let (damage, mut unjudged) = judgement.into_parts();
    let foreign_keys = match damage {
        // Of a damaged image nobody knows which rows are missing.
        Some(_) => None,
        None => {
            let checked = check::check_foreign_keys(&image)?;
            unjudged.extend(checked.unjudged);
            checked.broken
        }
    };
    Ok(Integrity {
        damage,
        foreign_keys,
        judged,
        unjudged,
    })
}
