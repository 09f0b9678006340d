//! Turns passes over a database into stored pages and a page table.
//!
//! A pass hashes every page and compares it with the table of the pass before (the first one
//! with the newest snapshot's): an equal hash keeps its place, another page is stored. Reading,
//! hashing, SHA-256 and compression run in threads of their own.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

use crate::database::header::lock_byte_page;
use crate::database::source::{Batch, Sink};
use crate::error::{Code, Error, Result};
use crate::priority;
use crate::repository::Repository;
use crate::repository::hash::{ImageHasher, page_hash};
use crate::repository::pack::PackEntry;
use crate::repository::pack_writer::{PackWriter, Position};
use crate::repository::page_table::{PageEntry, PageTable, PageTableWriter};
use crate::storage::io_error;

/// Batches of 1 MiB between the threads.
const IN_FLIGHT: usize = 8;
/// Pack number of a page that waits in the spool.
const SPOOLED: u32 = u32::MAX;

/// What becomes of the pages that changed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Changed {
    /// Compressed and stored at once.
    Store,
    /// Set aside raw, while somebody waits for a lock; stored by [`Recorder::store_spooled`].
    Spool,
}

/// What a pass found.
pub(crate) struct Pass {
    pub(crate) changed: u64,
    /// SHA-256 of the image, when asked for.
    pub(crate) checksum: Option<String>,
    /// Time spent hashing pages.
    pub(crate) hashing: Duration,
}

/// The result of recording: where every page is.
pub(crate) struct Recording {
    pub(crate) table: PageTable,
    /// The packs that the table counts from 1.
    pub(crate) packs: Vec<PackEntry>,
    /// How many of them, from the end, are new.
    pub(crate) new_packs: usize,
}

/// Records one image.
pub(crate) struct Recorder {
    scratch: PathBuf,
    page_size: u32,
    base: Vec<PackEntry>,
    table: Option<PageTable>,
    writer: PackWriter,
    spool: Option<File>,
}

impl Recorder {
    /// `base`: page table and packs of the snapshot that the image is compared with.
    pub(crate) fn new(
        repository: &Repository,
        page_size: u32,
        base: Option<(PageTable, Vec<PackEntry>)>,
    ) -> Result<Self> {
        let (table, base) = base.map_or((None, Vec::new()), |(table, packs)| (Some(table), packs));
        Ok(Self {
            scratch: repository.scratch()?,
            page_size,
            base,
            table,
            writer: PackWriter::new(Arc::clone(repository.local()), page_size),
            spool: None,
        })
    }

