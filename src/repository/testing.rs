//! What tests of the format share: a repository, pages, packs and manifests made of them.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use tempfile::TempDir;
use uuid::Uuid;

use super::Repository;
use super::hash::page_hash;
use super::manifest::{self, Description, Head, Kind};
use super::pack::PackEntry;
use super::pack_writer::PackWriter;
use super::page_table::{PageEntry, PageTable, PageTableWriter};
use crate::error::{Code, Result};

/// A repository of its own.
pub(crate) struct Place {
    pub(crate) repository: Repository,
    folder: TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let repository = Repository::open(&folder.path().join("repository"), None).unwrap();
        repository.init().unwrap();
        Self { repository, folder }
    }

    pub(crate) fn scratch(&self) -> PathBuf {
        self.repository.scratch().unwrap()
    }

    /// A path beside the repository.
    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Stores pages 1, 2, … in packs and says where they are.
    pub(crate) fn store(&self, page_size: u32, pages: &[Vec<u8>]) -> (PageTable, Vec<PackEntry>) {
        let mut writer = PackWriter::new(Arc::clone(self.repository.local()), page_size);
        let mut table = PageTableWriter::new(&self.scratch()).unwrap();
        for (number, data) in (1..).zip(pages) {
            let hash = page_hash(data);
            let at = writer.push(number, &hash, data).unwrap();
            table.push(&entry(data, at.pack + 1, at.page)).unwrap();
        }
        (table.finish().unwrap(), writer.finish().unwrap())
    }

    /// Stores pages and the manifest that names them.
    pub(crate) fn snapshot(&self, draft: Description, pages: &[Vec<u8>]) -> Head {
        let (table, packs) = self.store(draft.page_size, pages);
        self.publish(draft, &table, &packs).unwrap()
    }

    pub(crate) fn publish(&self, draft: Description, table: &PageTable, packs: &[PackEntry]) -> Result<Head> {
        manifest::write(&**self.repository.local(), &self.scratch(), draft, table, packs)
    }

    pub(crate) fn table(&self, entries: &[PageEntry]) -> PageTable {
        let mut table = PageTableWriter::new(&self.scratch()).unwrap();
        entries.iter().for_each(|entry| table.push(entry).unwrap());
        table.finish().unwrap()
    }

    /// Changes the bytes of an object behind the repository's back.
    pub(crate) fn tamper(&self, key: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let path = self.repository.path(key);
        let mut bytes = std::fs::read(&path).unwrap();
        change(&mut bytes);
        std::fs::write(&path, bytes).unwrap();
    }
}

/// A page that compresses by half and differs from that of every other seed.
pub(crate) fn page(seed: u32, page_size: u32) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64 ^ (u64::from(seed) << 20);
    let mut data = vec![b'x'; page_size as usize];
    for byte in data.iter_mut().step_by(2) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        *byte = state as u8;
    }
    data
}

pub(crate) fn pages(count: u32, page_size: u32) -> Vec<Vec<u8>> {
    (1..=count).map(|seed| page(seed, page_size)).collect()
}

pub(crate) fn entry(data: &[u8], pack: u32, position: u32) -> PageEntry {
    PageEntry {
        hash: page_hash(data),
        pack,
        position,
    }
}

pub(crate) fn draft(name: &str, page_size: u32) -> Description {
    Description {
        id: Uuid::new_v4(),
        generation: 1,
        name: name.to_owned(),
        kind: Kind::Snapshot,
        sequence: None,
        created_at: Timestamp::from_second(1_800_000_000).unwrap(),
        lineage: Uuid::new_v4(),
        instance: None,
        database_name: "dev.db".to_owned(),
        page_size,
        checksum: "ab".repeat(32),
        is_empty: false,
        core_counts: BTreeMap::from([("Reality".to_owned(), 3)]),
        core_tables: None,
        unjudged: Vec::new(),
        check: "quick".to_owned(),
        finding: None,
        stored_bytes: 77,
    }
}

/// The code of a failure; `None` for a success.
pub(crate) fn code<T>(result: Result<T>) -> Option<Code> {
    result.err().map(|error| error.code)
}
