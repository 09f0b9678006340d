//! Where every page of an image is, and its hash: 24 bytes a page, in page order, in a scratch
//! file, so that memory does not grow with the database.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::bytes::{Fields, FileCursor};
use super::hash::{HOLE, PageHash, StructureHash};
use crate::error::Result;
use crate::storage::io_error;

const ENTRY_LEN: usize = 24;

/// One page of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PageEntry {
    pub(crate) hash: PageHash,
    /// 1-based index into the manifest's list of packs; 0 is the hole of the lock-byte page.
    pub(crate) pack: u32,
    /// Place in the pack, counted in pages.
    pub(crate) position: u32,
}

impl PageEntry {
    pub(crate) const HOLE: Self = Self {
        hash: HOLE,
        pack: 0,
        position: 0,
    };
}

/// A complete table.
pub(crate) struct PageTable {
    file: File,
    pages: u32,
}

impl PageTable {
    pub(crate) fn pages(&self) -> u32 {
        self.pages
    }

    /// Every entry, in page order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Result<PageEntry>> + '_ {
        let mut input = BufReader::with_capacity(
            1 << 18,
            FileCursor {
                file: &self.file,
                offset: 0,
            },
        );
        (0..self.pages).map(move |_| {
            let mut bytes = [0; ENTRY_LEN];
            input.read_exact(&mut bytes).map_err(scratch_error)?;
            Ok(decode(&bytes))
        })
    }

    /// The entry of one page (numbers start at 1).
    pub(crate) fn get(&self, page: u32) -> Result<PageEntry> {
        let mut bytes = [0; ENTRY_LEN];
        self.file
            .read_exact_at(&mut bytes, u64::from(page - 1) * ENTRY_LEN as u64)
            .map_err(scratch_error)?;
        Ok(decode(&bytes))
    }

    /// BLAKE3 over the hashes of all pages in order: two images with the same one are the same.
    pub(crate) fn list_hash(&self) -> Result<StructureHash> {
        let mut hasher = blake3::Hasher::new();
        for entry in self.iter() {
            hasher.update(&entry?.hash);
        }
        Ok(hasher.finalize().into())
    }
}

/// A table in the making.
pub(crate) struct PageTableWriter {
    out: BufWriter<File>,
    pages: u32,
}

impl PageTableWriter {
    pub(crate) fn new(scratch: &Path) -> Result<Self> {
        let file = tempfile::tempfile_in(scratch).map_err(|error| io_error("create a file in", scratch, error))?;
        Ok(Self {
            out: BufWriter::with_capacity(1 << 18, file),
            pages: 0,
        })
    }

    pub(crate) fn push(&mut self, entry: &PageEntry) -> Result<()> {
        let mut bytes = [0; ENTRY_LEN];
        bytes[..16].copy_from_slice(&entry.hash);
        bytes[16..20].copy_from_slice(&entry.pack.to_le_bytes());
        bytes[20..].copy_from_slice(&entry.position.to_le_bytes());
        self.out.write_all(&bytes).map_err(scratch_error)?;
        self.pages += 1;
        Ok(())
    }

    pub(crate) fn finish(self) -> Result<PageTable> {
        let file = self
            .out
            .into_inner()
            .map_err(|error| scratch_error(error.into_error()))?;
        Ok(PageTable {
            file,
            pages: self.pages,
        })
    }
}

fn decode(bytes: &[u8; ENTRY_LEN]) -> PageEntry {
    let mut fields = Fields(bytes);
    PageEntry {
        hash: fields.take(),
        pack: fields.u32(),
        position: fields.u32(),
    }
}

fn scratch_error(error: std::io::Error) -> crate::error::Error {
    io_error("use", Path::new("a scratch file"), error)
}

#[cfg(test)]
#[path = "page_table_tests.rs"]
mod tests;
