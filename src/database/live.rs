//! The connection through which a database is copied and then overwritten. It stays on the file
//! that it was opened on, and tells under the write lock whether anybody has committed since the copy.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::config::DbConfig;

use super::connect::{database_error, has_moved, open_for_restore};
use super::source::PageSource;
use crate::error::{Code, Error, Result};

/// A connection to the file that is at `path`, and that no other file may take the place of.
pub(crate) struct Live {
    pub(super) connection: Rc<Connection>,
    pub(super) path: PathBuf,
    /// SQLite compares inodes only.
    device: u64,
    inode: u64,
}

impl Live {
    /// Opens the database. No lock is taken and nothing is read yet.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let connection = open_for_restore(path)?;
        // The last one out must not checkpoint away the application's WAL, least of all when nothing was changed.
        connection
            .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)
            .map_err(|error| database_error("write", path, error))?;
        let Some((device, inode)) = identity(path) else {
            return Err(moved(path, "nothing was changed"));
        };
        let live = Self {
            connection: Rc::new(connection),
            path: path.to_owned(),
            device,
            inode,
        };
        live.check_not_moved("nothing was changed")?;
        Ok(live)
    }

    /// Device and inode of the file.
    pub(crate) fn identity(&self) -> (u64, u64) {
        (self.device, self.inode)
    }

    /// Reads pages through the same connection; each transaction waits for SQLite's locks as long as `patience`.
    pub(crate) fn source(&self, patience: Duration) -> Result<PageSource> {
        PageSource::over(Rc::clone(&self.connection), &self.path, patience)
    }

    /// Fails when the path leads to another file by now, or to none.
    pub(super) fn check_not_moved(&self, what_is_left: &str) -> Result<()> {
        if identity(&self.path) != Some(self.identity()) || has_moved(&self.connection)? {
            return Err(moved(&self.path, what_is_left));
        }
        Ok(())
    }
}

/// Device and inode of the file at a path.
pub(super) fn identity(path: &Path) -> Option<(u64, u64)> {
    path.metadata().ok().map(|file| (file.dev(), file.ino()))
}

fn moved(path: &Path, what_is_left: &str) -> Error {
    Error::new(
        Code::DatabaseMoved,
        format!(
            "{} was renamed or replaced while we worked on it; {what_is_left}",
            path.display()
        ),
    )
}
