//! What SQLite says of a captured image: its own check, whether the image is empty, row counts.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::Context;
use super::live_image::{LiveImage, Shared, SharedImage, page_count};
use crate::config::Check;
use crate::database::{check, image};
use crate::error::{Code, Error, Result, fail};
use crate::repository::page_table::PageTable;

/// What the content of an image says.
#[derive(Default)]
pub(crate) struct Facts {
    pub(crate) is_empty: bool,
    pub(crate) counts: BTreeMap<String, u64>,
    /// The core tables that the two above are about; `None`: nobody has looked.
    pub(crate) core_tables: Option<Vec<String>>,
    /// What SQLite finds damaged.
    pub(crate) finding: Option<String>,
    /// What could not be judged, and content that breaks a rule of the schema.
    pub(crate) unjudged: Vec<String>,
}

/// Runs SQLite's check and the counts on the image, without touching the live database's locks.
pub(crate) fn examine(context: &Context, live: LiveImage, level: Check) -> Result<(PageTable, Facts)> {
    let live = Arc::new(Mutex::new(Some(live)));
    let outcome = examine_shared(context, &live, level);
    let live = live.lock().unwrap_or_else(PoisonError::into_inner).take();
    match live {
        Some(live) => Ok((live.into_table(), outcome?)),
        None => fail!(Internal, "the image was lost"),
    }
}

fn examine_shared(context: &Context, live: &Shared, level: Check) -> Result<Facts> {
    let core_tables = &context.config.core_tables;
    if page_count(live) == 0 {
        return Ok(Facts {
            is_empty: true,
            counts: core_tables.iter().map(|table| (table.clone(), 0)).collect(),
            core_tables: Some(core_tables.clone()),
            ..Facts::default()
        });
    }
    let image = match image::open(Box::new(SharedImage(Arc::clone(live)))) {
        Err(error) if error.code.is_damage() => {
            return Ok(Facts {
                finding: (level != Check::None).then(|| error.story()),
                ..Facts::default()
            });
        }
        image => image?,
    };
    let host = Arc::clone(&context.host);
    let judgement = check::check(&image, level, Arc::new(move || host.check_alive().is_ok()))?;
    let (finding, mut unjudged) = judgement.into_parts();
    let looked = image
        .is_empty(core_tables)
        .and_then(|is_empty| Ok((is_empty, image.core_counts(core_tables)?)));
    let (is_empty, counts, core_tables) = match looked {
        Ok((is_empty, counts)) => (is_empty, counts, Some(core_tables.clone())),
        // Nobody knows what is in it, so it counts as not empty. That must not hide what the check found.
        Err(error) if is_about_the_image(&error) => {
            unjudged.push(error.story());
            (false, BTreeMap::new(), None)
        }
        Err(error) => return Err(error),
    };
    Ok(Facts {
        is_empty,
        counts,
        core_tables,
        finding,
        unjudged,
    })
}

/// Whether SQLite could not read the image, in contrast to a full disk or an application that has ended.
fn is_about_the_image(error: &Error) -> bool {
    matches!(error.code, Code::SnapshotDamaged | Code::Internal)
}
