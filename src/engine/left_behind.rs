//! Processes that were left behind with a deleted database file. Whatever takes its place would be
//! filled without them: they go on reading and writing the deleted one.

use std::path::Path;
use std::time::{Duration, Instant};

use super::Context;
use crate::database::{gate, holders, left_behind};
use crate::error::{Result, fail};

/// How often to look whether they have ended; a reload drains.
const PAUSE: Duration = Duration::from_millis(50);

/// Waits until `deadline` for the last one to let go, unless the caller wants to go on all the same.
pub(super) fn wait(context: &Context, database: &Path, deadline: Instant) -> Result<()> {
    let mut is_told = false;
    loop {
        if context.force {
            return Ok(());
        }
        let mut writers = left_behind::writers(database);
        // A file of zero bytes is about to lose its name.
        if !gate::stranded(database)?.is_empty() {
            writers.extend(holders::holders(database));
        }
        if writers.is_empty() {
            return Ok(());
        }
        if Instant::now() >= deadline {
            fail!(
                DatabaseDeleted,
                "{} was deleted, replaced or emptied under {}, which still has the old file open: it would not see what is \
                 restored, and what it writes is lost when it ends. Nothing was changed. Run \"snapshot-writer rescue\" to store \
                 what it has, then end or restart it and try again; force goes on all the same",
                database.display(),
                holders::describe(&writers)
            );
        }
        if !is_told {
            is_told = true;
            tracing::warn!(
                open_in = holders::describe(&writers),
                "the database file was deleted, replaced or emptied, and is still open; waiting until it is closed"
            );
        }
        context.host.check_alive()?;
        std::thread::sleep(PAUSE.min(deadline.saturating_duration_since(Instant::now())));
    }
}
