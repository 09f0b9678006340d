//! The manifest of a snapshot: a head of bounded size, the list of packs, the extents.

use std::collections::BTreeMap;
use std::io::Read;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::bytes::{Fields, ObjectRange, own_or};
use super::extents::{Extent, Extents};
use super::hash::{StructureHash, parse_hex};
use super::pack::{PackEntry, VERSION, refuse_newer};
use super::page_table::PageEntry;
use crate::error::{Code, Error, Result, fail};
use crate::storage::{Reader, Store};

#[path = "manifest_writer.rs"]
mod writer;

pub(crate) use writer::{rewrite, write};

const MAGIC: &[u8; 8] = b"SWMANI01";
const PRELUDE_LEN: usize = 64;
/// One ranged read of this many bytes gets any head.
const MAX_HEAD: usize = 64 << 10;

/// Why a snapshot was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// By `createSnapshot`.
    Snapshot,
    /// Before a restore or a reset; what `undoRestore` goes back to.
    Safety,
    /// The image failed SQLite's check and is kept for forensics.
    Forensic,
}

/// What is said of a snapshot when it is made.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Description {
    pub(crate) id: Uuid,
    /// Grows when the manifest is rewritten after repacking; the highest counts.
    pub(crate) generation: u32,
    pub(crate) name: String,
    pub(crate) kind: Kind,
    /// Its number in the order of things (`order.rs`); manifests of earlier versions have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) sequence: Option<u64>,
    pub(crate) created_at: Timestamp,
    /// Where the content comes from: snapshots of a database and of its copies share it.
    pub(crate) lineage: Uuid,
    /// Which database made it (see `instance.rs`). Older versions do not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) instance: Option<String>,
    /// File name of the database, without its folder.
    pub(crate) database_name: String,
    pub(crate) page_size: u32,
    /// SHA-256 of the whole image, lower-case hex.
    pub(crate) checksum: String,
    /// No row in the core tables.
    pub(crate) is_empty: bool,
    /// Rows of the core tables.
    pub(crate) core_counts: BTreeMap<String, u64>,
    /// The core tables that the two above are about; `None`: nobody has looked, or it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) core_tables: Option<Vec<String>>,
    /// SQLite's check at creation: `none`, `quick` or `full`.
    pub(crate) check: String,
    /// What SQLite found wrong, for forensic images.
    pub(crate) finding: Option<String>,
    /// What SQLite could not judge at creation, and content that breaks a rule of the schema.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) unjudged: Vec<String>,
    /// Bytes of the packs that this snapshot added.
    pub(crate) stored_bytes: u64,
}

/// What the manifest says about its snapshot without its pages: the description, and what
/// follows from the tables.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Head {
    #[serde(flatten)]
    description: Description,
    pub(crate) page_count: u32,
    /// BLAKE3 over all page hashes, lower-case hex.
    page_list_hash: String,
    pack_count: u32,
    pack_table_hash: String,
    extent_count: u32,
    extents_len: u64,
    extents_hash: String,
}

impl std::ops::Deref for Head {
    type Target = Description;

    fn deref(&self) -> &Description {
        &self.description
    }
}

impl Head {
    /// Bytes of the image.
    pub(crate) fn size(&self) -> u64 {
        u64::from(self.page_size) * u64::from(self.page_count)
    }

    pub(crate) fn key(&self) -> String {
        key(self.id, self.generation)
    }

    pub(crate) fn packs(&self) -> u32 {
        self.pack_count
    }

    /// Whether two manifests have every page in the same place. The same generation does not mean
    /// that: hosts that keep one snapshot repack it each for itself.
    pub(crate) fn has_places_of(&self, other: &Self) -> bool {
        let places = |head: &Self| (head.pack_table_hash.clone(), head.extents_hash.clone());
        places(self) == places(other)
    }

    pub(crate) fn page_list_hash(&self) -> Result<StructureHash> {
        parse_hash(&self.page_list_hash)
    }
}

/// Key of a manifest.
pub(crate) fn key(id: Uuid, generation: u32) -> String {
    format!("snapshots/{id}.{generation}")
}

/// The reverse of [`key`]; `None` for an object that is no manifest.
pub(crate) fn parse_key(text: &str) -> Option<(Uuid, u32)> {
    let (id, generation) = text.strip_prefix("snapshots/")?.split_once('.')?;
    let (id, generation) = (Uuid::try_parse(id).ok()?, generation.parse().ok()?);
    // A stray file must not count as a damaged manifest, which would stop every clean-up.
    (key(id, generation) == text).then_some((id, generation))
}

fn prelude(json: &[u8]) -> [u8; PRELUDE_LEN] {
    let mut prelude = [0; PRELUDE_LEN];
    prelude[0..8].copy_from_slice(MAGIC);
    prelude[8..10].copy_from_slice(&VERSION.to_le_bytes());
    prelude[12..16].copy_from_slice(&(json.len() as u32).to_le_bytes());
    prelude[16..48].copy_from_slice(blake3::hash(json).as_bytes());
    prelude
}

/// A manifest opened for reading its packs and pages.
pub(crate) struct Manifest {
    pub(crate) head: Head,
    pub(crate) packs: Vec<PackEntry>,
    object: Box<dyn Reader>,
    extents_offset: u64,
}

impl Manifest {
    /// Opens a manifest and checks the hash of every part; a damaged one is looked for a second
    /// time where the store knows another copy.
    pub(crate) fn open(store: &dyn Store, key: &str) -> Result<Self> {
        match (Self::open_in(store, key), store.second()) {
            (Err(error), Some(second)) if error.code == Code::SnapshotDamaged => {
                let opened = Self::open_in(&*second, key)?;
                tracing::warn!(reason = %error, "a manifest is damaged; its other copy is used");
                Ok(opened)
            }
            (opened, _) => opened,
        }
    }

