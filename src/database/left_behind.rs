//! A database file that was deleted, or replaced by another, while a process had it open: that process
//! goes on writing into the file without a name, and what it writes ends with it.
//!
//! Linux tells in `/proc` which processes these are, as far as we may look into them: those of the same
//! PID namespace, and of the same user unless we are root. Elsewhere nothing is known.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::byte_locks::{Bytes, Change, change, holder};
use super::header::{HEADER_BYTES, Header};
use super::holders::{self, Holder, companion};
use super::raw_files::file_error;
use crate::error::{Result, fail};
use crate::storage::io_error;

/// What the kernel appends to the name of an open file that has lost it.
const DELETED: &[u8] = b" (deleted)";
const PAUSE: Duration = Duration::from_millis(20);

/// A file that a process has open under the database's name or a companion's.
struct OpenFile {
    /// Opens the very file, whatever has become of its name.
    link: PathBuf,
    /// What follows the database's name: nothing, `-wal`, `-shm` or `-journal`.
    suffix: &'static str,
    is_deleted: bool,
    is_writable: bool,
}

/// The processes that have a deleted file of the database open for writing.
pub(crate) fn writers(database: &Path) -> Vec<Holder> {
    let ourselves = std::process::id();
    let is_left_behind = |pid: &u32| {
        let is_data = |file: &OpenFile| matches!(file.suffix, "" | "-wal");
        *pid != ourselves
            && open_files(*pid, database).any(|file| file.is_deleted && file.is_writable && is_data(&file))
    };
    holders::pids().filter(is_left_behind).map(holders::named).collect()
}

/// The files of one process that bear, or bore, the names of the database and its companions.
fn open_files(pid: u32, database: &Path) -> impl Iterator<Item = OpenFile> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    entries.filter_map(move |entry| {
        let link = entry.path();
        let target = fs::read_link(&link).ok()?;
        let target = target.as_os_str().as_bytes();
        let rest = target.strip_prefix(database.as_os_str().as_bytes())?;
        let (rest, is_deleted) = match rest.strip_suffix(DELETED) {
            // A file may be called like that.
            Some(rest) if !is_at(&link, OsStr::from_bytes(target)) => (rest, true),
            _ => (rest, false),
        };
        let suffixes = std::iter::once("").chain(holders::COMPANIONS);
        let suffix = suffixes.into_iter().find(|suffix| suffix.as_bytes() == rest)?;
        let is_writable = is_writable(pid, &entry.file_name());
        Some(OpenFile {
            link,
            suffix,
            is_deleted,
            is_writable,
        })
    })
}

/// Whether the file that a descriptor has open is the one at `path`.
fn is_at(link: &Path, path: &OsStr) -> bool {
    let identity = |path: &Path| fs::metadata(path).ok().map(|file| (file.dev(), file.ino()));
    identity(Path::new(path)).is_some_and(|there| Some(there) == identity(link))
}

/// How a descriptor was opened: the last two bits of the flags, which are octal.
fn is_writable(pid: u32, descriptor: &OsStr) -> bool {
    let info = Path::new(&format!("/proc/{pid}/fdinfo")).join(descriptor);
    let info = fs::read_to_string(info).unwrap_or_default();
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
    flags
        .and_then(|flags| u32::from_str_radix(flags.trim(), 8).ok())
        .is_some_and(|flags| flags & 3 != 0)
}

/// What of a deleted database is open somewhere, opened anew. Its locks are those of every other
/// connection, because they belong to the file and not to its name.
pub(crate) struct Deleted {
    main: File,
    wal: Option<File>,
    shm: Option<File>,
    journal: Option<File>,
    /// For messages.
    holder: Holder,
}

/// Finds the deleted database through whoever has it open. Of several generations, the one that was
/// written last.
pub(crate) fn find(database: &Path) -> Result<Option<Deleted>> {
    let mut newest: Option<(std::time::SystemTime, Deleted)> = None;
    for pid in holders::pids().filter(|pid| *pid != std::process::id()) {
        let files: Vec<OpenFile> = open_files(pid, database).collect();
        let lost = |file: &&OpenFile| file.is_deleted && matches!(file.suffix, "" | "-wal");
        if !files.iter().any(|file| lost(&file)) {
            continue;
        }
        let open = |suffix: &str| {
            // Deleted ones first: others may belong to the next generation.
            let of_kind = |deleted: bool| {
                files
                    .iter()
                    .filter(move |file| file.suffix == suffix && file.is_deleted == deleted)
            };
            of_kind(true).chain(of_kind(false)).find_map(|file| {
                let writable = OpenOptions::new().read(true).write(true).open(&file.link);
                writable.or_else(|_| File::open(&file.link)).ok()
            })
        };
        let Some(main) = open("") else { continue };
        let (wal, shm) = (open("-wal"), open("-shm"));
        let written = |file: &File| file.metadata().and_then(|file| file.modified()).ok();
        let at = written(&main)
            .max(wal.as_ref().and_then(written))
            .unwrap_or(std::time::UNIX_EPOCH);
        if newest.as_ref().is_none_or(|(before, _)| *before < at) {
            // Of a writer that died the journal still lies at its name.
            let journal = open("-journal").or_else(|| File::open(companion(database, "-journal")).ok());
            let holder = holders::named(pid);
            newest = Some((
                at,
                Deleted {
                    main,
                    wal,
                    shm,
                    journal,
                    holder,
                },
            ));
        }
    }
    Ok(newest.map(|(_, deleted)| deleted))
}

