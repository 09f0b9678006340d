//! Reading the pages of a snapshot back from its packs.

use std::collections::VecDeque;
use std::path::Path;

use super::folder::Repository;
use super::hash::{ImageHasher, PageHash};
use super::manifest::{Head, Manifest};
use super::pack_reader::PackReader;
use super::page_table::{PageEntry, PageTable, PageTableWriter};
use crate::error::{Code, Error, Result, fail};

/// Decompressed frames kept at hand: 64 × 256 KiB.
const FRAMES_KEPT: usize = 64;
/// Runs of pages between the thread that decompresses and the one that consumes.
const RUNS_IN_FLIGHT: usize = 8;

/// A snapshot whose manifest and packs are present and well formed.
pub(crate) struct Snapshot {
    pub(crate) manifest: Manifest,
    packs: Vec<PackReader>,
    /// Most recently used frames at the back.
    frames: VecDeque<((u32, u32), Vec<u8>)>,
}

impl Snapshot {
    /// Opens manifest and packs, checking sizes, headers, trailers and footers.
    pub(crate) fn open(repository: &Repository, head: &Head) -> Result<Self> {
        let manifest = repository.open_manifest(head)?;
        let open = |entry| PackReader::open(&**repository.store(), entry);
        let packs: Vec<PackReader> = manifest.packs.iter().map(open).collect::<Result<_>>()?;
        if packs.iter().any(|pack| pack.page_size() != head.page_size) {
            fail!(
                SnapshotDamaged,
                "snapshot {} names packs of another page size",
                head.name
            );
        }
        Ok(Self {
            manifest,
            packs,
            frames: VecDeque::new(),
        })
    }

    pub(crate) fn head(&self) -> &Head {
        &self.manifest.head
    }

    /// Hash and place of every page, from the packs' footers, checked against the manifest.
    pub(crate) fn page_table(&self, scratch: &Path) -> Result<PageTable> {
        let mut table = PageTableWriter::new(scratch)?;
        for extent in self.manifest.extents()? {
            let extent = extent?;
            if extent.pack == 0 {
                for _ in 0..extent.count {
                    table.push(&PageEntry::HOLE)?;
                }
                continue;
            }
            let entries = self.pack(extent.pack)?.entries(extent.position, extent.count)?;
            for (offset, (page, hash)) in (0..).zip(entries) {
                if page != extent.first_page + offset {
                    fail!(
                        SnapshotDamaged,
                        "the manifest of {} names page {page} where page {} belongs",
                        self.head().name,
                        extent.first_page + offset
                    );
                }
                table.push(&PageEntry {
                    hash,
                    pack: extent.pack,
                    position: extent.position + offset,
                })?;
            }
        }
        let table = table.finish()?;
        if table.list_hash()? != self.head().page_list_hash()? {
            fail!(
                SnapshotDamaged,
                "the page hashes of {} are not those that its manifest names",
                self.head().name
            );
        }
        Ok(table)
    }

    /// The bytes of one page, with its hash checked.
    pub(crate) fn page(&mut self, entry: &PageEntry) -> Result<&[u8]> {
        let page_size = self.head().page_size as usize;
        let pack = self.pack(entry.pack)?;
        let (frame, start) = (pack.frame_of(entry.position), pack.offset_in_frame(entry.position));
        let wanted = (entry.pack, frame);
        match self.frames.iter().position(|(key, _)| *key == wanted) {
            Some(index) if index + 1 == self.frames.len() => {}
            Some(index) => {
                if let Some(found) = self.frames.remove(index) {
                    self.frames.push_back(found);
                }
            }
            None => {
                let data = pack.frame(frame)?;
                if self.frames.len() == FRAMES_KEPT {
                    self.frames.pop_front();
                }
                self.frames.push_back((wanted, data));
            }
        }
        let data = self.frames.back().map(|(_, data)| data.as_slice()).unwrap_or_default();
        match data.get(start..start + page_size) {
            Some(page) => Ok(page),
            None => fail!(SnapshotDamaged, "a pack of {} ends too early", self.head().name),
        }
    }

