//! The use cases, one file each. No SQL, no bytes of the format.

mod bootstrap;
mod canonical;
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
mod foreign;
mod gone_rows;
mod good_states;
mod health;
mod inspect;
mod integrity;
mod known_damage;
mod left_behind;
mod list;
mod live_image;
mod metrics;
mod names;
mod overwrite;
mod packed_image;
mod parents;
mod pins;
mod plan;
mod post_restore;
mod prune;
mod recorder;
mod recovery;
mod repack;
mod replace;
mod rescue;
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
use canonical::canonical;
pub(crate) use check_storage::check_storage;
pub(crate) use collapse::acknowledge;
pub(crate) use counting::{Counting, Tally};
pub(crate) use create::create;
pub(crate) use delete::{delete, delete_object};
pub(crate) use doctor::doctor;
pub(crate) use drill::{Request as DrillRequest, drill, drills};
pub(crate) use export::{checksum_of_file, export};
pub(crate) use inspect::inspect_schema;
pub(crate) use known_damage::remember_packs as remember_damaged_packs;
pub(crate) use list::{get, head_object, list};
pub(crate) use metrics::metrics;
pub(crate) use pins::{pin, unpin};
pub(crate) use prune::{How as HowToPrune, prune};
pub(crate) use recovery::Recovery;
pub(crate) use rescue::rescue;
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
use crate::repository::identity::{self, Identity};
use crate::repository::instance::Place;
use crate::repository::lock::{Lock, Mode, Subject};
use crate::repository::manifest::Head;
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
    /// A process that still writes into the deleted file of a lost database does not keep it from being replaced.
    pub(crate) force: bool,
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
            force: false,
            tally: Arc::default(),
        })
    }

    /// The same, for one tier only.
    pub(crate) fn of_tier(self, tier: Option<Tier>) -> Self {
        Self { tier, ..self }
    }

    /// The same, for somebody who knows who is left behind.
    pub(crate) fn forced(self, force: Option<bool>) -> Self {
        Self {
            force: force.unwrap_or_default(),
            ..self
        }
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

    /// The configured path of the database without links: identity, lineage and locks go by it.
    fn database(&self) -> Result<PathBuf> {
        let Some(path) = &self.config.database_path else {
            fail!(
                InvalidArgument,
                "this operation needs a database: set DATABASE_URL or the option databaseUrl"
            );
        };
        Ok(canonical(path))
    }

    /// Who the configured database is among the snapshots in reach.
    fn identity(&self, heads: &[Head]) -> Result<Identity> {
        Identity::of(&self.repository, self.place(self.database()?), heads)
    }

    /// As [`Context::identity`]; `None` where neither a database nor a name is configured: then the repository
    /// as a whole is meant.
    fn identity_if_any(&self, heads: &[Head]) -> Result<Option<Identity>> {
        match (&self.config.database_path, &self.config.database_id) {
            (Some(_), _) => self.identity(heads).map(Some),
            (None, Some(id)) => Identity::named(&self.repository, id, heads).map(Some),
            (None, None) => Ok(None),
        }
    }

    /// Tells which database made which snapshot, whatever is configured.
    fn makers(&self, heads: &[Head]) -> Result<Identity> {
        match self.identity_if_any(heads)? {
            Some(identity) => Ok(identity),
            None => Identity::nobody(&self.repository, heads),
        }
    }

    /// Who the database at that path is, which need not be the configured one.
    fn identity_at(&self, database: &Path, heads: &[Head]) -> Result<Identity> {
        if self.database().is_ok_and(|configured| configured == database) {
            return self.identity(heads);
        }
        let place = Place {
            path: database.to_path_buf(),
            configured: database.to_path_buf(),
            id: None,
        };
        Identity::of_other(&self.repository, place, heads)
    }

    /// Before anything is restored that would change the notes from which it follows who made them.
    fn adopt_older_snapshots(&self) -> Result<()> {
        if identity::is_adopted(&self.repository) {
            return Ok(());
        }
        let place = self.database().ok().map(|path| self.place(path));
        identity::adopt_older(&self.repository, place.as_ref(), &self.repository.readable_heads()?)
    }

    fn place(&self, path: PathBuf) -> Place {
        Place {
            configured: self.config.database_place.clone().unwrap_or_else(|| path.clone()),
            path,
            id: self.config.database_id.clone(),
        }
    }

    /// As [`Context::database`], for what works with its content: a restore that was cut off while the
    /// database had no file is settled first.
    fn settled_database(&self) -> Result<PathBuf> {
        let database = self.database()?;
        if unfinished::check(self, &database).is_err() {
            drop(self.lock_for_writing("settle")?);
            unfinished::check(self, &database)?;
        }
        Ok(database)
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
        let held = Held::new(&self.repository, lock)?;
        let exclusive = self.repository.hold_exclusively();
        self.repository.sweep_after_crash()?;
        self.repository.init()?;
        let marker = self.repository.mark_as_busy()?;
        self.adopt_older_snapshots()?;
        unfinished::finish(self)?;
        Ok(Writing {
            _exclusive: exclusive,
            _marker: Some(marker),
            _held: held,
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
        let held = Held::new(&self.repository, lock)?;
        let exclusive = self.repository.hold_exclusively();
        self.repository.sweep_after_crash()?;
        unless_full(self.repository.init())?;
        let marker = unless_full(self.repository.mark_as_busy())?;
        unless_full(self.adopt_older_snapshots())?;
        unless_full(unfinished::finish(self))?;
        Ok(Writing {
            _exclusive: exclusive,
            _marker: marker,
            _held: held,
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
    _held: Held,
}

/// While this lives, the repository is only changed where its path leads to the lock.
struct Held {
    repository: Repository,
    _lock: Lock,
}

impl Held {
    fn new(repository: &Repository, lock: Lock) -> Result<Self> {
        repository.hold(&lock)?;
        Ok(Self {
            repository: repository.clone(),
            _lock: lock,
        })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.repository.let_go();
    }
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
