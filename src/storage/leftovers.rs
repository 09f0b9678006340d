//! Files that are written outside the repository, and what killed processes leave of them.
//!
//! Whoever writes such a file holds a lock on it, which dies with the process: so a file of our name that nobody
//! has locked is left over, whatever the clock says.

use std::ffi::OsStr;
use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use tempfile::NamedTempFile;

/// Names of ours. Nothing else in a folder of somebody else's is ever touched.
const PREFIX: &str = ".snapshot-writer-export-";
const RANDOM: usize = 6;

/// A new file beside what it will become, locked for as long as it is being written. Removes first what killed
/// processes left there.
pub(crate) fn new_file_in(folder: &Path) -> io::Result<NamedTempFile> {
    remove_leftovers(folder);
    loop {
        let file = tempfile::Builder::new()
            .prefix(PREFIX)
            .rand_bytes(RANDOM)
            .tempfile_in(folder)?;
        match file.as_file().try_lock() {
            Ok(()) if is_at(file.as_file(), file.path()) => return Ok(file),
            // Before it had its lock somebody took it for left over.
            Ok(()) | Err(TryLockError::WouldBlock) => {}
            // Where there are no locks nobody can tell what is left over, and nobody removes it.
            Err(TryLockError::Error(_)) => return Ok(file),
        }
    }
}

/// Best effort: what stays is removed by a later call.
fn remove_leftovers(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten().filter(|entry| is_ours(&entry.file_name())) {
        // A file, and not what a link of that name leads to.
        if !entry.file_type().is_ok_and(|kind| kind.is_file()) {
            continue;
        }
        let path = entry.path();
        let Ok(file) = File::open(&path) else { continue };
        if file.try_lock().is_ok() && is_at(&file, &path) && fs::remove_file(&path).is_ok() {
            tracing::info!(file = %path.display(), "a file that a killed export had left was removed");
        }
    }
}

fn is_ours(name: &OsStr) -> bool {
    let random = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
    random.is_some_and(|random| random.len() == RANDOM && random.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}

/// Whether a path still leads to an open file.
fn is_at(file: &File, path: &Path) -> bool {
    let same = || Ok::<_, io::Error>((file.metadata()?, fs::symlink_metadata(path)?));
    same().is_ok_and(|(open, there)| (open.dev(), open.ino()) == (there.dev(), there.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_of_ours_that_nobody_writes_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let held = new_file_in(folder.path()).unwrap();
        let strangers = [".snapshot-writer-export-no", ".snapshot-writer-abcdef", "app.db"];
        for name in strangers.iter().chain(&[".snapshot-writer-export-abc123"]) {
            fs::write(at(name), "x").unwrap();
        }
        std::os::unix::fs::symlink(at("app.db"), at(".snapshot-writer-export-linked")).unwrap();

        let new = new_file_in(folder.path()).unwrap();

        assert!(!at(".snapshot-writer-export-abc123").exists());
        assert!(held.path().exists() && new.path().exists());
        assert!(at(".snapshot-writer-export-linked").is_symlink());
        assert!(strangers.iter().all(|name| at(name).exists()));
    }
}
