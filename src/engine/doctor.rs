//! The facts of a diagnosis. What they mean, and what is to be done, is said by the façade
//! (`lib/doctor/`). Each fact stands alone: one that cannot be found out says why.
//!
//! Nothing of the database or the repository is changed. In the bucket, objects of our own are
//! written and removed again, as `check-storage` does it.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::standing::Backwards;
use super::{Context, Host};
use crate::config::Config;
use crate::database::libraries::{Library, Scanner};
use crate::database::look::{self, Look};
use crate::database::{connect, holders, left_behind};
use crate::error::{Code, Error, Result, fail};
use crate::storage::{S3Store, Store, free_bytes};

/// A diagnosis does not wait for a lock as long as work does.
const PATIENCE: Duration = Duration::from_secs(5);

/// Looks at everything. `with_repository`: somebody said where the repository is.
pub(crate) fn doctor(config: Config, host: Arc<dyn Host>, with_repository: bool) -> Value {
    let mut facts = json!({ "sqlite": connect::own_sqlite(), "user": rustix::process::getuid().as_raw() });
    if let Some(path) = config.database_path.clone() {
        let path = super::canonical(&path);
        // Before anything is opened through SQLite: this reads the file itself.
        let looked = unsettled(&config, &host).and_then(|()| look::look(&path));
        let opened_by = holders::are_known().then(|| who(&path));
        let is_in_use = opened_by.as_ref().is_none_or(|who| !who.holders.is_empty());
        facts["content"] = fact(content(&path, looked.as_ref().ok(), is_in_use, &config));
        facts["database"] = fact(looked);
        facts["processes"] = json!(opened_by);
        facts["leftBehind"] = json!(left_behind(&path));
        facts["disks"] = json!(disks(&path, with_repository.then_some(&*config.snapshot_dir)));
    }
    if with_repository {
        facts["repository"] = json!(repository(&config.snapshot_dir));
        match Context::new(config, host) {
            Ok(context) => {
                let heads = context.repository.local_heads();
                facts["backwards"] = json!(heads.as_ref().ok().and_then(|heads| Backwards::among(heads)));
                facts["snapshots"] = fact(heads.map(|heads| heads.last().map(|head| head.created_at)));
                facts["storage"] = json!(context.repository.bucket().map(storage));
            }
            Err(error) => facts["snapshots"] = fact::<()>(Err(error)),
        }
    }
    facts
}

/// Fails while a restore that was cut off keeps the database aside. A repository that cannot be opened says so elsewhere.
fn unsettled(config: &Config, host: &Arc<dyn Host>) -> Result<()> {
    let Ok(context) = Context::new(config.clone(), Arc::clone(host)) else {
        return Ok(());
    };
    super::unfinished::check(&context, &context.database()?)
}

/// `{ value }`, or `{ error: { code, message } }`.
fn fact<T: Serialize>(found: Result<T>) -> Value {
    match found {
        Ok(value) => json!({ "value": value }),
        Err(error) => json!({ "error": { "code": error.code.as_str(), "message": error.story() } }),
    }
}

/// What is in the database. Opening one whose last transaction was cut off would roll that back,
/// which is for those who work with it.
fn content(path: &Path, looked: Option<&Look>, is_in_use: bool, config: &Config) -> Result<look::Content> {
    let is_hot = |look: &Look| look.has_hot_journal && look.stranded.is_empty();
    if !is_in_use && looked.is_some_and(is_hot) {
        fail!(
            DatabaseBusy,
            "a transaction was cut off and waits to be rolled back, which happens when the application opens the database"
        );
    }
    let is_settled = !is_in_use && looked.is_some_and(|look| look.wal_size.is_none());
    look::content(path, is_settled, Instant::now() + config.lock_timeout().min(PATIENCE))
}

