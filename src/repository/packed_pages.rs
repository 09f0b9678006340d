//! Random access to pages in packs, with the frames used last kept decompressed.

use std::collections::{BTreeSet, VecDeque};

use super::pack::PackEntry;
use super::pack_reader::PackReader;
use super::page_table::PageEntry;
use crate::error::{Code, Error, Result, fail};
use crate::storage::Store;

/// Decompressed frames kept at hand: 64 × 256 KiB.
const FRAMES_KEPT: usize = 64;
/// Packs that are opened at a time: each takes a few trips where the store is far away.
const OPENERS: usize = 8;

/// Packs that are present and well formed.
pub(crate) struct PackedPages {
    packs: Vec<PackReader>,
    page_size: u32,
    /// Most recently used at the back.
    frames: VecDeque<((u32, u32), Vec<u8>)>,
}

impl PackedPages {
    /// Opens packs, checking sizes, headers, trailers and the hashes of the footers.
    pub(crate) fn open(store: &dyn Store, packs: &[PackEntry], page_size: u32) -> Result<Self> {
        let packs = open_all(store, packs)?;
        if packs.iter().any(|pack| pack.page_size() != page_size) {
            fail!(
                SnapshotDamaged,
                "a pack holds pages of another size than {page_size} bytes"
            );
        }
        Ok(Self {
            packs,
            page_size,
            frames: VecDeque::new(),
        })
    }

    pub(crate) fn is_far(&self) -> bool {
        self.packs.iter().any(PackReader::is_far)
    }

    /// See [`super::snapshot::Snapshot::fetch`].
    pub(crate) fn fetch(&self, wanted: impl Iterator<Item = Result<PageEntry>>) -> Result<()> {
        let mut frames: Vec<BTreeSet<u32>> = vec![BTreeSet::new(); self.packs.len()];
        for entry in wanted {
            let entry = entry?;
            if entry.pack != 0 {
                let frame = self.pack(entry.pack)?.frame_of(entry.position);
                frames[entry.pack as usize - 1].insert(frame);
            }
        }
        for (pack, frames) in self.packs.iter().zip(frames) {
            pack.fetch(&frames)?;
        }
        Ok(())
    }

    /// A pack by its number, which starts at 1.
    pub(crate) fn pack(&self, number: u32) -> Result<&PackReader> {
        match self.packs.get((number as usize).wrapping_sub(1)) {
            Some(pack) => Ok(pack),
            None => fail!(
                SnapshotDamaged,
                "a page is said to be in pack {number} of {}",
                self.packs.len()
            ),
        }
    }

    /// The bytes of one page; every page of its frame was compared with its hash.
    pub(crate) fn page(&mut self, entry: &PageEntry) -> Result<&[u8]> {
        let pack = self.pack(entry.pack)?;
        let (frame, start) = (pack.frame_of(entry.position), pack.offset_in_frame(entry.position));
        let wanted = (entry.pack, frame);
        match self.frames.iter().rposition(|(key, _)| *key == wanted) {
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
        match data.get(start..start + self.page_size as usize) {
            Some(page) => Ok(page),
            None => fail!(SnapshotDamaged, "a pack ends before page position {}", entry.position),
        }
    }

    /// Reads every page of every pack and compares it with its hash.
    pub(crate) fn read_back(&self) -> Result<()> {
        self.read_back_last(self.packs.len())
    }

    /// Reads every page of the last `count` packs and compares it with its hash, on two threads.
    pub(crate) fn read_back_last(&self, count: usize) -> Result<()> {
        let new = &self.packs[self.packs.len() - count..];
        let frames: Vec<(&PackReader, u32)> = new
            .iter()
            .flat_map(|pack| (0..pack.frames()).map(move |frame| (pack, frame)))
            .collect();
        let check =
            |frames: &[(&PackReader, u32)]| frames.iter().try_for_each(|(pack, frame)| pack.frame(*frame).map(drop));
        std::thread::scope(|scope| {
            let halves = frames.chunks(frames.len().div_ceil(2).max(1));
            let threads: Vec<_> = halves.map(|half| scope.spawn(move || check(half))).collect();
            threads.into_iter().try_for_each(|thread| {
                thread
                    .join()
                    .unwrap_or_else(|_| Err(Error::new(Code::Internal, "a checking thread died")))
            })
        })
    }
}

/// Opens packs, several at a time when there are many.
fn open_all(store: &dyn Store, packs: &[PackEntry]) -> Result<Vec<PackReader>> {
    let share = packs.len().div_ceil(OPENERS).max(1);
    let open = |packs: &[PackEntry]| -> Result<Vec<PackReader>> {
        packs.iter().map(|pack| PackReader::open(store, pack)).collect()
    };
    if share == 1 && packs.len() < 2 {
        return open(packs);
    }
    let opened: Vec<Result<Vec<PackReader>>> = std::thread::scope(|scope| {
        let threads: Vec<_> = packs
            .chunks(share)
            .map(|share| scope.spawn(move || open(share)))
            .collect();
        let died = |_| Err(Error::new(Code::Internal, "an opening thread died"));
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(died))
            .collect()
    });
    let opened: Vec<Vec<PackReader>> = opened.into_iter().collect::<Result<_>>()?;
    Ok(opened.into_iter().flatten().collect())
}
