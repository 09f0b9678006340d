//! What SQLite says of a captured image: its own check, whether the image is empty, row counts.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::Context;
use super::live_image::{LiveImage, Shared, SharedImage, page_count};
use crate::config::Check;
use crate::database::{check, content, image};
use crate::error::{Result, fail};
use crate::repository::page_table::PageTable;

/// What the content of an image says.
#[derive(Default)]
pub(crate) struct Facts {
    pub(crate) is_empty: bool,
    pub(crate) counts: BTreeMap<String, u64>,
    /// What SQLite finds wrong.
    pub(crate) finding: Option<String>,
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
        let counts = core_tables.iter().map(|table| (table.clone(), 0)).collect();
        return Ok(Facts {
            is_empty: true,
            counts,
            finding: None,
        });
    }
    let mut image = match image::open(Box::new(SharedImage(Arc::clone(live)))) {
        Ok(image) => image,
        Err(error) => return Ok(unreadable(level, error.story())),
    };
    let host = Arc::clone(&context.host);
    let finding = check::check(&mut image, level, Arc::new(move || host.check_alive().is_ok()))?;
    let is_empty = content::is_empty(image.connection(), core_tables);
    let counts = content::core_counts(image.connection(), core_tables);
    match (is_empty, counts) {
        (Ok(is_empty), Ok(counts)) => Ok(Facts {
            is_empty,
            counts,
            finding,
        }),
        (Err(error), _) | (_, Err(error)) => match image.take_error() {
            Some(inner) => Err(inner),
            // What cannot be counted must not hide what the check found.
            None => Ok(unreadable(level, finding.unwrap_or_else(|| error.to_string()))),
        },
    }
}

/// An image that SQLite cannot read. It counts as not empty: nobody knows what is in it.
fn unreadable(level: Check, finding: String) -> Facts {
    Facts {
        finding: (level != Check::None).then_some(finding),
        ..Facts::default()
    }
}
