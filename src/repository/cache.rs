//! The page-hash cache: hash of every page of the newest snapshot, 16 bytes a page in page
//! order, so that a scan finds what changed without reading packs.
//!
//! A stale entry would make a changed page "unchanged" and the snapshot unrestorable, so the
//! cache names its manifest and is believed only after all of it was compared with the
//! manifest's page-list hash; otherwise the hashes are read from the packs' footers.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::Path;

use tempfile::NamedTempFile;
use uuid::Uuid;

use super::bytes::FileCursor;
use super::folder::Repository;
use super::hash::{PAGE_HASH_LEN, PageHash};
use super::manifest::Head;
use super::page_table::PageTable;
use crate::error::Result;
use crate::failpoint;
use crate::storage::{adopt, io_error, make_folder, replace};

const HEADER_LEN: usize = 64;
const MAGIC: &[u8; 8] = b"SWCACHE1";

fn key(lineage: Uuid) -> String {
    format!("local/cache/{lineage}")
}

/// Writes the cache for a snapshot just published.
pub(crate) fn write(repository: &Repository, head: &Head, table: &PageTable) -> Result<()> {
    let target = repository.path(&key(head.lineage));
    let folder = target.parent().unwrap_or(repository.root());
    make_folder(folder, repository.root())?;
    let scratch = repository.scratch()?;
    let file = NamedTempFile::new_in(&scratch).map_err(|error| io_error("create a file in", &scratch, error))?;
    adopt(file.path(), repository.root())?;
    let mut out = BufWriter::with_capacity(1 << 18, file);
    let io = |error| io_error("write", &target, error);
    out.write_all(&header(head)).map_err(io)?;
    for entry in table.iter() {
        out.write_all(&entry?.hash).map_err(io)?;
    }
    let file = out
        .into_inner()
        .map_err(|error| io_error("write", &target, error.into_error()))?;
    failpoint::reached("cache.before-replace")?;
    replace(file, &target)
}

/// Opens the hashes of `manifest`'s pages when the cache has exactly those.
pub(crate) fn open(repository: &Repository, head: &Head) -> Result<Option<CachedHashes>> {
    let path = repository.path(&key(head.lineage));
    let Ok(file) = File::open(&path) else { return Ok(None) };
    let mut start = [0; HEADER_LEN];
    let mut input = FileCursor { file: &file, offset: 0 };
    if input.read_exact(&mut start).is_err() || start != header(head) {
        return Ok(None);
    }
    let mut hasher = blake3::Hasher::new();
    hasher
        .update_reader(input)
        .map_err(|error| io_error("read", Path::new(&path), error))?;
    Ok((hasher.finalize() == head.page_list_hash()?).then_some(CachedHashes { file }))
}

/// Hashes whose list was compared with the manifest's.
pub(crate) struct CachedHashes {
    file: File,
}

impl CachedHashes {
    /// The hashes in page order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = std::io::Result<PageHash>> + '_ {
        let mut input = BufReader::with_capacity(
            1 << 18,
            FileCursor {
                file: &self.file,
                offset: HEADER_LEN as u64,
            },
        );
        std::iter::from_fn(move || {
            let mut hash = [0; PAGE_HASH_LEN];
            Some(input.read_exact(&mut hash).map(|()| hash))
        })
    }
}

fn header(head: &Head) -> [u8; HEADER_LEN] {
    let mut header = [0; HEADER_LEN];
    header[0..8].copy_from_slice(MAGIC);
    header[8..24].copy_from_slice(head.id.as_bytes());
    header[24..28].copy_from_slice(&head.generation.to_le_bytes());
    header[28..32].copy_from_slice(&head.page_count.to_le_bytes());
    header
}

#[cfg(test)]
#[path = "cache_tests.rs"]
mod tests;
