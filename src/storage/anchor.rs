//! A folder can be unmounted, renamed or replaced while an operation works in it: its path then
//! leads somewhere else, where nothing may be written or removed, and nothing said to be stored.

use std::fs::{File, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::{Code, Error, Result, fail};

/// A file that is held open, and that the path of the folder leads to as long as the folder is
/// the one that the operation began with. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Anchor(Arc<Mutex<Option<Place>>>);

/// Where a file has to be.
#[derive(Debug)]
struct Place {
    path: PathBuf,
    /// Device and inode.
    file: (u64, u64),
}

impl Anchor {
    /// From now on `file`, which is open, has to be what `path` leads to.
    pub(crate) fn cast(&self, path: &Path, file: &File) -> Result<()> {
        let file = file.metadata().map_err(|error| gone(path).because(error))?;
        *self.place() = Some(Place {
            path: path.to_owned(),
            file: identity(&file),
        });
        Ok(())
    }

    /// The folder is no longer worked in.
    pub(crate) fn weigh(&self) {
        *self.place() = None;
    }

    /// Fails when the path leads to another file, or to none.
    pub(crate) fn check(&self) -> Result<()> {
        match &*self.place() {
            Some(Place { path, file }) => check_is_at(path, *file),
            None => Ok(()),
        }
    }

    fn place(&self) -> MutexGuard<'_, Option<Place>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether `path` leads to the file that is open as `file`.
pub(crate) fn is_at(file: &File, path: &Path) -> std::io::Result<bool> {
    let expected = identity(&file.metadata()?);
    Ok(check_is_at(path, expected).is_ok())
}

fn check_is_at(path: &Path, expected: (u64, u64)) -> Result<()> {
    let found = path.metadata().map_err(|error| gone(path).because(error))?;
    if identity(&found) != expected {
        fail!(
            RepositoryMoved,
            "{} is another file than the one that was locked; {REMEDY}",
            path.display()
        );
    }
    Ok(())
}

const REMEDY: &str = "the folder of the repository was unmounted, renamed or replaced meanwhile, or its local/ was \
    removed. Look what is mounted at SNAPSHOT_DIR, and call again";

fn gone(path: &Path) -> Error {
    Error::new(
        Code::RepositoryMoved,
        format!("{} cannot be found any more; {REMEDY}", path.display()),
    )
}

/// Device and inode.
fn identity(file: &Metadata) -> (u64, u64) {
    (file.dev(), file.ino())
}
