//! Rewriting the live file as one SQLite transaction: only pages that differ are written.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Context;
use super::safety::{self, Before, Safety};
use super::target::Target;
use crate::database::holders;
use crate::database::source::schema_cookie;
use crate::database::target::{Begin, Committed, ReplaceReason, RestoreTransaction};
use crate::database::watch::CommitWatch;
use crate::error::{Code, Error, Result};
use crate::failpoint;
use crate::repository::manifest::Head;
use crate::repository::restores::Restore;

/// Readers that a COMMIT waited for in vain are left alone this long before the next try.
const PAUSE: Duration = Duration::from_millis(250);

/// How the attempt ended.
pub(crate) enum InPlace {
    Done,
    /// The live file cannot take the image; nothing was changed.
    Impossible(ReplaceReason),
}

/// Restores in place, or says that it is impossible.
pub(crate) fn restore(context: &Context, database: &Path, target: &mut Target, entry: &mut Restore) -> Result<InPlace> {
    let mut watch = CommitWatch::start(database, context.config.lock_timeout()).ok();
    let mut before = match safety::store(context, database)? {
        Before::Stored(head) => Some(*head),
        Before::TooBusy => None,
        Before::Unreadable => {
            // The raw files may only be opened while no connection is.
            watch = None;
            safety::copy_raw(context, database, entry.at)?;
            None
        }
    };
    entry.safety = before.as_ref().map(|head| head.id);
    entry.cookie_before = schema_cookie(database, context.deadline()).ok();
    if target.is_far() {
        let live = before.as_ref().map(|head| safety::reopen(context, head)).transpose()?;
        target.fetch(live.as_ref().map(|live| &live.table))?;
    }
    let header = target.header()?;
    let deadline = context.deadline();
    loop {
        context.host.check_alive()?;
        entry.save(&context.repository)?;
        failpoint::reached("restore.intent")?;
        failpoint::reached("restore.before-begin")?;
        let mut transaction = match RestoreTransaction::begin(database, &header, deadline)? {
            Begin::Ready(transaction) => transaction,
            Begin::Replace(reason) => return Ok(InPlace::Impossible(reason)),
        };
        let live = match before_overwriting(context, database, &mut transaction, before.as_ref(), watch.as_ref()) {
            Ok(live) => live,
            Err(error) => {
                transaction.rollback()?;
                return Err(error);
            }
        };
        if let Some(safety) = &live {
            before = Some(safety.head.clone());
            entry.safety = Some(safety.head.id);
        }
        entry.cookie_before = Some(transaction.live().schema_cookie);
        entry.cookie = Some(transaction.cookie());
        let written = entry
            .save(&context.repository)
            .and_then(|()| write(context, &mut transaction, target, live.as_ref()));
        if let Err(error) = written {
            transaction.rollback()?;
            return Err(error);
        }
        context.host.check_alive()?;
        match transaction.commit(context.config.commit_timeout())? {
            Committed::Done { .. } => return Ok(InPlace::Done),
            Committed::Busy if Instant::now() < deadline => std::thread::sleep(PAUSE),
            Committed::Busy => return Err(readers_stay(context, database)),
        }
    }
}

/// The safety snapshot, brought up to date under the lock. Of a database whose pages cannot be
/// read, the raw files were copied instead.
fn before_overwriting(
    context: &Context,
    database: &Path,
    transaction: &mut RestoreTransaction,
    before: Option<&Head>,
    watch: Option<&CommitWatch>,
) -> Result<Option<Safety>> {
    if let (Some(head), Some(watch)) = (before, watch)
        && !watch.somebody_committed()?
    {
        return safety::reopen(context, head).map(Some);
    }
    match safety::complete(context, database, transaction, before) {
        Ok(safety) => Ok(Some(safety)),
        Err(error)
            if matches!(
                error.code,
                Code::DatabaseCorrupt | Code::DatabaseInvalid | Code::Internal
            ) =>
        {
            tracing::warn!(reason = %error, "the damaged database cannot be stored page by page; every page is overwritten");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Writes pages 2 to n where they differ. Every page of the image that is written is compared
/// with its hash; every other one has the hash that the image's page list names.
fn write(
    context: &Context,
    transaction: &mut RestoreTransaction,
    target: &mut Target,
    live: Option<&Safety>,
) -> Result<()> {
    let total = u64::from(target.page_count());
    let mut live = live.map(|safety| safety.table.iter());
    let table = Arc::clone(&target.table);
    for (page, entry) in (1..).zip(table.iter()) {
        let entry = entry?;
        let old = live.as_mut().and_then(Iterator::next).transpose()?;
        if page == 1 || entry.pack == 0 || old.is_some_and(|old| old.hash == entry.hash) {
            continue;
        }
        transaction.write_page(page, target.page(page, &entry)?)?;
        failpoint::reached("restore.writing")?;
        context.host.progress("restore", u64::from(page), total, "pages");
    }
    Ok(())
}

fn readers_stay(context: &Context, database: &Path) -> Error {
    let holders = holders::holders(database);
    Error::new(
        Code::DatabaseBusy,
        format!(
            "readers did not let go of {} within {} ms, so the restore was rolled back; nothing was changed. Open in: {}",
            database.display(),
            context.config.lock_timeout_ms,
            holders::describe(&holders)
        ),
    )
    .because("a connection that keeps a statement half-stepped or a transaction open blocks every commit in rollback mode")
}
