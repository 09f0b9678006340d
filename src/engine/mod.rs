//! The use cases, one file each. No SQL, no bytes of the format.

mod bootstrap;
mod capture;
mod catalog;
mod check_storage;
pub(crate) mod collapse;
mod counting;
mod create;
mod delete;
mod doctor;
mod drill;
mod examine;
mod export;
mod find;
mod gone_rows;
mod good_states;
mod health;
mod inspect;
mod integrity;
mod known_damage;
mod list;
mod live_image;
mod metrics;
mod names;
mod packed_image;
mod pins;
mod plan;
mod post_restore;
mod prune;
mod recorder;
mod recovery;
mod repack;
mod reset;
mod restore;
mod restore_in_place;
mod safety;
mod schedule;
mod standing;
mod status;
mod sync;
mod target;
mod trash;
mod undo;
mod unfinished;
mod upload;
mod verify;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(crate) use bootstrap::{bootstrap, is_database_empty};
pub(crate) use check_storage::check_storage;
pub(crate) use collapse::acknowledge;
pub(crate) use counting::{Counting, Tally};
pub(crate) use create::create;
pub(crate) use delete::{delete, delete_object};
pub(crate) use doctor::doctor;
pub(crate) use drill::{Request as DrillRequest, drill, drills};
pub(crate) use export::{checksum_of_file, export};
pub(crate) use inspect::inspect_schema;
pub(crate) use list::{get, head_object, list};
pub(crate) use metrics::metrics;
pub(crate) use pins::{pin, unpin};
pub(crate) use prune::{How as HowToPrune, prune};
pub(crate) use recovery::Recovery;
pub(crate) use reset::reset;
pub(crate) use restore::restore;
pub(crate) use schedule::{claim_tick, finish_tick, give_back_tick};
pub(crate) use status::status;
pub(crate) use sync::{Direction, sync};
pub(crate) use trash::undelete;
pub(crate) use undo::undo;
pub(crate) use verify::{Level, verify};

use crate::config::Config;
use crate::error::{Code, Result, fail};
use crate::repository::Repository;
use crate::repository::bucket::lease::Lease;
use crate::repository::lock::{Lock, Mode, Subject};
use crate::repository::notes::Exclusive;
use crate::repository::tiers::Tier;
use crate::storage::{S3Store, Store};

/// Whoever asked for the operation.
pub(crate) trait Host: Send + Sync {
    /// Told how far a phase is.
    fn progress(&self, phase: &str, done: u64, total: u64, unit: &str);
    /// Fails once nobody waits for the outcome: asked before the point of no return, never after.
    fn check_alive(&self) -> Result<()>;
}

/// What every use case works with.
#[derive(Clone)]
pub(crate) struct Context {
    pub(crate) config: Config,
    pub(crate) repository: Repository,
    pub(crate) host: Arc<dyn Host>,
    /// The tier that snapshots are looked for and read in; `None`: both, local first.
    pub(crate) tier: Option<Tier>,
    /// What there is to count.
    pub(crate) tally: Arc<Tally>,
}

impl Context {
    pub(crate) fn new(config: Config, host: Arc<dyn Host>) -> Result<Self> {
        let repository = Repository::open(&config.snapshot_dir, config.s3.as_ref())?;
        Ok(Self {
            config,
            repository,
            host,
            tier: None,
            tally: Arc::default(),
        })
    }

    /// The same, for one tier only.
    pub(crate) fn of_tier(self, tier: Option<Tier>) -> Self {
        Self { tier, ..self }
    }

    /// What snapshots are read from.
    fn reading(&self) -> Result<Arc<dyn Store>> {
        self.repository.reading(self.tier)
    }

    /// The tiers that snapshots are read from, each by itself; the bucket first, because it may be newer.
    fn tiers(&self) -> Result<Vec<Arc<dyn Store>>> {
        let is_meant = |tier: &Tier| match self.tier {
            Some(wanted) => *tier == wanted,
            None => *tier == Tier::Local || self.repository.bucket().is_some(),
        };
        let tiers = [Tier::S3, Tier::Local].into_iter().filter(is_meant);
        tiers.map(|tier| self.repository.reading(Some(tier))).collect()
    }

