//! Room on a disk.

use std::path::Path;

use super::io_error;
use crate::error::Result;

/// Bytes that an ordinary user may still write below `path`, which need not exist yet.
pub(crate) fn free_bytes(path: &Path) -> Result<u64> {
    let there = path
        .ancestors()
        .find(|folder| folder.exists())
        .unwrap_or(Path::new("/"));
    let disk = rustix::fs::statvfs(there).map_err(|error| io_error("look at the disk of", there, error.into()))?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

    use super::*;

    #[test]
    fn a_folder_that_is_not_there_yet_is_on_the_disk_of_its_parents() {
        let folder = tempfile::tempdir().unwrap();
        assert!(free_bytes(&folder.path().join("not/yet/there")).unwrap() > 0);
    }
}
