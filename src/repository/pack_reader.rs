//! Reads pages back out of a pack. A reader exists only for a pack whose footer was verified.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use super::bytes::{Fields, ObjectRange, own_or};
use super::damaged_packs;
use super::hash::{PAGE_HASH_LEN, PageHash, page_hash};
use super::pack::{FRAME_ENTRY_LEN, HEADER_LEN, Header, PAGE_ENTRY_LEN, PackEntry, TRAILER_LEN, Trailer};
use crate::error::{Code, Error, Result, fail};
use crate::storage::{Reader, Store};

/// A pack whose size, trailer and footer are as the manifest says.
pub(crate) struct PackReader {
    name: String,
    object: Box<dyn Reader>,
    page_size: u32,
    pages_per_frame: u32,
    pages: u32,
    footer_offset: u64,
    /// Where each frame starts, and where the last one ends: at most 32 KB.
    frame_offsets: Vec<u64>,
    entry: PackEntry,
    /// Where to read a frame again that turns out to be damaged.
    second: Option<Arc<dyn Store>>,
}

impl PackReader {
    /// Opens a pack; a damaged one is looked for a second time where the store knows another copy.
    pub(crate) fn open(store: &dyn Store, entry: &PackEntry) -> Result<Self> {
        match (Self::open_in(store, entry), store.second()) {
            (Err(error), Some(second)) if error.code == Code::SnapshotDamaged => {
                let opened = Self::open_in(&*second, entry)?;
                damaged_packs::was_the_way(entry);
                tracing::warn!(reason = %error, "a pack is damaged; its other copy is used");
                Ok(opened)
            }
            (opened, _) => opened,
        }
    }

    fn open_in(store: &dyn Store, entry: &PackEntry) -> Result<Self> {
        let object = store.open(&entry.key())?;
        let is_far = object.is_far();
        Self::read_tables(store, object, entry).inspect_err(|error| told(entry, is_far, None, error))
    }

    fn read_tables(store: &dyn Store, object: Box<dyn Reader>, entry: &PackEntry) -> Result<Self> {
        let name = format!("pack {}", store.locate(&entry.key()));
        let size = object.size();
        if size != entry.size || size < (HEADER_LEN + TRAILER_LEN) as u64 {
            fail!(SnapshotDamaged, "{name} has {size} bytes instead of {}", entry.size);
        }
        let mut header_bytes = [0; HEADER_LEN];
        object.read_exact_at(0, &mut header_bytes)?;
        let header = Header::decode(&header_bytes, &name)?;
        // The footer is read several times, in small pieces.
        let frames = entry.pages.div_ceil(header.pages_per_frame) as usize;
        let footer = entry.pages as usize * PAGE_ENTRY_LEN + frames * FRAME_ENTRY_LEN + TRAILER_LEN;
        object.fetch(std::slice::from_ref(&(size.saturating_sub(footer as u64)..size)))?;
        let mut trailer_bytes = [0; TRAILER_LEN];
        object.read_exact_at(size - TRAILER_LEN as u64, &mut trailer_bytes)?;
        let trailer = Trailer::decode(&trailer_bytes, size, &name)?;
        if trailer.footer_hash != entry.footer_hash || header.id != entry.id || trailer.pages != entry.pages {
            fail!(SnapshotDamaged, "{name} is not the pack that the manifest names");
        }
        let mut hasher = blake3::Hasher::new();
        hasher.update(&header_bytes);
        let footer = ObjectRange {
            object: &*object,
            offset: trailer.footer_offset,
            end: size - TRAILER_LEN as u64,
        };
        hasher
            .update_reader(footer)
            .map_err(|error| own_or(error, &format!("{name} cannot be read")))?;
        if hasher.finalize() != trailer.footer_hash {
            fail!(
                SnapshotDamaged,
                "the footer of {name} does not have the hash that the manifest names"
            );
        }
        let frame_offsets = read_frame_offsets(&*object, &trailer, &name)?;
        Ok(Self {
            name,
            object,
            page_size: header.page_size,
            pages_per_frame: header.pages_per_frame,
            pages: trailer.pages,
            footer_offset: trailer.footer_offset,
            frame_offsets,
            entry: entry.clone(),
            second: store.second(),
        })
    }

    pub(crate) fn is_far(&self) -> bool {
        self.object.is_far()
    }

    /// Brings frames near, where the store is far away.
    pub(crate) fn fetch(&self, frames: &BTreeSet<u32>) -> Result<()> {
        let range = |frame: &u32| {
            let bounds = self.frame_offsets.get(*frame as usize..*frame as usize + 2)?;
            Some(bounds[0]..bounds[1])
        };
        let ranges: Vec<Range<u64>> = frames.iter().filter_map(range).collect();
        self.object.fetch(&ranges)
    }

    pub(crate) fn page_size(&self) -> u32 {
        self.page_size
    }

    pub(crate) fn frames(&self) -> u32 {
        self.frame_offsets.len() as u32 - 1
    }

