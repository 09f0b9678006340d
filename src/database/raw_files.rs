//! The database's files as the operating system sees them, without SQLite.

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Seek};
use std::path::{Path, PathBuf};

use super::holders::{self, COMPANIONS, companion};
use crate::error::{Code, Error, Result, fail};
use crate::storage::{FileId, adopt, io_error, make_folder, sync_folder};

/// Opens one of the database's files without SQLite. The one place that does.
///
/// Refused while this process has a connection to the database: closing the file would
/// silently drop all locks of that connection.
pub(crate) fn open_plain(database: &Path, file: &Path) -> Result<File> {
    if holders::is_open_here(database) {
        fail!(
            Internal,
            "{} must not be opened while this process has a connection to the database",
            file.display()
        );
    }
    File::open(file).map_err(|error| file_error("open", file, error))
}

/// Which file lies at `path`, one of the database's; `None`: none does.
pub(crate) fn file_id(database: &Path, path: &Path) -> Result<Option<FileId>> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(file_error("look at", path, error)),
        Ok(file) if !file.is_file() => return Ok(None),
        Ok(_) => {}
    }
    FileId::of(&open_plain(database, path)?)
        .map(Some)
        .map_err(|error| file_error("read", path, error))
}

/// Fails when the database's own file cannot be read to its end. SQLite calls a file damaged as well whose disk gives
/// an error back, so it is asked before anybody is told of damage. No connection may be open in this process.
pub(crate) fn check_readable(database: &Path) -> Result<()> {
    let mut file = open_plain(database, database)?;
    std::io::copy(&mut file, &mut std::io::sink())
        .map(drop)
        .map_err(|error| file_error("read", database, error))
}

/// The files of a database that SQLite cannot read, to be copied under its write lock.
///
/// The database itself is opened before SQLite's connection, and has to be closed after it: only
/// then does closing it drop no lock.
pub(crate) struct RawFiles {
    database: PathBuf,
    file: File,
}

impl RawFiles {
    pub(crate) fn open(database: &Path) -> Result<Self> {
        Ok(Self {
            database: database.to_path_buf(),
            file: open_plain(database, database)?,
        })
    }

    /// Copies the files, as far as they exist, into a new folder of the repository at `root`; returns
    /// how many. Not `-shm`, which holds our own lock and no content.
    ///
    /// A checkpoint may go on meanwhile, but what it moves stays in the WAL while the write lock is held.
    pub(crate) fn copy(&self, folder: &Path, root: &Path) -> Result<usize> {
        make_folder(folder, root)?;
        let name = folder.join(self.database.file_name().unwrap_or_default());
        let mut file = &self.file;
        file.rewind()
            .map_err(|error| file_error("read", &self.database, error))?;
        copy_file(file, &name, root)?;
        let mut copied = 1;
        for suffix in ["-wal", "-journal"] {
            let from = companion(&self.database, suffix);
            match File::open(&from) {
                Ok(file) => copy_file(&file, &companion(&name, suffix), root)?,
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => return Err(file_error("open", &from, error)),
            }
            copied += 1;
        }
        sync_folder(folder)?;
        Ok(copied)
    }
}

fn copy_file(mut source: &File, to: &Path, root: &Path) -> Result<()> {
    let mut target = File::create_new(to).map_err(|error| io_error("create", to, error))?;
    std::io::copy(&mut source, &mut target).map_err(|error| io_error("write", to, error))?;
    target.sync_all().map_err(|error| io_error("sync", to, error))?;
    adopt(to, root)
}

/// What bears the name of a database file, or of a companion that SQLite would apply to a new file of
/// that name.
pub(crate) fn in_the_way_of(file: &Path) -> Vec<PathBuf> {
    std::iter::once("")
        .chain(COMPANIONS)
        .map(|suffix| companion(file, suffix))
        .filter(|name| name.symlink_metadata().is_ok())
        .collect()
}

/// An `io::Error` on the database or in its folder.
pub(crate) fn file_error(verb: &str, path: &Path, error: std::io::Error) -> Error {
    let (code, hint) = match error.kind() {
        ErrorKind::NotFound => (Code::DatabaseNotFound, "it does not exist"),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            (Code::RepositoryFull, "no space left on the database's disk")
        }
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => (
            Code::DatabaseReadonly,
            "not permitted; check owner and mode of the database and its folder",
        ),
        ErrorKind::ResourceBusy => (
            Code::DatabaseBusy,
            "the system uses it, as where the file itself is mounted; mount its folder instead",
        ),
        _ => (Code::DatabaseIo, "the operating system reports an error"),
    };
    Error::new(code, format!("cannot {verb} {}: {hint}", path.display())).because(error)
}

/// Whether the file is made of whole sectors of noise.
pub(super) fn looks_encrypted(path: &Path) -> bool {
    let read = || {
        let mut file = open_plain(path, path).ok()?;
        let whole_sectors = file.metadata().ok()?.len() % 512 == 0;
        let mut start = Vec::new();
        file.by_ref().take(4096).read_to_end(&mut start).ok()?;
        Some(whole_sectors && is_noise(&start))
    };
    read().unwrap_or(false)
}

/// Encrypted bytes are spread evenly over all values: near 8 bits a byte in 4 KiB, 7.5 in 512 bytes.
fn is_noise(bytes: &[u8]) -> bool {
    let mut counts = [0_u32; 256];
    for byte in bytes {
        counts[usize::from(*byte)] += 1;
    }
    let total = bytes.len() as f64;
    let bits: f64 = counts
        .into_iter()
        .filter(|count| *count > 0)
        .map(|count| f64::from(count) / total)
        .map(|share| -share * share.log2())
        .sum();
    bits > 7.3
}