    /// The configured path of the database, made canonical where the file exists: identity,
    /// lineage and locks go by that path.
    fn database(&self) -> Result<PathBuf> {
        let Some(path) = &self.config.database_path else {
            fail!(
                InvalidArgument,
                "this operation needs a database: set DATABASE_URL or the option databaseUrl"
            );
        };
        Ok(canonical(path))
    }

    /// The lease of the bucket: while it is held, no host deletes there. `None`: nobody can, or S3 is off.
    fn bucket_lease(&self, operation: &str) -> Result<Option<Lease<S3Store>>> {
        let Some(bucket) = self.repository.bucket() else {
            return Ok(None);
        };
        let alive = || self.host.check_alive();
        Lease::acquire_if_any(bucket, operation, self.config.lock_timeout(), &alive)
    }

    /// Waits for SQLite's locks until then.
    fn deadline(&self) -> Instant {
        Instant::now() + self.config.lock_timeout()
    }

    /// Takes the exclusive lock and puts right what a killed process left behind.
    fn lock_for_writing(&self, operation: &str) -> Result<Writing> {
        self.lock_for_writing_within(operation, self.config.lock_timeout())
    }

    fn lock_for_writing_within(&self, operation: &str, timeout: Duration) -> Result<Writing> {
        let lock = Lock::acquire(
            self.repository.root(),
            Subject::Repository,
            Mode::Exclusive,
            operation,
            timeout,
        )?;
        let exclusive = self.repository.hold_exclusively();
        self.repository.sweep_after_crash()?;
        self.repository.init()?;
        let marker = self.repository.mark_as_busy()?;
        unfinished::finish(self)?;
        Ok(Writing {
            _exclusive: exclusive,
            _marker: Some(marker),
            _lock: lock,
        })
    }

    /// As [`Context::lock_for_writing`], for what only removes: a disk without room for a note must not keep
    /// anybody from making room.
    fn lock_for_removing(&self, operation: &str) -> Result<Writing> {
        let lock = Lock::acquire(
            self.repository.root(),
            Subject::Repository,
            Mode::Exclusive,
            operation,
            self.config.lock_timeout(),
        )?;
        let exclusive = self.repository.hold_exclusively();
        self.repository.sweep_after_crash()?;
        unless_full(self.repository.init())?;
        let marker = unless_full(self.repository.mark_as_busy())?;
        unless_full(unfinished::finish(self))?;
        Ok(Writing {
            _exclusive: exclusive,
            _marker: marker,
            _lock: lock,
        })
    }

    /// Takes the shared lock, so that nothing is deleted while it is read. A repository that
    /// does not exist, or may not be written, is read without.
    fn lock_for_reading(&self, operation: &str) -> Result<Option<Lock>> {
        if !self.repository.root().is_dir() {
            return Ok(None);
        }
        match Lock::acquire(
            self.repository.root(),
            Subject::Repository,
            Mode::Shared,
            operation,
            self.config.lock_timeout(),
        ) {
            Err(error) if error.code == crate::error::Code::RepositoryUnwritable => Ok(None),
            other => other.map(Some),
        }
    }
}

/// The right to change the repository. The marker goes before the lock, so that the next holder
/// finds one only after a crash.
struct Writing {
    _exclusive: Exclusive,
    _marker: Option<tempfile::TempPath>,
    _lock: Lock,
}

/// For a note about something that is done already: whoever asked for that is not told that it failed.
fn warn_if_lost(noted: Result<()>) {
    if let Err(error) = noted {
        tracing::warn!(code = error.code.as_str(), reason = %error.story(), "what was asked for is done, but a note about it could not be written");
    }
}

/// What a step brought that can be done without; `None` where the disk has no room for it.
fn unless_full<T>(outcome: Result<T>) -> Result<Option<T>> {
    match outcome {
        Err(error) if error.code == Code::RepositoryFull => {
            tracing::debug!(reason = %error.story(), "no room for a note; what is to be removed is removed all the same");
            Ok(None)
        }
        other => other.map(Some),
    }
}

/// The path with links resolved; of a missing file, its folder's.
fn canonical(path: &Path) -> PathBuf {
    if let Ok(path) = path.canonicalize() {
        return path;
    }
    match (
        path.parent().and_then(|folder| folder.canonicalize().ok()),
        path.file_name(),
    ) {
        (Some(folder), Some(name)) => folder.join(name),
        _ => path.to_path_buf(),
    }
}