/// The processes around the database.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Who {
    holders: Vec<Holder>,
    /// Of the same user, but closed to us.
    hidden: Vec<u32>,
    /// Who keeps everybody else out at this moment.
    exclusive: Option<u32>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Holder {
    pid: u32,
    name: String,
    /// Its working directory, which tells one Node.js from another.
    folder: Option<PathBuf>,
    /// Descriptors of the database file: connections.
    connections: usize,
    /// `None`: it cannot be looked into.
    libraries: Option<Vec<Library>>,
    /// As PM2 started it.
    pm2: Option<Pm2>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Pm2 {
    kill_timeout: Option<u64>,
}

fn who(database: &Path) -> Who {
    let mut scanner = Scanner::default();
    let describe = |holder: holders::Holder| Holder {
        folder: fs::read_link(format!("/proc/{}/cwd", holder.pid)).ok(),
        connections: holders::connections(holder.pid, database),
        libraries: scanner.copies(holder.pid).ok(),
        pm2: pm2(holder.pid),
        pid: holder.pid,
        name: holder.name,
    };
    Who {
        holders: holders::holders(database).into_iter().map(describe).collect(),
        hidden: holders::hidden(database).into_iter().map(|hidden| hidden.pid).collect(),
        exclusive: holders::exclusive_holder(database),
    }
}

/// A process that still writes into a deleted file of the database's name.
#[derive(Serialize)]
struct LeftBehind {
    pid: u32,
    name: String,
}

fn left_behind(database: &Path) -> Vec<LeftBehind> {
    let writers = left_behind::writers(database).into_iter();
    writers
        .map(|holder| LeftBehind {
            pid: holder.pid,
            name: holder.name,
        })
        .collect()
}

/// Two names are looked for in a process's environment; nothing else of it is kept.
fn pm2(pid: u32) -> Option<Pm2> {
    let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
    let variable = |name: &str| {
        environment
            .split(|byte| *byte == 0)
            .find_map(|entry| entry.strip_prefix(name.as_bytes())?.strip_prefix(b"="))
    };
    variable("pm_id")?;
    let kill_timeout = variable("kill_timeout").and_then(|text| std::str::from_utf8(text).ok()?.parse().ok());
    Some(Pm2 { kill_timeout })
}

/// Room on the disks that are written to.
#[derive(Serialize)]
struct Disk {
    what: &'static str,
    folder: PathBuf,
    /// Tells whether two folders share a disk; `None` where that cannot be seen.
    device: Option<u64>,
    free: Option<u64>,
}

fn disks(database: &Path, repository: Option<&Path>) -> Vec<Disk> {
    let disk = |what, folder: &Path| Disk {
        what,
        folder: folder.to_path_buf(),
        device: folder
            .ancestors()
            .find_map(|folder| fs::metadata(folder).ok())
            .map(|at| at.dev()),
        free: free_bytes(folder).ok(),
    };
    let mut disks = vec![disk("database", database.parent().unwrap_or(Path::new("/")))];
    disks.extend(repository.map(|folder| disk("repository", folder)));
    disks.push(disk("temporary", &std::env::temp_dir()));
    disks
}

/// Who may do what with the repository.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Place {
    folder: PathBuf,
    exists: bool,
    /// Where a link on the way to it leads, when there is nothing: a disk that is not mounted.
    leads_nowhere: Option<PathBuf>,
    owner: Option<u32>,
    mode: Option<u32>,
    /// Where we may not write; the repository itself, or what would hold it, comes first.
    unwritable: Vec<PathBuf>,
}

fn repository(root: &Path) -> Place {
    use rustix::fs::{Access, access};
    let metadata = fs::metadata(root).ok();
    let may_write = |path: &Path| access(path, Access::WRITE_OK | Access::EXEC_OK).is_ok();
    let nearest = root
        .ancestors()
        .find(|folder| folder.exists())
        .unwrap_or(Path::new("/"));
    let parts = ["packs", "snapshots", "local", crate::storage::SCRATCH];
    let inside = parts
        .into_iter()
        .map(|part| root.join(part))
        .filter(|part| part.exists());
    Place {
        folder: root.to_path_buf(),
        exists: metadata.is_some(),
        leads_nowhere: root
            .ancestors()
            .filter(|path| !path.exists())
            .find_map(|path| fs::read_link(path).ok()),
        owner: metadata.as_ref().map(MetadataExt::uid),
        mode: metadata.as_ref().map(|metadata| metadata.mode() & 0o7777),
        unwritable: std::iter::once(nearest.to_path_buf())
            .chain(inside)
            .filter(|path| !may_write(path))
            .collect(),
    }
}

fn storage(bucket: &S3Store) -> Value {
    let probe = bucket.probe();
    let clock = if probe.ok {
        fact(clock_offset(bucket))
    } else {
        fact::<i64>(Err(Error::new(Code::S3Failed, "the bucket could not be used")))
    };
    json!({ "probe": probe, "clock": clock })
}

/// Milliseconds by which this machine is ahead of the server's clock, which tells whole seconds.
fn clock_offset(bucket: &S3Store) -> Result<i64> {
    let key = format!("check/{}-clock", Uuid::new_v4());
    let before = Timestamp::now();
    bucket.put(&key, b"snapshot-writer doctor")?;
    let after = Timestamp::now();
    let written = bucket.get(&key);
    bucket.remove(&key)?;
    let Some(written) = written?.map(|object| object.modified.as_millisecond()) else {
        fail!(S3Failed, "an object that was just written is not there");
    };
    // It was written between the two moments: outside of them, the clocks differ.
    let (earliest, latest) = (before.as_millisecond(), after.as_millisecond());
    Ok(if written + 1000 < earliest {
        earliest - written - 1000
    } else {
        (latest - written).min(0)
    })
}

#[cfg(test)]
#[path = "doctor_tests.rs"]
mod tests;
