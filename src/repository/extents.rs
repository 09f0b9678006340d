//! The body of a manifest: runs of pages that stand side by side in one pack.
//!
//! Runs tile the image from page 1 to its end, so a run needs no page number: it is
//! `count`, `pack` (0 = the hole of the lock-byte page) and how far its position is from where
//! the run before ended in the same pack. All three are variable-length, and zstd goes over them.

use std::io::{BufReader, Read, Write};

use super::bytes::{get_varint, own_or, put_varint, unzigzag, zigzag};
use super::page_table::PageEntry;
use crate::error::{Error, Result, fail};

/// A run of pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) first_page: u32,
    pub(crate) count: u32,
    /// 1-based; 0 is a hole.
    pub(crate) pack: u32,
    pub(crate) position: u32,
}

/// Joins entries into runs and writes them compressed. Returns how many runs there are.
pub(crate) fn write(entries: impl Iterator<Item = Result<PageEntry>>, packs: usize, out: impl Write) -> Result<u32> {
    let mut encoder = zstd::Encoder::new(out, 3).map_err(failed)?;
    let mut ends = vec![0; packs + 1];
    let mut written = 0;
    let mut run: Option<Extent> = None;
    for entry in entries {
        let entry = entry?;
        if let Some(run) = run.as_mut()
            && run.pack == entry.pack
            && (entry.pack == 0 || run.position + run.count == entry.position)
        {
            run.count += 1;
            continue;
        }
        if let Some(run) = run.take() {
            put(&mut encoder, &run, &mut ends)?;
            written += 1;
        }
        run = Some(Extent {
            first_page: 0,
            count: 1,
            pack: entry.pack,
            position: entry.position,
        });
    }
    if let Some(run) = run {
        put(&mut encoder, &run, &mut ends)?;
        written += 1;
    }
    encoder.finish().map_err(failed)?;
    Ok(written)
}

fn put(out: &mut impl Write, run: &Extent, ends: &mut [i64]) -> Result<()> {
    let mut bytes = Vec::with_capacity(12);
    put_varint(&mut bytes, run.count.into());
    put_varint(&mut bytes, run.pack.into());
    if run.pack > 0 {
        let end = &mut ends[run.pack as usize];
        put_varint(&mut bytes, zigzag(i64::from(run.position) - *end));
        *end = i64::from(run.position) + i64::from(run.count);
    }
    out.write_all(&bytes).map_err(failed)
}

/// Reads runs back, checking that they tile `page_count` pages and name packs that exist.
pub(crate) struct Extents<R: Read> {
    input: zstd::Decoder<'static, BufReader<R>>,
    ends: Vec<i64>,
    next_page: u32,
    page_count: u32,
}

impl<R: Read> Extents<R> {
    pub(crate) fn new(input: R, packs: usize, page_count: u32) -> Result<Self> {
        let input = zstd::Decoder::new(input).map_err(damaged)?;
        Ok(Self {
            input,
            ends: vec![0; packs + 1],
            next_page: 1,
            page_count,
        })
    }

    fn read(&mut self) -> Result<Extent> {
        let count = get_varint(&mut self.input).map_err(damaged)?;
        let pack = get_varint(&mut self.input).map_err(damaged)?;
        let left = u64::from(self.page_count - self.next_page) + 1;
        if count == 0 || count > left || pack >= self.ends.len() as u64 {
            fail!(
                SnapshotDamaged,
                "the manifest lists impossible pages after page {}",
                self.next_page
            );
        }
        let mut extent = Extent {
            first_page: self.next_page,
            count: count as u32,
            pack: pack as u32,
            position: 0,
        };
        if pack > 0 {
            let end = &mut self.ends[pack as usize];
            let position = end.checked_add(unzigzag(get_varint(&mut self.input).map_err(damaged)?));
            let Some(position) = position.and_then(|position| u32::try_from(position).ok()) else {
                fail!(
                    SnapshotDamaged,
                    "the manifest lists an impossible position for page {}",
                    self.next_page
                );
            };
            extent.position = position;
            *end = i64::from(position) + i64::from(extent.count);
        }
        self.next_page = self.next_page.saturating_add(extent.count);
        Ok(extent)
    }
}

impl<R: Read> Iterator for Extents<R> {
    type Item = Result<Extent>;

    fn next(&mut self) -> Option<Self::Item> {
        (self.next_page <= self.page_count).then(|| {
            let extent = self.read();
            if extent.is_err() {
                self.next_page = u32::MAX;
                self.page_count = 0;
            }
            extent
        })
    }
}

fn failed(error: std::io::Error) -> Error {
    crate::storage::io_error("write", std::path::Path::new("a manifest"), error)
}

fn damaged(error: std::io::Error) -> Error {
    own_or(error, "the manifest's list of pages cannot be decoded")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repository::hash::HOLE;

    fn entries(list: &[(u32, u32)]) -> Vec<PageEntry> {
        list.iter()
            .map(|&(pack, position)| PageEntry {
                hash: HOLE,
                pack,
                position,
            })
            .collect()
    }

    #[test]
    fn runs_come_back_as_they_went() {
        let table = entries(&[(1, 0), (1, 1), (2, 0), (1, 3), (1, 4), (0, 0), (2, 1), (2, 2), (1, 2)]);
        let mut bytes = Vec::new();
        let written = write(table.iter().copied().map(Ok), 2, &mut bytes).expect("encodes");
        assert_eq!(written, 6);
        let mut back = Vec::new();
        for extent in Extents::new(bytes.as_slice(), 2, table.len() as u32).expect("opens") {
            let extent = extent.expect("decodes");
            assert_eq!(extent.first_page as usize, back.len() + 1);
            back.extend(
                (0..extent.count).map(|i| (extent.pack, if extent.pack == 0 { 0 } else { extent.position + i })),
            );
        }
        assert_eq!(entries(&back), table);
    }

    #[test]
    fn runs_beyond_the_image_or_the_packs_are_refused() {
        let mut bytes = Vec::new();
        write(entries(&[(2, 0), (2, 1), (2, 2)]).into_iter().map(Ok), 2, &mut bytes).expect("encodes");
        assert!(
            Extents::new(bytes.as_slice(), 2, 2)
                .expect("opens")
                .next()
                .expect("one")
                .is_err()
        );
        assert!(
            Extents::new(bytes.as_slice(), 1, 3)
                .expect("opens")
                .next()
                .expect("one")
                .is_err()
        );
        assert!(
            Extents::new(bytes.as_slice(), 2, 4)
                .expect("opens")
                .nth(1)
                .expect("two")
                .is_err()
        );
    }
}
