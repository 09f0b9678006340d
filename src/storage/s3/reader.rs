//! An object being read: from its start, from what was fetched, from what comes ahead of a reader, else exactly.

use std::ops::Range;
use std::sync::Arc;

use super::S3Store;
use super::get::{START, Version, get_each, split};
use super::kept::Kept;
use super::window::Window;
use crate::error::{Result, fail};
use crate::storage::Reader;

pub(super) struct ObjectReader {
    store: S3Store,
    version: Arc<Version>,
    /// The first bytes; they came with the size.
    start: Vec<u8>,
    kept: Kept,
    window: Window,
}

impl ObjectReader {
    pub(super) fn open(store: S3Store, key: &str) -> Result<Self> {
        let bucket = store.bucket().clone();
        let Some((version, start)) = store.wait(bucket.first(key))? else {
            return Err(bucket.missing(key));
        };
        let kept = Kept::new(&store.0.scratch);
        let version = Arc::new(version);
        let window = Window::new(bucket, version.clone(), store.threads().clone(), store.0.budget.clone());
        Ok(Self {
            store,
            version,
            start,
            kept,
            window,
        })
    }

    fn get_exactly(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        let wanted = offset..offset + buffer.len() as u64;
        let get = get_each(
            self.store.threads(),
            self.store.bucket(),
            &self.version,
            split([wanted]),
            |start, bytes| {
                buffer[(start - offset) as usize..][..bytes.len()].copy_from_slice(&bytes);
                Ok(())
            },
        );
        self.store.wait(get)
    }
}

impl Reader for ObjectReader {
    fn size(&self) -> u64 {
        self.version.size
    }

    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        let end = offset.saturating_add(buffer.len() as u64);
        if end > self.version.size {
            fail!(
                SnapshotDamaged,
                "{} in the bucket {} ends at byte {}, before byte {end}",
                self.store.bucket().full(&self.version.key),
                self.store.bucket().name,
                self.version.size
            );
        }
        if buffer.is_empty() {
            return Ok(());
        }
        if end <= self.start.len() as u64 {
            buffer.copy_from_slice(&self.start[offset as usize..end as usize]);
            self.window.passed(offset..end);
            return Ok(());
        }
        if self.kept.read(offset, buffer)? || self.window.read(offset, buffer) {
            return Ok(());
        }
        self.get_exactly(offset, buffer)
    }

    fn fetch(&self, ranges: &[Range<u64>]) -> Result<()> {
        let size = self.version.size;
        let there = ranges.iter().map(|range| range.start.min(size)..range.end.min(size));
        let beyond_the_start = there.filter(|range| range.start < range.end && range.end > START);
        let missing = self.kept.missing(beyond_the_start.collect());
        let get = get_each(
            self.store.threads(),
            self.store.bucket(),
            &self.version,
            split(missing),
            |start, bytes| self.kept.keep(start, &bytes),
        );
        self.store.wait(get)
    }
}