impl Deleted {
    pub(crate) fn holder(&self) -> &Holder {
        &self.holder
    }

    /// Whether the latest commits may be missing: the database has a WAL, and nobody has it.
    pub(crate) fn lacks_wal(&self) -> Result<bool> {
        Ok(self.wal.is_none() && self.is_wal()?)
    }

    fn is_wal(&self) -> Result<bool> {
        use std::os::unix::fs::FileExt;
        let mut start = [0; HEADER_BYTES];
        let read = self
            .main
            .read_at(&mut start, 0)
            .map_err(|error| self.error("read", error))?;
        Ok(Header::parse(&start[..read]).is_some_and(|header| header.read_version == 2))
    }

    /// Copies one instant of the database to `copy`, with its WAL or hot journal, so that SQLite opens
    /// it like any other. Commits wait meanwhile in rollback mode, checkpoints in WAL mode.
    pub(crate) fn copy_to(&mut self, copy: &Path, deadline: Instant) -> Result<()> {
        let is_wal = self.is_wal()?;
        if is_wal {
            self.hold_up_checkpoints(deadline)?;
        } else {
            self.hold_up_commits(deadline)?;
        }
        write_copy(&mut self.main, copy)?;
        if is_wal {
            return self
                .wal
                .as_mut()
                .map_or(Ok(()), |wal| write_copy(wal, &companion(copy, "-wal")));
        }
        // The journal of a writer that lives is not to be rolled back: it has not written to the file yet.
        let is_being_written = holder(&self.main, Bytes::RESERVED)
            .map_err(|error| self.error("lock", error))?
            .is_some();
        match &mut self.journal {
            Some(journal) if !is_being_written => write_copy(journal, &companion(copy, "-journal")),
            _ => Ok(()),
        }
    }

    /// Nobody moves the WAL into the file while this lock is held, so the file stays as it is. Writers may
    /// go on: they append to the WAL, and SQLite reads a copy of it as far as its last whole commit. They
    /// may also begin it anew, but only when everything in it is in the file.
    fn hold_up_checkpoints(&self, deadline: Instant) -> Result<()> {
        match &self.shm {
            Some(shm) => self.lock(shm, Bytes::WAL_CHECKPOINT, Change::Exclude, deadline),
            // In exclusive mode there is no `-shm`, and nobody else may read.
            None => self.lock(&self.main, Bytes::SHARED, Change::Share, deadline),
        }
    }

    /// As a reader does: a writer that has begun to commit is let through first.
    fn hold_up_commits(&self, deadline: Instant) -> Result<()> {
        self.lock(&self.main, Bytes::PENDING, Change::Share, deadline)?;
        let locked = self.lock(&self.main, Bytes::SHARED, Change::Share, deadline);
        change(&self.main, Bytes::PENDING, Change::Release).map_err(|error| self.error("unlock", error))?;
        locked
    }

    fn lock(&self, file: &File, bytes: Bytes, how: Change, deadline: Instant) -> Result<()> {
        while !change(file, bytes, how).map_err(|error| self.error("lock", error))? {
            if Instant::now() >= deadline {
                fail!(
                    DatabaseBusy,
                    "the deleted database is locked by {} (a long transaction, or PRAGMA locking_mode=EXCLUSIVE); nothing was \
                     stored. Let it finish its transaction, and do not end it before this works",
                    holders::describe(std::slice::from_ref(&self.holder))
                );
            }
            sleep(PAUSE);
        }
        Ok(())
    }

    fn error(&self, verb: &str, error: std::io::Error) -> crate::error::Error {
        file_error(verb, Path::new(&format!("/proc/{}/fd", self.holder.pid)), error)
    }
}

fn write_copy(from: &mut File, to: &Path) -> Result<()> {
    let mut copy = || {
        from.rewind()?;
        let mut copy = File::create_new(to)?;
        std::io::copy(&mut from.by_ref(), &mut copy)
    };
    copy().map(drop).map_err(|error| io_error("write", to, error))
}
