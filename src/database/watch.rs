//! Noticing that somebody else commits.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::connect::{open_for_reading, wait_while_busy};
use super::source::data_version;
use crate::error::Result;

/// A connection that holds no lock; `data_version` changes when another one commits, in either journal mode.
pub(crate) struct CommitWatch {
    conn: Connection,
    path: PathBuf,
    patience: Duration,
    version: i64,
}

impl CommitWatch {
    pub(crate) fn start(path: &Path, patience: Duration) -> Result<Self> {
        let conn = open_for_reading(path)?;
        let version = wait_while_busy(path, Instant::now() + patience, || data_version(&conn))?;
        Ok(Self {
            conn,
            path: path.to_path_buf(),
            patience,
            version,
        })
    }

    /// Whether anybody committed since the start.
    pub(crate) fn somebody_committed(&self) -> Result<bool> {
        let now = wait_while_busy(&self.path, Instant::now() + self.patience, || data_version(&self.conn))?;
        Ok(now != self.version)
    }
}
