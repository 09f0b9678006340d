//! Overwriting what a database holds. Nothing that was learnt before the write lock decides anything
//! after it: the database is copied beforehand, and what has changed since is stored under the lock,
//! before the first write.

use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::safety::{self, Before, Copied, Safety};
use super::{Context, canonical};
use crate::database::holders;
use crate::database::live::Live;
use crate::database::raw_files::RawFiles;
use crate::database::source::PageSource;
use crate::database::target::{Committed, ReplaceReason};
use crate::database::write_lock::{Taken, WriteLock};
use crate::error::{Code, Error, Result, fail};
use crate::failpoint;
use crate::repository::hash::StructureHash;

/// Readers that a COMMIT waited for in vain are left alone this long before the next try.
const PAUSE: Duration = Duration::from_millis(250);

/// What has to be true of the database for it to be overwritten, asked under the lock.
#[derive(Clone, Copy)]
pub(crate) enum Only {
    Always,
    /// It has no row that counts.
    Empty,
    /// Its pages are those that were judged, by the hash of their list; `None`: they could not be read.
    Judged(Option<StructureHash>),
}

impl Only {
    /// Whether it may be a file that SQLite does not recognise. That is no empty database.
    pub(super) fn may_be_unreadable(self) -> bool {
        matches!(self, Self::Always | Self::Judged(None))
    }
}

/// What overwrites a database.
pub(crate) trait Work {
    /// The size of pages that a file of zero bytes is to have; `None`: any.
    fn page_size(&self) -> Option<u32>;
    /// Before each attempt, without a lock, knowing what the database held a moment ago.
    fn prepare(&mut self, live: &Live, safety: Option<&Safety>) -> Result<()>;
    /// Fails where nothing may be overwritten whose pages cannot be stored.
    fn go_on_without_pages(&self) -> Result<()>;
    /// Under the lock, when all that was there is stored: writes and commits.
    fn run(&mut self, lock: WriteLock, safety: Option<&Safety>) -> Result<Ran>;
}

/// How the work under the lock ended.
pub(crate) enum Ran {
    Committed(Committed),
    /// The live file cannot take it, for this reason.
    Impossible(ReplaceReason),
}

/// How it ended.
pub(crate) enum Overwritten {
    Done,
    /// What has to be true of the database is not; nothing was changed.
    NotAsWanted,
    /// The live file cannot be overwritten, for this reason; nothing was changed.
    Impossible(ReplaceReason),
}

/// Overwrites the database, which has to be what `only` says.
pub(crate) fn overwrite(context: &Context, database: &Path, only: Only, work: &mut dyn Work) -> Result<Overwritten> {
    let mut raw = None;
    loop {
        let overwriting = Overwriting {
            context,
            database,
            only,
            raw: raw.as_ref(),
        };
        if let Some(outcome) = overwriting.on_one_connection(work)? {
            return Ok(outcome);
        }
        work.go_on_without_pages()?;
        // No connection is open now.
        raw = Some(RawFiles::open(database)?);
    }
}

/// What came of one attempt under the lock.
enum Round {
    Over(Overwritten),
    /// Readers kept the commit waiting.
    Readers,
    /// So much has changed since the copy that storing it would keep writers waiting for too long.
    TooMuch(Error),
    /// As `None` of [`Overwriting::on_one_connection`].
    Unreadable,
}

struct Overwriting<'a> {
    context: &'a Context,
    database: &'a Path,
    only: Only,
    /// Of a database whose pages cannot be read.
    raw: Option<&'a RawFiles>,
}

