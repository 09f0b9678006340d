//! Ranges of an object that were fetched together and stay at hand, each at its own offset in a sparse file.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use crate::error::Result;
use crate::storage::io_error;

/// Ranges closer than this are fetched as one: a request costs more than these bytes.
const GAP: u64 = 64 << 10;

pub(super) struct Kept {
    scratch: PathBuf,
    file: OnceLock<File>,
    /// What the file holds: sorted, not touching each other.
    ranges: Mutex<Vec<Range<u64>>>,
}

impl Kept {
    pub(super) fn new(scratch: &Path) -> Self {
        Self {
            scratch: scratch.to_owned(),
            file: OnceLock::new(),
            ranges: Mutex::default(),
        }
    }

    /// What is wanted and not kept yet, near ranges joined.
    pub(super) fn missing(&self, wanted: Vec<Range<u64>>) -> Vec<Range<u64>> {
        let kept = self.ranges();
        let not_kept = wanted.into_iter().flat_map(|range| without(range, &kept));
        joined(not_kept.collect(), GAP)
    }

    pub(super) fn keep(&self, start: u64, bytes: &[u8]) -> Result<()> {
        let file = self.file()?;
        file.write_all_at(bytes, start)
            .map_err(|error| io_error("keep what was fetched in", &self.scratch, error))?;
        let mut ranges = self.ranges();
        ranges.push(start..start + bytes.len() as u64);
        *ranges = joined(std::mem::take(&mut *ranges), 0);
        Ok(())
    }

    /// Fills the buffer if all of it is kept.
    pub(super) fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<bool> {
        let end = offset + buffer.len() as u64;
        let is_kept = |range: &Range<u64>| range.start <= offset && end <= range.end;
        if !self.ranges().iter().any(is_kept) {
            return Ok(false);
        }
        self.file()?
            .read_exact_at(buffer, offset)
            .map_err(|error| io_error("read what was fetched into", &self.scratch, error))?;
        Ok(true)
    }

    /// The file, which has no name and goes with its last handle.
    fn file(&self) -> Result<&File> {
        if let Some(file) = self.file.get() {
            return Ok(file);
        }
        let made = std::fs::create_dir_all(&self.scratch).and_then(|()| tempfile::tempfile_in(&self.scratch));
        // Reading needs no repository of one's own that can be written.
        let file = made
            .or_else(|_| tempfile::tempfile())
            .map_err(|error| io_error("make a scratch file in", &self.scratch, error))?;
        Ok(self.file.get_or_init(|| file))
    }

    fn ranges(&self) -> MutexGuard<'_, Vec<Range<u64>>> {
        self.ranges.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is left of a range without these (which are sorted).
fn without(range: Range<u64>, taken: &[Range<u64>]) -> Vec<Range<u64>> {
    let mut left = Vec::new();
    let mut start = range.start;
    for taken in taken
        .iter()
        .filter(|taken| taken.start < range.end && taken.end > range.start)
    {
        if start < taken.start {
            left.push(start..taken.start);
        }
        start = taken.end;
    }
    if start < range.end {
        left.push(start..range.end);
    }
    left
}

/// Ranges sorted, and those joined that lie no farther apart than `gap`.
fn joined(mut ranges: Vec<Range<u64>>, gap: u64) -> Vec<Range<u64>> {
    ranges.sort_by_key(|range| range.start);
    let mut joined: Vec<Range<u64>> = Vec::new();
    for range in ranges {
        match joined.last_mut() {
            Some(last) if range.start <= last.end + gap => last.end = last.end.max(range.end),
            _ => joined.push(range),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_not_fetched_again_and_near_ranges_are_joined() {
        let folder = tempfile::tempdir().expect("a folder");
        let kept = Kept::new(&folder.path().join("made/when/needed"));
        kept.keep(1_000_000, &[7; 500_000]).expect("kept");
        let missing = kept.missing(vec![1_400_000..1_600_000, 10..20, 1_100_000..1_200_000, 60_000..60_001]);
        assert_eq!(missing, [10..60_001, 1_500_000..1_600_000]);

        let mut buffer = [0; 3];
        assert!(kept.read(1_499_997, &mut buffer).expect("read"));
        assert_eq!(buffer, [7; 3]);
        assert!(!kept.read(1_499_998, &mut buffer).expect("not kept"));
        kept.keep(1_500_000, &[8; 10]).expect("kept");
        assert!(kept.read(1_499_998, &mut buffer).expect("read across"));
        assert_eq!(buffer, [7, 7, 8]);
    }
}