    /// Runs one pass. `feed` hands every page of the database in order to the sink it is given.
    pub(crate) fn pass<T>(
        &mut self,
        changed: Changed,
        with_checksum: bool,
        feed: impl FnOnce(&mut Sink<'_>) -> Result<T>,
    ) -> Result<(T, Pass)> {
        // What the pass before set aside would be lost with its spool.
        self.store_spooled()?;
        let (to_hasher, batches) = sync_channel::<Arc<Batch>>(IN_FLIGHT);
        let (to_image, image_batches) = sync_channel::<Arc<Batch>>(IN_FLIGHT);
        std::thread::scope(|scope| {
            let hasher = scope.spawn(|| self.compare(changed, batches));
            let image = with_checksum.then(|| scope.spawn(move || hash_image(image_batches)));
            let fed = feed(&mut |batch| {
                let batch = Arc::new(batch);
                if with_checksum {
                    let _ = to_image.send(Arc::clone(&batch));
                }
                // A thread that failed says why when it is joined.
                to_hasher
                    .send(batch)
                    .map_err(|_| Error::new(Code::Internal, "the hashing thread ended"))
            });
            drop((to_hasher, to_image));
            let compared = hasher
                .join()
                .unwrap_or_else(|_| Err(Error::new(Code::Internal, "the hashing thread died")));
            let checksum = image.map(|thread| {
                thread
                    .join()
                    .map_err(|_| Error::new(Code::Internal, "the thread that hashes the image died"))
            });
            let (changed, hashing) = compared?;
            let checksum = checksum.transpose()?;
            Ok((
                fed?,
                Pass {
                    changed,
                    checksum,
                    hashing,
                },
            ))
        })
    }

    /// Compares every page with the table so far and replaces the table.
    fn compare(&mut self, changed: Changed, batches: Receiver<Arc<Batch>>) -> Result<(u64, Duration)> {
        let before = self.table.take();
        let mut known = before.as_ref().map(PageTable::iter);
        let mut table = PageTableWriter::new(&self.scratch)?;
        let mut spool = match changed {
            Changed::Store => None,
            Changed::Spool => Some(BufWriter::with_capacity(1 << 20, self.new_spool()?)),
        };
        let hole = lock_byte_page(self.page_size);
        let (mut count, mut hashing) = (0, Duration::ZERO);
        for batch in batches {
            let mut hashes = Vec::with_capacity(batch.data.len() / self.page_size as usize);
            let started = Instant::now();
            hashes.extend(batch.data.chunks_exact(self.page_size as usize).map(page_hash));
            hashing += started.elapsed();
            for ((page, data), hash) in (batch.first_page..)
                .zip(batch.data.chunks_exact(self.page_size as usize))
                .zip(hashes)
            {
                let old = known.as_mut().and_then(Iterator::next).transpose()?;
                if page == hole {
                    table.push(&PageEntry::HOLE)?;
                    continue;
                }
                if let Some(old) = old.filter(|old| old.hash == hash && old.pack != 0) {
                    table.push(&old)?;
                    continue;
                }
                let entry = match spool.as_mut() {
                    Some(spool) => {
                        spool.write_all(data).map_err(scratch_error)?;
                        PageEntry {
                            hash,
                            pack: SPOOLED,
                            position: 0,
                        }
                    }
                    None => self.stored(hash, self.base.len(), page, data)?,
                };
                table.push(&entry)?;
                count += 1;
            }
        }
        if let Some(spool) = spool {
            self.spool = Some(spool.into_inner().map_err(|error| scratch_error(error.into_error()))?);
        }
        self.table = Some(table.finish()?);
        Ok((count, hashing))
    }

    fn stored(&mut self, hash: [u8; 16], base: usize, page: u32, data: &[u8]) -> Result<PageEntry> {
        let Position { pack, page: position } = self.writer.push(page, &hash, data)?;
        Ok(PageEntry {
            hash,
            pack: (base as u32) + pack + 1,
            position,
        })
    }

    fn new_spool(&self) -> Result<File> {
        tempfile::tempfile_in(&self.scratch).map_err(|error| io_error("create a file in", &self.scratch, error))
    }

    /// Stores the pages that the last pass set aside.
    pub(crate) fn store_spooled(&mut self) -> Result<()> {
        use std::io::Seek;
        let Some(mut spool) = self.spool.take() else {
            return Ok(());
        };
        let Some(before) = self.table.take() else { return Ok(()) };
        spool.rewind().map_err(scratch_error)?;
        let mut spool = BufReader::with_capacity(1 << 20, spool);
        let mut table = PageTableWriter::new(&self.scratch)?;
        let mut data = vec![0; self.page_size as usize];
        for (page, entry) in (1..).zip(before.iter()) {
            let mut entry = entry?;
            if entry.pack == SPOOLED {
                spool.read_exact(&mut data).map_err(scratch_error)?;
                entry = self.stored(entry.hash, self.base.len(), page, &data)?;
            }
            table.push(&entry)?;
        }
        self.table = Some(table.finish()?);
        Ok(())
    }

    /// Publishes the packs.
    pub(crate) fn finish(mut self) -> Result<Recording> {
        self.store_spooled()?;
        let table = match self.table.take() {
            Some(table) => table,
            None => PageTableWriter::new(&self.scratch)?.finish()?,
        };
        let mut packs = self.base;
        let new = self.writer.finish()?;
        let new_packs = new.len();
        packs.extend(new);
        Ok(Recording {
            table,
            packs,
            new_packs,
        })
    }
}

fn hash_image(batches: Receiver<Arc<Batch>>) -> String {
    priority::lower();
    let mut image = ImageHasher::default();
    for batch in batches {
        image.update(&batch.data);
    }
    image.finish()
}

fn scratch_error(error: std::io::Error) -> Error {
    io_error("use", Path::new("a scratch file"), error)
}

#[cfg(test)]
#[path = "recorder_tests.rs"]
mod tests;
