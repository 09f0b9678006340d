//! Objects as files below one folder.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use tempfile::NamedTempFile;

use super::anchor::Anchor;
use super::{Object, Reader, Staged, Store};
use crate::error::{Code, Error, Result};
use crate::failpoint;

/// Scratch folder below the root; what a killed process leaves there is swept by the next one.
pub(crate) const SCRATCH: &str = "local/scratch";

/// A store in a folder. The folder is made when something is first staged.
#[derive(Clone, Debug)]
pub(crate) struct LocalStore {
    root: PathBuf,
    /// While an operation holds the lock: nothing is written or removed in another folder.
    anchor: Anchor,
}

impl LocalStore {
    pub(crate) fn new(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            anchor: Anchor::default(),
        }
    }

    pub(crate) fn anchor(&self) -> &Anchor {
        &self.anchor
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The file of an object. Keys are made by the repository and never hold user text.
    pub(crate) fn path(&self, key: &str) -> PathBuf {
        self.root.join(key)
    }

    /// The scratch folder, made if needed.
    pub(crate) fn scratch(&self) -> Result<PathBuf> {
        self.anchor.check()?;
        let folder = self.root.join(SCRATCH);
        make_folder(&folder, &self.root)?;
        Ok(folder)
    }

    /// Removes what killed processes left in the scratch folder. Call it under the exclusive lock.
    pub(crate) fn sweep_scratch(&self) -> Result<()> {
        let folder = self.root.join(SCRATCH);
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(io_error("clear the scratch folder", &folder, error))
            }
            _ => Ok(()),
        }
    }
}

impl Store for LocalStore {
    fn stage(&self, key: &str) -> Result<Box<dyn Staged>> {
        let scratch = self.scratch()?;
        let file = NamedTempFile::new_in(&scratch).map_err(|error| io_error("create a file in", &scratch, error))?;
        adopt(file.path(), &self.root)?;
        Ok(Box::new(StagedFile {
            root: self.root.clone(),
            anchor: self.anchor.clone(),
            target: self.path(key),
            file,
        }))
    }

    fn open(&self, key: &str) -> Result<Box<dyn Reader>> {
        let path = self.path(key);
        let open = || {
            let file = File::open(&path)?;
            let size = file.metadata()?.len();
            Ok((file, size))
        };
        let (file, size) = open().map_err(|error: io::Error| match error.kind() {
            io::ErrorKind::NotFound => {
                Error::new(Code::SnapshotDamaged, format!("{} is missing", path.display())).because(error)
            }
            _ => io_error("open", &path, error),
        })?;
        Ok(Box::new(LocalReader { path, file, size }))
    }

    fn list(&self, prefix: &str) -> Result<Vec<Object>> {
        let mut objects = Vec::new();
        let folder = prefix.rsplit_once('/').map_or("", |(folder, _)| folder);
        list_folder(&self.root, folder, &mut objects)?;
        objects.retain(|object| object.key.starts_with(prefix));
        objects.sort();
        Ok(objects)
    }

    fn remove(&self, key: &str) -> Result<()> {
        self.anchor.check()?;
        let path = self.path(key);
        match fs::remove_file(&path) {
            Ok(()) => sync_folder(path.parent().unwrap_or(&self.root)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(io_error("delete", &path, error)),
        }
    }

    fn locate(&self, key: &str) -> String {
        self.path(key).display().to_string()
    }
}

fn list_folder(root: &Path, folder: &str, objects: &mut Vec<Object>) -> Result<()> {
    let path = root.join(folder);
    let entries = match fs::read_dir(&path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(io_error("list", &path, error)),
    };
    for entry in entries {
        let entry = entry.map_err(|error| io_error("list", &path, error))?;
        // A name that is not UTF-8 was not written by us.
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        let key = if folder.is_empty() {
            name
        } else {
            format!("{folder}/{name}")
        };
        // What is being written is not there yet.
        if key == SCRATCH {
            continue;
        }
        match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => list_folder(root, &key, objects)?,
            Ok(metadata) => objects.push(Object {
                key,
                size: metadata.len(),
                modified: modified(&metadata),
            }),
            // Removed between the listing and the look.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(io_error("look at", &entry.path(), error)),
        }
    }
    Ok(())
}

fn modified(metadata: &fs::Metadata) -> Timestamp {
    let modified = metadata.modified().ok().and_then(|time| Timestamp::try_from(time).ok());
    modified.unwrap_or(Timestamp::UNIX_EPOCH)
}

struct StagedFile {
    root: PathBuf,
    anchor: Anchor,
    target: PathBuf,
    file: NamedTempFile,
}

