//! The two hashes of the format.

use sha2::{Digest, Sha256};

/// Bytes of a page hash.
pub(crate) const PAGE_HASH_LEN: usize = 16;

/// First 16 bytes of a page's BLAKE3: it decides whether a page changed, so it has to resist
/// an application's user who chooses the bytes (64 bits of work for a collision).
pub(crate) type PageHash = [u8; PAGE_HASH_LEN];

/// BLAKE3 of a structure of the format (footer, head, table).
pub(crate) type StructureHash = [u8; 32];

/// Stands for the lock-byte page, which holds nothing.
pub(crate) const HOLE: PageHash = [0; PAGE_HASH_LEN];

pub(crate) fn page_hash(page: &[u8]) -> PageHash {
    let mut hash = [0; PAGE_HASH_LEN];
    hash.copy_from_slice(&blake3::hash(page).as_bytes()[..PAGE_HASH_LEN]);
    hash
}

/// SHA-256 of a whole image, fed in page order.
#[derive(Default)]
pub(crate) struct ImageHasher(Sha256);

impl ImageHasher {
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Lower-case hex.
    pub(crate) fn finish(self) -> String {
        hex(&self.0.finalize())
    }
}

/// Lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

/// The reverse of [`hex`] for a structure hash.
pub(crate) fn parse_hex(text: &str) -> Option<StructureHash> {
    let mut hash = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (byte, pair) in hash.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(hash)
}
