//! A snapshot opened for reading: manifest and packs.

use std::path::Path;
use std::sync::mpsc::sync_channel;

use uuid::Uuid;

use super::manifest::{self, Head, Manifest};
use super::packed_pages::PackedPages;
use super::page_table::{PageEntry, PageTable, PageTableWriter};
use crate::error::{Code, Error, Result, fail};
use crate::storage::Store;

/// Runs of pages (1 MiB) between the thread that decompresses and the one that consumes.
const RUNS_IN_FLIGHT: usize = 8;
const RUN_BYTES: usize = 1 << 20;

/// The generations of a snapshot in a store, the one that counts first.
pub(crate) fn generations(store: &dyn Store, id: Uuid) -> Result<Vec<u32>> {
    let objects = store.list(&format!("snapshots/{id}."))?;
    let mut generations: Vec<u32> = objects
        .iter()
        .filter_map(|object| manifest::parse_key(&object.key))
        .map(|(_, generation)| generation)
        .collect();
    generations.sort_unstable_by(|one, other| other.cmp(one));
    Ok(generations)
}

/// A snapshot whose manifest and packs are present and well formed.
pub(crate) struct Snapshot {
    pub(crate) manifest: Manifest,
    pages: PackedPages,
}

impl Snapshot {
    pub(crate) fn open(store: &dyn Store, head: &Head) -> Result<Self> {
        Self::open_from(store, store, &head.key())
    }

    /// With the manifest of one store and the packs of another one.
    pub(crate) fn open_from(manifests: &dyn Store, packs: &dyn Store, key: &str) -> Result<Self> {
        let manifest = Manifest::open(manifests, key)?;
        let pages = PackedPages::open(packs, &manifest.packs, manifest.head.page_size)?;
        Ok(Self { manifest, pages })
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
            let entries = self.pages.pack(extent.pack)?.entries(extent.position, extent.count)?;
            for (offset, (page, hash)) in (0..).zip(entries) {
                if page != extent.first_page + offset {
                    fail!(
                        SnapshotDamaged,
                        "the manifest of {} has page {page} where page {} belongs",
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
                "the page hashes of {} are not those of its manifest",
                self.head().name
            );
        }
        Ok(table)
    }

    /// Whether pages come over a network.
    pub(crate) fn is_far(&self) -> bool {
        self.pages.is_far()
    }

    /// Brings the frames of these pages near, all of them together and nothing else.
    pub(crate) fn fetch(&self, wanted: impl Iterator<Item = Result<PageEntry>>) -> Result<()> {
        self.pages.fetch(wanted)
    }

    /// The bytes of one page, compared with its hash.
    pub(crate) fn page(&mut self, entry: &PageEntry) -> Result<&[u8]> {
        self.pages.page(entry)
    }

    /// Hands every page from `first` on in order to `sink`, in runs, while another thread decompresses
    /// ahead. The lock-byte page comes as zeros.
    pub(crate) fn read_from(
        &mut self,
        first: u32,
        table: &PageTable,
        mut sink: impl FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        let page_size = self.head().page_size as usize;
        let (send, runs) = sync_channel::<Vec<u8>>(RUNS_IN_FLIGHT);
        let pages = &mut self.pages;
        std::thread::scope(|scope| {
            let reader = scope.spawn(move || -> Result<()> {
                let mut run = Vec::with_capacity(RUN_BYTES);
                for entry in table.iter().skip(first as usize - 1) {
                    let entry = entry?;
                    if entry.pack == 0 {
                        run.resize(run.len() + page_size, 0);
                    } else {
                        run.extend_from_slice(pages.page(&entry)?);
                    }
                    if run.len() >= RUN_BYTES
                        && send
                            .send(std::mem::replace(&mut run, Vec::with_capacity(RUN_BYTES)))
                            .is_err()
                    {
                        // The consumer failed, and says why.
                        return Ok(());
                    }
                }
                let _ = send.send(run);
                Ok(())
            });
            let consumed = runs.into_iter().try_for_each(|run| sink(&run));
            let read = reader
                .join()
                .unwrap_or_else(|_| Err(Error::new(Code::Internal, "the reading thread died")));
            consumed.and(read)
        })
    }
}
