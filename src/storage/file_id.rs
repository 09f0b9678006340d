//! Which file it is, whatever name it has by now: what notes about moved and published files name.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Bytes at either end of a file that speak for its content.
const END: u64 = 64 * 1024;

/// A file. Its device is not part of it: that number may be another one after the next boot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FileId {
    inode: u64,
    /// Nanoseconds since 1970; `None` where the file system does not keep it. File systems give the
    /// number of a file that was deleted to the next one, so a number alone says nothing.
    born: Option<i64>,
    size: u64,
    /// SHA-256 of its beginning and its end.
    ends: String,
}

impl FileId {
    /// Reads both ends of the file.
    pub(crate) fn of(file: &File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        let size = metadata.len();
        let mut hash = Sha256::new();
        for (from, to) in [(0, size.min(END)), (size.saturating_sub(END).max(END).min(size), size)] {
            let mut part = vec![0; (to - from) as usize];
            file.read_exact_at(&mut part, from)?;
            hash.update(&part);
        }
        let born = metadata
            .created()
            .ok()
            .and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        Ok(Self {
            inode: metadata.ino(),
            born: born.and_then(|age| i64::try_from(age.as_nanos()).ok()),
            size,
            ends: hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect(),
        })
    }

    /// Whether a file of that number lies at `path`: enough while the file is known to exist.
    pub(crate) fn has_number_of(&self, path: &Path) -> bool {
        std::fs::symlink_metadata(path).is_ok_and(|file| file.ino() == self.inode)
    }

    /// Whether both are one file, whatever was written into it in between. Without a birth time the
    /// content has to be the same, too.
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.inode == other.inode
            && match (self.born, other.born) {
                (Some(one), Some(other)) => one == other,
                _ => (self.size, &self.ends) == (other.size, &other.ends),
            }
    }
}

/// A file that gets another name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Moved {
    pub(crate) from: PathBuf,
    pub(crate) to: PathBuf,
    pub(crate) file: FileId,
}

/// Whether two names are of one file.
pub(crate) fn is_one_file(one: &Path, other: &Path) -> bool {
    let number = |path: &Path| {
        std::fs::symlink_metadata(path)
            .map(|file| (file.dev(), file.ino()))
            .ok()
    };
    number(one).is_some() && number(one) == number(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_stays_itself_under_another_name_and_with_other_content() {
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (folder.path().join("one"), folder.path().join("other"));
        let id = |path: &Path| FileId::of(&File::open(path).unwrap()).unwrap();
        std::fs::write(&one, vec![7; 200_000]).unwrap();
        let before = id(&one);
        std::fs::rename(&one, &other).unwrap();
        assert!(before.is(&id(&other)));
        File::options()
            .append(true)
            .open(&other)
            .unwrap()
            .write_all_at(b"x", 0)
            .unwrap();
        assert_eq!(before.is(&id(&other)), before.born.is_some());
        std::fs::copy(&other, &one).unwrap();
        assert!(!before.is(&id(&one)), "a copy is another file");
    }

    /// ext4 gave the number of a deleted file to the next one 20 of 20 times.
    #[test]
    fn a_number_that_is_used_again_is_another_file() {
        let file = |born, ends: &str| FileId {
            inode: 12,
            born,
            size: 1,
            ends: ends.to_owned(),
        };
        assert!(!file(Some(1), "a").is(&file(Some(2), "a")));
        assert!(file(Some(1), "a").is(&file(Some(1), "b")));
        assert!(!file(None, "a").is(&file(None, "b")));
        assert!(file(None, "a").is(&file(Some(1), "a")));
    }
}