    fn open_in(store: &dyn Store, key: &str) -> Result<Self> {
        let what = format!("manifest {}", store.locate(key));
        let object = store.open(key)?;
        let (head, packs, extents_offset) = read_tables(&*object, key, &what)?;
        // Read twice: for the hash, and as extents.
        object.fetch(std::slice::from_ref(&(extents_offset..object.size())))?;
        let mut hasher = blake3::Hasher::new();
        hasher
            .update_reader(ObjectRange {
                object: &*object,
                offset: extents_offset,
                end: object.size(),
            })
            .map_err(|error| own_or(error, &format!("{what} cannot be read")))?;
        if hasher.finalize() != parse_hash(&head.extents_hash)? {
            fail!(SnapshotDamaged, "the extents of {what} do not have their hash");
        }
        Ok(Self {
            head,
            packs,
            object,
            extents_offset,
        })
    }

    /// The runs of pages, in page order.
    pub(crate) fn extents(&self) -> Result<Extents<impl Read + '_>> {
        let range = ObjectRange {
            object: &*self.object,
            offset: self.extents_offset,
            end: self.object.size(),
        };
        Extents::new(range, self.packs.len(), self.head.page_count)
    }

    /// Where every page is, in page order. Their hashes are in the packs' footers and left out here.
    fn entries(&self) -> Result<impl Iterator<Item = Result<PageEntry>> + '_> {
        let pages = |extent: Extent| {
            (0..extent.count).map(move |offset| {
                Ok(PageEntry {
                    pack: extent.pack,
                    position: if extent.pack == 0 { 0 } else { extent.position + offset },
                    ..PageEntry::HOLE
                })
            })
        };
        Ok(self.extents()?.flat_map(move |extent| {
            let (run, failure) = match extent {
                Ok(extent) => (Some(extent), None),
                Err(error) => (None, Some(Err(error))),
            };
            run.into_iter().flat_map(pages).chain(failure)
        }))
    }
}

/// Reads the head of a manifest alone.
pub(crate) fn read_head(store: &dyn Store, key: &str) -> Result<Head> {
    let object = store.open(key)?;
    read_head_from(&*object, key, &format!("manifest {}", store.locate(key))).map(|(head, _)| head)
}

/// Reads the head and the packs of a manifest, without its pages.
pub(crate) fn pack_table(store: &dyn Store, key: &str) -> Result<(Head, Vec<PackEntry>)> {
    let what = format!("manifest {}", store.locate(key));
    let object = store.open(key)?;
    read_tables(&*object, key, &what).map(|(head, packs, _)| (head, packs))
}

/// Head, packs, and where the extents begin.
fn read_tables(object: &dyn Reader, key: &str, what: &str) -> Result<(Head, Vec<PackEntry>, u64)> {
    let (head, head_end) = read_head_from(object, key, what)?;
    let extents_offset = head_end + u64::from(head.pack_count) * PackEntry::LEN as u64;
    if object.size() != extents_offset + head.extents_len {
        fail!(
            SnapshotDamaged,
            "{what} has {} bytes instead of {}",
            object.size(),
            extents_offset + head.extents_len
        );
    }
    let mut table = vec![0; (extents_offset - head_end) as usize];
    object.read_exact_at(head_end, &mut table)?;
    if blake3::hash(&table) != parse_hash(&head.pack_table_hash)? {
        fail!(SnapshotDamaged, "the pack table of {what} does not have its hash");
    }
    let packs = table.chunks_exact(PackEntry::LEN).map(PackEntry::decode).collect();
    Ok((head, packs, extents_offset))
}

fn read_head_from(object: &dyn Reader, key: &str, what: &str) -> Result<(Head, u64)> {
    if object.size() < PRELUDE_LEN as u64 {
        fail!(SnapshotDamaged, "{what} has only {} bytes", object.size());
    }
    let mut start = vec![0; MAX_HEAD.min(object.size() as usize)];
    object.read_exact_at(0, &mut start)?;
    let mut fields = Fields(&start);
    if &fields.take::<8>() != MAGIC {
        fail!(SnapshotDamaged, "{what} does not start like a manifest");
    }
    refuse_newer(fields.u16(), fields.u16(), what)?;
    let length = fields.u32() as usize;
    let Some(json) = start.get(PRELUDE_LEN..PRELUDE_LEN + length) else {
        fail!(SnapshotDamaged, "{what} names a head of {length} bytes");
    };
    // Byte by byte, the reserved ones too: nothing else covers them.
    if start[..PRELUDE_LEN] != prelude(json) {
        fail!(SnapshotDamaged, "the head of {what} does not have its hash");
    }
    let head: Head = serde_json::from_slice(json).map_err(|error| {
        Error::new(
            Code::SnapshotDamaged,
            format!("the head of {what} cannot be understood"),
        )
        .because(error)
    })?;
    if parse_key(key) != Some((head.id, head.generation)) {
        fail!(SnapshotDamaged, "{what} belongs to another snapshot");
    }
    Ok((head, (PRELUDE_LEN + length) as u64))
}

fn parse_hash(text: &str) -> Result<StructureHash> {
    match parse_hex(text) {
        Some(hash) => Ok(hash),
        None => fail!(SnapshotDamaged, "a manifest holds a malformed hash"),
    }
}

#[cfg(test)]
#[path = "manifest_tests.rs"]
mod tests;
