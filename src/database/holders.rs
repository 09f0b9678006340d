//! Who has the database open, as Linux tells it in `/proc`. Elsewhere nothing is known.
//!
//! Nothing here opens the database or a file beside it: closing such a descriptor would drop
//! the locks that SQLite holds in this process. `stat` opens nothing.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{major, minor};

/// SQLite's companions of a database file, as appended to its name.
pub(crate) const COMPANIONS: [&str; 3] = ["-wal", "-shm", "-journal"];

/// The bytes of the database file that readers lock. Whoever locks them all for writing is alone.
const SHARED_RANGE: (u64, u64) = (0x4000_0002, 0x4000_01FF);

/// A process that has the database or one of its companions open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Holder {
    pub(crate) pid: u32,
    pub(crate) name: String,
}

/// A file as the kernel knows it, whatever its name.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
}

/// Whether this system tells who has a file open.
pub(crate) fn are_known() -> bool {
    Path::new("/proc/self/fd").is_dir()
}

/// The other processes that have the database, its `-wal`, `-shm` or `-journal` open.
///
/// Processes of other users, and of other containers, may be invisible: see [`hidden`].
pub(crate) fn holders(database: &Path) -> Vec<Holder> {
    let files = identities(database);
    if files.is_empty() {
        return Vec::new();
    }
    let ourselves = std::process::id();
    pids()
        .filter(|pid| *pid != ourselves && has_one_open(*pid, &files))
        .map(named)
        .collect()
}

/// How many descriptors of the database file itself a process has: one for each connection.
pub(crate) fn connections(pid: u32, database: &Path) -> usize {
    identity(database).map_or(0, |file| open_files(pid).filter(|open| *open == file).count())
}

/// Processes of the database's owner that we may not look into, so that they may be holders too.
///
/// Everybody else's are left out: nobody but root looks into all of them, and to suspect every
/// daemon would mean never to know.
pub(crate) fn hidden(database: &Path) -> Vec<Holder> {
    let Ok(file) = fs::metadata(database) else {
        return Vec::new();
    };
    pids()
        .filter(|pid| {
            let owner = fs::metadata(format!("/proc/{pid}")).map(|process| process.uid());
            owner.is_ok_and(|owner| owner == file.uid())
                && fs::read_dir(format!("/proc/{pid}/fd"))
                    .is_err_and(|error| error.kind() == std::io::ErrorKind::PermissionDenied)
        })
        .map(named)
        .collect()
}

/// Whether this very process has the database or a companion open.
pub(crate) fn is_open_here(database: &Path) -> bool {
    has_one_open(std::process::id(), &identities(database))
}

/// Whether a process has that file open.
pub(super) fn has_open(pid: u32, path: &Path) -> bool {
    identity(path).is_some_and(|file| has_one_open(pid, &[file]))
}

/// For a sentence: `node (pid 123), sqlite3 (pid 9)`.
pub(crate) fn describe(holders: &[Holder]) -> String {
    if holders.is_empty() {
        return "unknown processes".to_owned();
    }
    let each: Vec<_> = holders
        .iter()
        .map(|holder| format!("{} (pid {})", holder.name, holder.pid))
        .collect();
    each.join(", ")
}

/// The process that keeps everybody out of the database, readers included.
///
/// Every writer does so for a moment when it commits; one in `locking_mode=EXCLUSIVE` does not stop.
pub(crate) fn exclusive_holder(database: &Path) -> Option<u32> {
    let file = identity(database)?;
    let locks = fs::read_to_string("/proc/locks").ok()?;
    locks.lines().find_map(|line| {
        let lock = Lock::parse(line)?;
        let is_ours = lock.inode == file.inode
            // On overlay and btrfs file systems the table shows another device than `stat`.
            && (lock.device == device_text(file.device) || has_one_open(lock.pid, &[file]));
        (is_ours && lock.is_exclusive()).then_some(lock.pid)
    })
}

/// The database's path followed by a companion's suffix.
pub(crate) fn companion(database: &Path, suffix: &str) -> PathBuf {
    let mut path = database.as_os_str().to_owned();
    path.push(suffix);
    PathBuf::from(path)
}

/// A line of `/proc/locks`: `1: POSIX  ADVISORY  WRITE 1234 fe:00:131 1073741826 1073742335`.
struct Lock<'a> {
    writes: bool,
    pid: u32,
    device: &'a str,
    inode: u64,
    first: u64,
    last: u64,
}

impl<'a> Lock<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        // Those who wait for a lock have an arrow where the owners have the kind.
        let fields: Vec<_> = line.split_whitespace().collect();
        let [_, "POSIX", _, kind, pid, file, first, last] = fields[..] else {
            return None;
        };
        let (device, inode) = file.rsplit_once(':')?;
        Some(Self {
            writes: kind == "WRITE",
            pid: pid.parse().ok()?,
            device,
            inode: inode.parse().ok()?,
            first: first.parse().ok()?,
            last: if last == "EOF" { u64::MAX } else { last.parse().ok()? },
        })
    }

    fn is_exclusive(&self) -> bool {
        self.writes && self.first <= SHARED_RANGE.0 && self.last >= SHARED_RANGE.1
    }
}

fn device_text(device: u64) -> String {
    format!("{:02x}:{:02x}", major(device), minor(device))
}

fn identities(database: &Path) -> Vec<Identity> {
    // SQLite looks for the companions beside the file itself, not beside a link to it.
    let database = fs::canonicalize(database).unwrap_or_else(|_| database.to_owned());
    let companions = COMPANIONS.map(|suffix| companion(&database, suffix));
    std::iter::once(database.as_path())
        .chain(companions.iter().map(PathBuf::as_path))
        .filter_map(identity)
        .collect()
}

fn identity(path: &Path) -> Option<Identity> {
    let file = fs::metadata(path).ok()?;
    Some(Identity {
        device: file.dev(),
        inode: file.ino(),
    })
}

pub(super) fn pids() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn has_one_open(pid: u32, files: &[Identity]) -> bool {
    open_files(pid).any(|open| files.contains(&open))
}

fn open_files(pid: u32) -> impl Iterator<Item = Identity> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    // Following these links asks the kernel about the open file itself.
    entries.filter_map(|entry| identity(&entry.path()))
}

pub(super) fn named(pid: u32) -> Holder {
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    let name = match name.trim() {
        "" => "unknown",
        name => name,
    };
    Holder {
        pid,
        name: name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_lock_table() {
        let lock = Lock::parse("1: POSIX  ADVISORY  WRITE 1234 fe:00:131 1073741824 1073742335").unwrap();
        assert!(lock.is_exclusive());
        assert_eq!((lock.pid, lock.device, lock.inode), (1234, "fe:00", 131));
        let shared = Lock::parse("2: POSIX  ADVISORY  READ 1234 fe:00:131 1073741826 1073742335").unwrap();
        assert!(!shared.is_exclusive());
        let reserved = Lock::parse("3: POSIX  ADVISORY  WRITE 1234 fe:00:131 1073741825 1073741825").unwrap();
        assert!(!reserved.is_exclusive());
        assert!(Lock::parse("4: -> POSIX  ADVISORY  WRITE 1234 fe:00:131 0 EOF").is_none());
        assert!(Lock::parse("5: FLOCK  ADVISORY  WRITE 1234 fe:00:131 0 EOF").is_none());
    }

    #[test]
    fn describes_holders() {
        let node = Holder {
            pid: 123,
            name: "node".to_owned(),
        };
        assert_eq!(describe(&[]), "unknown processes");
        assert_eq!(describe(&[node]), "node (pid 123)");
    }
}
