//! The fixed parts of a pack: header, trailer, and how a manifest names it.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::bytes::Fields;
use super::hash::{PAGE_HASH_LEN, StructureHash};
use crate::error::{Result, fail};

pub(crate) const HEADER_LEN: usize = 64;
pub(crate) const TRAILER_LEN: usize = 64;
const HEADER_MAGIC: &[u8; 8] = b"SWPACK01";
const TRAILER_MAGIC: &[u8; 8] = b"SWPKEND1";
/// Version of packs and manifests that this code writes, and the newest that it reads.
pub(crate) const VERSION: u16 = 1;
/// Page number and hash of one page, in the footer.
pub(crate) const PAGE_ENTRY_LEN: usize = 4 + PAGE_HASH_LEN;
/// Compressed length of one frame, in the footer.
pub(crate) const FRAME_ENTRY_LEN: usize = 4;
/// A pack holds at most this many pages (1 GiB at 4 KiB): its footer stays near 5 MB.
pub(crate) const MAX_PAGES: u32 = 262_144;
/// A pack ends when its frames reach this many bytes.
pub(crate) const MAX_BYTES: u64 = 512 << 20;
/// Raw bytes of a frame: large enough for zstd to find repetitions, small enough that a
/// restore of one page decompresses little.
const FRAME_BYTES: u32 = 256 << 10;

/// Pages compressed together: 256 KiB, at least 4 and at most 64 of them.
pub(crate) fn pages_per_frame(page_size: u32) -> u32 {
    (FRAME_BYTES / page_size).clamp(4, 64)
}

/// A pack as a manifest names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PackEntry {
    pub(crate) id: Uuid,
    /// Bytes of the object.
    pub(crate) size: u64,
    pub(crate) pages: u32,
    pub(crate) footer_hash: StructureHash,
}

impl PackEntry {
    pub(crate) const LEN: usize = 16 + 8 + 4 + 32;

    pub(crate) fn key(&self) -> String {
        key(self.id)
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.id.as_bytes());
        out.extend_from_slice(&self.size.to_le_bytes());
        out.extend_from_slice(&self.pages.to_le_bytes());
        out.extend_from_slice(&self.footer_hash);
    }

    pub(crate) fn decode(bytes: &[u8]) -> Self {
        let mut fields = Fields(bytes);
        Self {
            id: Uuid::from_bytes(fields.take()),
            size: fields.u64(),
            pages: fields.u32(),
            footer_hash: fields.take(),
        }
    }
}

/// Key of a pack.
pub(crate) fn key(id: Uuid) -> String {
    format!("packs/{id}")
}

/// First 64 bytes of a pack.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) id: Uuid,
    pub(crate) page_size: u32,
    pub(crate) pages_per_frame: u32,
}

impl Header {
    pub(crate) fn encode(&self) -> [u8; HEADER_LEN] {
        let mut out = Vec::with_capacity(HEADER_LEN);
        out.extend_from_slice(HEADER_MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&0_u16.to_le_bytes()); // encryption: 0 = none
        out.extend_from_slice(&self.page_size.to_le_bytes());
        out.extend_from_slice(&self.pages_per_frame.to_le_bytes());
        out.extend_from_slice(self.id.as_bytes());
        let mut header = [0; HEADER_LEN];
        header[..out.len()].copy_from_slice(&out);
        header
    }

    pub(crate) fn decode(bytes: &[u8; HEADER_LEN], what: &str) -> Result<Self> {
        let mut fields = Fields(bytes);
        if &fields.take::<8>() != HEADER_MAGIC {
            fail!(SnapshotDamaged, "{what} does not start like a pack");
        }
        refuse_newer(fields.u16(), fields.u16(), what)?;
        let (page_size, pages_per_frame) = (fields.u32(), fields.u32());
        if !page_size.is_power_of_two() || !(512..=65536).contains(&page_size) || !(1..=64).contains(&pages_per_frame) {
            fail!(SnapshotDamaged, "the header of {what} holds impossible values");
        }
        Ok(Self {
            id: Uuid::from_bytes(fields.take()),
            page_size,
            pages_per_frame,
        })
    }
}

/// Refuses what a later version of this package wrote.
pub(crate) fn refuse_newer(version: u16, encryption: u16, what: &str) -> Result<()> {
    if version > VERSION || encryption != 0 {
        fail!(
            RepositoryNewer,
            "{what} was written in format {version}{}; this version of snapshot-writer reads format {VERSION} without encryption: upgrade it",
            if encryption == 0 { "" } else { " with encryption" }
        );
    }
    Ok(())
}

/// Last 64 bytes of a pack.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Trailer {
    pub(crate) pages: u32,
    pub(crate) frames: u32,
    pub(crate) footer_offset: u64,
    /// BLAKE3 of header and footer.
    pub(crate) footer_hash: StructureHash,
}

impl Trailer {
    pub(crate) fn encode(&self) -> [u8; TRAILER_LEN] {
        let mut trailer = [0; TRAILER_LEN];
        trailer[0..4].copy_from_slice(&self.pages.to_le_bytes());
        trailer[4..8].copy_from_slice(&self.frames.to_le_bytes());
        trailer[8..16].copy_from_slice(&self.footer_offset.to_le_bytes());
        trailer[16..48].copy_from_slice(&self.footer_hash);
        trailer[56..64].copy_from_slice(TRAILER_MAGIC);
        trailer
    }

    pub(crate) fn decode(bytes: &[u8; TRAILER_LEN], size: u64, what: &str) -> Result<Self> {
        if &bytes[56..64] != TRAILER_MAGIC {
            fail!(SnapshotDamaged, "{what} does not end like a pack");
        }
        let mut fields = Fields(bytes);
        let trailer = Self {
            pages: fields.u32(),
            frames: fields.u32(),
            footer_offset: fields.u64(),
            footer_hash: fields.take(),
        };
        let footer =
            u64::from(trailer.pages) * PAGE_ENTRY_LEN as u64 + u64::from(trailer.frames) * FRAME_ENTRY_LEN as u64;
        if trailer.encode() != *bytes
            || trailer.pages > MAX_PAGES
            || trailer.footer_offset.checked_add(footer + TRAILER_LEN as u64) != Some(size)
            || trailer.footer_offset < HEADER_LEN as u64
        {
            fail!(
                SnapshotDamaged,
                "the trailer of {what} does not fit its size of {size} bytes"
            );
        }
        Ok(trailer)
    }
}