impl Overwriting<'_> {
    /// Copies and overwrites through one connection, again and again until it comes to something.
    /// `None`: the pages cannot be read, and the raw files are not open to be copied instead.
    fn on_one_connection(&self, work: &mut dyn Work) -> Result<Option<Overwritten>> {
        let live = Rc::new(Live::open(self.database)?);
        let mut patience = Patience::default();
        let mut copied: Option<Copied> = None;
        let mut stale = None;
        loop {
            self.context.host.check_alive()?;
            if copied.is_none() {
                match safety::store(self.context, self.database, &live, stale)? {
                    Before::Stored(stored) => copied = Some(*stored),
                    Before::Unreadable if self.raw.is_some() => {}
                    Before::Unreadable => return Ok(None),
                    Before::TooBusy(error) => {
                        patience.too_busy(self.context, error)?;
                        continue;
                    }
                }
            }
            // A large database takes longer to copy than anybody waits for a lock.
            let deadline = patience.deadline(self.context);
            work.prepare(&live, copied.as_ref().map(|copied| &copied.safety))?;
            failpoint::reached("restore.before-begin")?;
            let lock = match WriteLock::take(&live, work.page_size(), deadline) {
                Ok(Taken::Locked(lock)) => lock,
                Ok(Taken::UnreadableHeader) if !self.only.may_be_unreadable() => {
                    return Ok(Some(Overwritten::NotAsWanted));
                }
                Ok(Taken::UnreadableHeader) => {
                    return Ok(Some(Overwritten::Impossible(ReplaceReason::UnreadableHeader)));
                }
                Err(error) => return Err(patience.explain(error)),
            };
            stale = copied.as_ref().map(|copied| copied.safety.head.id);
            match self.under_lock(lock, &mut copied, work)? {
                Round::Readers if Instant::now() >= deadline => return Err(self.readers_stay()),
                Round::Readers => std::thread::sleep(PAUSE),
                Round::TooMuch(error) => patience.too_busy(self.context, error)?,
                Round::Unreadable => return Ok(None),
                Round::Over(outcome) => return Ok(Some(outcome)),
            }
        }
    }

    /// Decides anew, stores what has changed since the copy, and only then overwrites.
    fn under_lock(&self, lock: WriteLock, copied: &mut Option<Copied>, work: &mut dyn Work) -> Result<Round> {
        check_link(self.context, self.database)?;
        let version = lock.data_version()?;
        if copied.as_ref().is_none_or(|copied| copied.version != version) {
            let before = copied.take().map(|copied| copied.safety);
            match safety::complete(self.context, self.database, &lock, before) {
                Ok(safety) => *copied = Some(Copied { safety, version }),
                Err(error) if error.code == Code::WritersTooBusy => return Ok(Round::TooMuch(error)),
                Err(error) if safety::is_unreadable(&error) => match self.raw {
                    Some(raw) => safety::copy_raw(self.context, raw, &error)?,
                    None => return Ok(Round::Unreadable),
                },
                Err(error) => return Err(error),
            }
        }
        let safety = copied.as_ref().map(|copied| &copied.safety);
        if !self.is_as_wanted(&lock, safety)? {
            lock.rollback()?;
            if let Some(safety) = safety {
                self.context.repository.remove_manifest(safety.head.id)?;
            }
            return Ok(Round::Over(Overwritten::NotAsWanted));
        }
        match safety {
            Some(safety) => self.context.repository.check_stored(&safety.head, &safety.packs)?,
            None => self.context.repository.check_held()?,
        }
        failpoint::reached("restore.locked")?;
        Ok(match work.run(lock, safety)? {
            Ran::Committed(Committed::Done { .. }) => Round::Over(Overwritten::Done),
            Ran::Committed(Committed::Busy) => Round::Readers,
            Ran::Impossible(reason) => Round::Over(Overwritten::Impossible(reason)),
        })
    }

    fn is_as_wanted(&self, lock: &WriteLock, safety: Option<&Safety>) -> Result<bool> {
        Ok(match self.only {
            Only::Always => true,
            Only::Empty => lock.is_empty(&self.context.config.core_tables)?,
            Only::Judged(Some(judged)) => safety.map(|safety| safety.table.list_hash()).transpose()? == Some(judged),
            // Asked as it was judged: this connection reads more than an ordinary one.
            Only::Judged(None) => {
                let read = || PageSource::open(self.database, self.context.config.lock_timeout());
                safety.is_none() || read().is_err_and(|error| error.code.is_damage())
            }
        })
    }

    fn readers_stay(&self) -> Error {
        let holders = holders::holders(self.database);
        Error::new(
            Code::DatabaseBusy,
            format!(
                "readers did not let go of {} within {} ms, so everything was rolled back; nothing was changed. Open in: {}",
                self.database.display(),
                self.context.config.lock_timeout_ms,
                holders::describe(&holders)
            ),
        )
        .because("a connection that keeps a statement half-stepped or a transaction open blocks every commit in rollback mode")
    }
}

/// How long it is tried, counted from the first copy or from the first attempt to make one.
#[derive(Default)]
struct Patience {
    deadline: Option<Instant>,
    /// Why the attempt before came to nothing.
    busy: Option<Error>,
}

impl Patience {
    fn deadline(&mut self, context: &Context) -> Instant {
        *self.deadline.get_or_insert_with(|| context.deadline())
    }

    /// Writers are in the way of an attempt: the next one begins with another copy, if there is time.
    fn too_busy(&mut self, context: &Context, error: Error) -> Result<()> {
        if Instant::now() >= self.deadline(context) {
            return Err(error);
        }
        self.busy = Some(error);
        Ok(())
    }

    /// Who does not even get the lock any more, after attempts that writers were in the way of, has
    /// the same reason to give up.
    fn explain(&mut self, error: Error) -> Error {
        match self.busy.take() {
            Some(busy) if error.code == Code::DatabaseBusy => busy,
            _ => error,
        }
    }
}

/// The database may have been named by a link, and that may lead to another one by now.
pub(super) fn check_link(context: &Context, database: &Path) -> Result<()> {
    if let Some(link) = &context.config.database_place
        && canonical(link) != database
    {
        fail!(
            DatabaseMoved,
            "{} leads to another file than {} by now; nothing was changed",
            link.display(),
            database.display()
        );
    }
    Ok(())
}