impl Write for StagedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Staged for StagedFile {
    fn publish(self: Box<Self>) -> Result<()> {
        self.anchor.check()?;
        make_folder(self.target.parent().unwrap_or(&self.root), &self.root)?;
        publish(self.file, &self.target)
    }
}

/// The one way a file of ours becomes visible: sync it, give it its name without replacing
/// anything, sync the folder. (Writing and verifying come before.)
pub(crate) fn publish(file: NamedTempFile, target: &Path) -> Result<()> {
    failpoint::reached("publish.before-sync")?;
    file.as_file()
        .sync_all()
        .map_err(|error| io_error("sync", file.path(), error))?;
    failpoint::reached("publish.before-rename")?;
    let staged = file.into_temp_path();
    rename_no_replace(&staged, target).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => Error::new(
            Code::SnapshotExists,
            format!("{} exists; it was left as it is", target.display()),
        )
        .because(error),
        _ => io_error("publish", target, error),
    })?;
    // The name has moved; there is nothing left to delete when `staged` goes.
    let _ = staged.keep();
    failpoint::reached("publish.before-folder-sync")?;
    sync_folder(target.parent().unwrap_or(Path::new("/")))
}

/// Replaces a small file of bookkeeping (cache, intent) atomically: same steps, but over the old one.
pub(crate) fn replace(file: NamedTempFile, target: &Path) -> Result<()> {
    file.as_file()
        .sync_all()
        .map_err(|error| io_error("sync", file.path(), error))?;
    file.persist(target)
        .map_err(|error| io_error("replace", target, error.error))?;
    sync_folder(target.parent().unwrap_or(Path::new("/")))
}

/// `rename` that fails when `to` exists.
pub(crate) fn rename_no_replace(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // Some file systems know no RENAME_NOREPLACE; a hard link refuses an existing name as well.
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {
            fs::hard_link(from, to)?;
            fs::remove_file(from)
        }
        other => other.map_err(io::Error::from),
    }
}

/// Makes a folder's entries durable.
pub(crate) fn sync_folder(folder: &Path) -> Result<()> {
    File::open(folder)
        .and_then(|file| file.sync_all())
        .map_err(|error| io_error("sync the folder", folder, error))
}

/// Makes a folder and its parents; those below `root` take owner and mode of `root`.
pub(crate) fn make_folder(folder: &Path, root: &Path) -> Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    if let Some(parent) = folder.parent() {
        make_folder(parent, root)?;
    }
    match fs::create_dir(folder) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => return Ok(()),
        Err(error) => return Err(io_error("make the folder", folder, error)),
    }
    if folder != root && folder.starts_with(root) {
        adopt(folder, root)?;
    }
    sync_folder(folder.parent().unwrap_or(Path::new("/")))
}

/// Gives a new file or folder owner and mode of the folder `like`, so that a cron job of
/// root and an application of another user share one repository.
pub(crate) fn adopt(path: &Path, like: &Path) -> Result<()> {
    let adopt = || {
        let model = fs::metadata(like)?;
        let own = fs::metadata(path)?;
        if (own.uid(), own.gid()) != (model.uid(), model.gid()) {
            // Only root may give files away; for anybody else the file simply stays theirs.
            let _ = chown(path, Some(model.uid()), Some(model.gid()));
        }
        let mode = if own.is_dir() {
            model.mode() & 0o7777
        } else {
            model.mode() & 0o666
        };
        fs::set_permissions(path, fs::Permissions::from_mode(mode))
    };
    adopt().map_err(|error| io_error("set owner and mode of", path, error))
}

struct LocalReader {
    path: PathBuf,
    file: File,
    size: u64,
}

impl Reader for LocalReader {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        self.file
            .read_exact_at(buffer, offset)
            .map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => Error::new(
                    Code::SnapshotDamaged,
                    format!(
                        "{} ends at byte {}, before byte {}",
                        self.path.display(),
                        self.size,
                        offset + buffer.len() as u64
                    ),
                ),
                _ => io_error("read", &self.path, error),
            })
    }
}

/// An `io::Error` on the repository, as the error whose code says what to do.
pub(crate) fn io_error(verb: &str, path: &Path, error: io::Error) -> Error {
    let (code, hint) = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => (
            Code::RepositoryFull,
            "no space left; earlier snapshots are untouched: free some space or point SNAPSHOT_DIR elsewhere",
        ),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::NotADirectory => (
            Code::RepositoryUnwritable,
            "not permitted; check owner and mode of SNAPSHOT_DIR",
        ),
        _ => (Code::RepositoryIo, "the file system refused"),
    };
    Error::new(code, format!("cannot {verb} {}: {hint}", path.display())).because(error)
}

#[cfg(test)]
#[path = "local_tests.rs"]
mod tests;
