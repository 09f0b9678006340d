//! Rewriting the live file as one SQLite transaction: only pages that differ are written.

use std::path::Path;
use std::sync::Arc;

use super::Context;
use super::overwrite::{Only, Overwritten, Ran, Work, overwrite};
use super::safety::Safety;
use super::target::Target;
use crate::database::live::Live;
use crate::database::target::{Begin, ImageHeader, RestoreTransaction};
use crate::database::write_lock::WriteLock;
use crate::error::{Result, fail};
use crate::failpoint;
use crate::repository::restores::Restore;

/// Restores in place if the database is what `only` says, or tells that it is impossible.
pub(crate) fn restore(
    context: &Context,
    database: &Path,
    only: Only,
    target: &mut Target,
    entry: &mut Restore,
) -> Result<Overwritten> {
    let mut restoring = Restoring {
        context,
        target,
        entry,
        header: None,
    };
    overwrite(context, database, only, &mut restoring)
}

struct Restoring<'a> {
    context: &'a Context,
    target: &'a mut Target,
    entry: &'a mut Restore,
    /// Read before the lock, and after what comes over a network was fetched.
    header: Option<ImageHeader>,
}

impl Work for Restoring<'_> {
    fn page_size(&self) -> Option<u32> {
        (self.target.page_count() > 0).then_some(self.target.page_size)
    }

    fn prepare(&mut self, live: &Live, safety: Option<&Safety>) -> Result<()> {
        self.entry.identity_before = Some(live.identity());
        self.entry.safety = safety.map(|safety| safety.head.id);
        if self.target.is_far() {
            self.target.fetch(safety.map(|safety| &safety.table))?;
        }
        self.header = Some(self.target.header()?);
        self.entry.save(&self.context.repository)?;
        failpoint::reached("restore.intent")
    }

    /// The raw files are copied instead.
    fn go_on_without_pages(&self) -> Result<()> {
        Ok(())
    }

    fn run(&mut self, lock: WriteLock, safety: Option<&Safety>) -> Result<Ran> {
        let Some(header) = &self.header else {
            fail!(Internal, "nothing was prepared");
        };
        self.entry.safety = safety.map(|safety| safety.head.id);
        let mut transaction = match RestoreTransaction::begin(lock, header)? {
            Begin::Ready(transaction) => transaction,
            Begin::Replace(reason) => return Ok(Ran::Impossible(reason)),
        };
        self.entry.cookie_before = Some(transaction.live().schema_cookie);
        self.entry.cookie = Some(transaction.cookie());
        self.entry.save(&self.context.repository)?;
        self.write(&mut transaction, safety)?;
        self.context.host.check_alive()?;
        transaction
            .commit(self.context.config.commit_timeout())
            .map(Ran::Committed)
    }
}

impl Restoring<'_> {
    /// Writes pages 2 to n where they differ. Every page of the image that is written is compared
    /// with its hash; every other one has the hash that the image's page list names.
    fn write(&mut self, transaction: &mut RestoreTransaction, live: Option<&Safety>) -> Result<()> {
        let total = u64::from(self.target.page_count());
        let mut live = live.map(|safety| safety.table.iter());
        let table = Arc::clone(&self.target.table);
        for (page, entry) in (1..).zip(table.iter()) {
            let entry = entry?;
            let old = live.as_mut().and_then(Iterator::next).transpose()?;
            if page == 1 || entry.pack == 0 || old.is_some_and(|old| old.hash == entry.hash) {
                continue;
            }
            transaction.write_page(page, self.target.page(page, &entry)?)?;
            failpoint::reached("restore.writing")?;
            self.context.host.progress("restore", u64::from(page), total, "pages");
        }
        Ok(())
    }
}