    /// The frame that holds the page at `position`.
    pub(crate) fn frame_of(&self, position: u32) -> u32 {
        position / self.pages_per_frame
    }

    /// Place of a page within its frame, in bytes.
    pub(crate) fn offset_in_frame(&self, position: u32) -> usize {
        ((position % self.pages_per_frame) * self.page_size) as usize
    }

    /// Number and hash of `count` pages from `position`.
    pub(crate) fn entries(&self, position: u32, count: u32) -> Result<Vec<(u32, PageHash)>> {
        if position.checked_add(count).is_none_or(|end| end > self.pages) {
            fail!(
                SnapshotDamaged,
                "the manifest names pages that {} does not hold",
                self.name
            );
        }
        let mut bytes = vec![0; count as usize * PAGE_ENTRY_LEN];
        self.object.read_exact_at(
            self.footer_offset + u64::from(position) * PAGE_ENTRY_LEN as u64,
            &mut bytes,
        )?;
        let entry = |bytes: &[u8]| {
            let mut fields = Fields(bytes);
            (fields.u32(), fields.take::<PAGE_HASH_LEN>())
        };
        Ok(bytes.chunks_exact(PAGE_ENTRY_LEN).map(entry).collect())
    }

    /// Decompresses a frame and checks the hash of every page in it.
    pub(crate) fn frame(&self, frame: u32) -> Result<Vec<u8>> {
        match (self.read_frame(frame), &self.second) {
            (Err(error), Some(second)) if error.code == Code::SnapshotDamaged => {
                let data = Self::open_in(&**second, &self.entry)?.read_frame(frame)?;
                damaged_packs::was_the_way(&self.entry);
                tracing::warn!(reason = %error, "a frame is damaged; its other copy is used");
                Ok(data)
            }
            (read, _) => read,
        }
    }

    /// Reads every page and compares it with its hash.
    pub(crate) fn read_all(&self) -> Result<()> {
        (0..self.frames()).try_for_each(|frame| self.frame(frame).map(drop))
    }

    fn read_frame(&self, frame: u32) -> Result<Vec<u8>> {
        let first = frame * self.pages_per_frame;
        let pages = first..first + self.pages_per_frame;
        self.decode_frame(frame)
            .inspect_err(|error| told(&self.entry, self.is_far(), Some(pages), error))
    }

    fn decode_frame(&self, frame: u32) -> Result<Vec<u8>> {
        let first = frame * self.pages_per_frame;
        let pages = self.pages_per_frame.min(self.pages.saturating_sub(first));
        let (start, end) = match (
            self.frame_offsets.get(frame as usize),
            self.frame_offsets.get(frame as usize + 1),
        ) {
            (Some(start), Some(end)) if pages > 0 => (*start, *end),
            _ => fail!(SnapshotDamaged, "{} has no frame {frame}", self.name),
        };
        let mut compressed = vec![0; (end - start) as usize];
        self.object.read_exact_at(start, &mut compressed)?;
        let length = (pages * self.page_size) as usize;
        let data = zstd::bulk::decompress(&compressed, length)
            .map_err(|error| damaged(&self.name, &format!("cannot be decompressed in frame {frame}")).because(error))?;
        if data.len() != length {
            fail!(
                SnapshotDamaged,
                "frame {frame} of {} has {} bytes instead of {length}",
                self.name,
                data.len()
            );
        }
        for ((page, hash), bytes) in self
            .entries(first, pages)?
            .into_iter()
            .zip(data.chunks_exact(self.page_size as usize))
        {
            if page_hash(bytes) != hash {
                fail!(
                    SnapshotDamaged,
                    "page {page} in frame {frame} of {} does not have its hash",
                    self.name
                );
            }
        }
        Ok(data)
    }
}

fn read_frame_offsets(object: &dyn Reader, trailer: &Trailer, name: &str) -> Result<Vec<u64>> {
    let mut lengths = vec![0; trailer.frames as usize * FRAME_ENTRY_LEN];
    object.read_exact_at(
        trailer.footer_offset + u64::from(trailer.pages) * PAGE_ENTRY_LEN as u64,
        &mut lengths,
    )?;
    let mut offsets = Vec::with_capacity(trailer.frames as usize + 1);
    let mut offset = HEADER_LEN as u64;
    offsets.push(offset);
    for length in lengths.chunks_exact(FRAME_ENTRY_LEN) {
        offset += u64::from(Fields(length).u32());
        offsets.push(offset);
    }
    if offset != trailer.footer_offset {
        fail!(SnapshotDamaged, "the frames of {name} do not fill it");
    }
    Ok(offsets)
}

fn told(entry: &PackEntry, is_far: bool, pages: Option<Range<u32>>, error: &Error) {
    if error.code == Code::SnapshotDamaged {
        damaged_packs::found(entry, is_far, pages, error);
    }
}

fn damaged(name: &str, how: &str) -> Error {
    Error::new(Code::SnapshotDamaged, format!("{name} {how}"))
}
