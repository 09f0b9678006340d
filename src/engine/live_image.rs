//! A captured image, read from the live file where that still holds the captured bytes (a hash
//! tells), from the packs elsewhere.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use crate::database::image::Image;
use crate::database::raw_files::open_plain;
use crate::error::{Result, fail};
use crate::repository::hash::{ImageHasher, page_hash};
use crate::repository::packed_pages::PackedPages;
use crate::repository::page_table::PageTable;

/// See the module.
pub(crate) struct LiveImage {
    live: Option<File>,
    table: PageTable,
    packs: PackedPages,
    page_size: u32,
}

impl LiveImage {
    /// `live` is only a faster way to the same bytes: no connection to it may be open, so whoever has
    /// one passes `None`.
    pub(crate) fn new(live: Option<&Path>, table: PageTable, packs: PackedPages, page_size: u32) -> Self {
        Self {
            live: live.and_then(|path| open_plain(path, path).ok()),
            table,
            packs,
            page_size,
        }
    }

    pub(crate) fn into_table(self) -> PageTable {
        self.table
    }

    /// SHA-256 of the whole image.
    pub(crate) fn checksum(&mut self) -> Result<String> {
        let mut image = ImageHasher::default();
        let mut page = vec![0; self.page_size as usize];
        for number in 1..=self.table.pages() {
            self.page(number, &mut page)?;
            image.update(&page);
        }
        Ok(image.finish())
    }
}

impl Image for LiveImage {
    fn page_size(&self) -> u32 {
        self.page_size
    }

    fn page_count(&self) -> u32 {
        self.table.pages()
    }

    fn page(&mut self, page: u32, out: &mut [u8]) -> Result<()> {
        let entry = self.table.get(page)?;
        if entry.pack == 0 {
            out.fill(0);
            return Ok(());
        }
        if let Some(live) = &self.live {
            let offset = u64::from(page - 1) * u64::from(self.page_size);
            if live.read_exact_at(out, offset).is_ok() && page_hash(out) == entry.hash {
                return Ok(());
            }
        }
        out.copy_from_slice(self.packs.page(&entry)?);
        Ok(())
    }
}

/// An image that is lent to a connection and taken back afterwards.
pub(crate) type Shared = Arc<Mutex<Option<LiveImage>>>;

/// The connection's side of a [`Shared`] image.
pub(crate) struct SharedImage(pub(crate) Shared);

/// Pages of a shared image.
pub(crate) fn page_count(shared: &Shared) -> u32 {
    with(shared, |image| Ok(image.page_count())).unwrap_or(0)
}

fn with<T>(shared: &Shared, use_it: impl FnOnce(&mut LiveImage) -> Result<T>) -> Result<T> {
    match shared.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
        Some(image) => use_it(image),
        None => fail!(Internal, "the image was taken back while a connection used it"),
    }
}

impl Image for SharedImage {
    fn page_size(&self) -> u32 {
        with(&self.0, |image| Ok(image.page_size())).unwrap_or(512)
    }

    fn page_count(&self) -> u32 {
        page_count(&self.0)
    }

    fn page(&mut self, page: u32, out: &mut [u8]) -> Result<()> {
        with(&self.0, |image| image.page(page, out))
    }
}

#[cfg(test)]
#[path = "live_image_tests.rs"]
mod tests;