    /// Hands every page in order to `sink`, in runs, while another thread decompresses ahead;
    /// the lock-byte page comes as zeros. Fails before the end when a page does not have its hash.
    pub(crate) fn read_all(&mut self, table: &PageTable, mut sink: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let page_size = self.head().page_size as usize;
        let run_len = (1 << 20).max(page_size);
        let (send, receive) = std::sync::mpsc::sync_channel::<Vec<u8>>(RUNS_IN_FLIGHT);
        std::thread::scope(|scope| {
            let reader = scope.spawn(move || -> Result<()> {
                let mut run = Vec::with_capacity(run_len);
                for entry in table.iter() {
                    let entry = entry?;
                    if entry.pack == 0 {
                        run.resize(run.len() + page_size, 0);
                    } else {
                        run.extend_from_slice(self.checked_page(&entry)?);
                    }
                    if run.len() >= run_len {
                        // The consumer failed and says why.
                        if send
                            .send(std::mem::replace(&mut run, Vec::with_capacity(run_len)))
                            .is_err()
                        {
                            return Ok(());
                        }
                    }
                }
                let _ = send.send(run);
                Ok(())
            });
            let consumed = receive.into_iter().try_for_each(|run| sink(&run));
            let read = reader
                .join()
                .unwrap_or_else(|_| Err(Error::new(Code::Internal, "the reading thread died")));
            consumed.and(read)
        })
    }

    /// Recomputes every hash: each page, the list of pages, the whole image.
    pub(crate) fn verify_data(&mut self, table: &PageTable, mut seen: impl FnMut(u64)) -> Result<()> {
        let mut image = ImageHasher::default();
        self.read_all(table, |run| {
            image.update(run);
            seen(run.len() as u64);
            Ok(())
        })?;
        self.check_image(&image.finish())
    }

    /// Compares the SHA-256 of an assembled image with the manifest's.
    pub(crate) fn check_image(&self, checksum: &str) -> Result<()> {
        if checksum != self.head().checksum {
            fail!(
                SnapshotDamaged,
                "the image of {} has SHA-256 {checksum} instead of {}",
                self.head().name,
                self.head().checksum
            );
        }
        Ok(())
    }

    /// A page of which the manifest and the pack agree on the hash. (`PackReader::frame` has
    /// compared the bytes with the pack's footer, `page_table` the footer with the manifest.)
    fn checked_page(&mut self, entry: &PageEntry) -> Result<&[u8]> {
        self.page(entry)
    }

    fn pack(&self, number: u32) -> Result<&PackReader> {
        match self.packs.get((number as usize).wrapping_sub(1)) {
            Some(pack) => Ok(pack),
            None => fail!(
                SnapshotDamaged,
                "snapshot {} names a pack that it does not list",
                self.head().name
            ),
        }
    }

    /// The number of frames in all packs, for progress.
    pub(crate) fn frames(&self) -> u64 {
        self.packs.iter().map(|pack| u64::from(pack.frames())).sum()
    }
}

/// Reads every page of packs just written and compares it with its hash, on two threads.
pub(crate) fn read_back(packs: &[PackReader]) -> Result<()> {
    let jobs: Vec<(&PackReader, u32)> = packs
        .iter()
        .flat_map(|pack| (0..pack.frames()).map(move |frame| (pack, frame)))
        .collect();
    let half = jobs.len().div_ceil(2).max(1);
    let check = |jobs: &[(&PackReader, u32)]| jobs.iter().try_for_each(|(pack, frame)| pack.frame(*frame).map(drop));
    std::thread::scope(|scope| {
        let halves: Vec<_> = jobs.chunks(half).map(|jobs| scope.spawn(move || check(jobs))).collect();
        halves.into_iter().try_for_each(|half| {
            half.join()
                .unwrap_or_else(|_| Err(Error::new(Code::Internal, "a checking thread died")))
        })
    })
}

/// A page's hash as an entry that is not stored yet.
pub(crate) fn unstored(hash: PageHash) -> PageEntry {
    PageEntry {
        hash,
        pack: u32::MAX,
        position: 0,
    }
}
