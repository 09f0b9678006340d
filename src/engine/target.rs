//! The image that a restore, an export or a check works with, from packs or from a plain file.

use std::fs::File;
use std::io::{Read, Seek};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use super::Context;
use super::find::Found;
use crate::database::header::{Header, lock_byte_page};
use crate::database::image::Image;
use crate::database::target::ImageHeader;
use crate::error::{Code, Error, Result, fail};
use crate::repository::hash::{ImageHasher, page_hash};
use crate::repository::manifest::Kind;
use crate::repository::page_table::{PageEntry, PageTable, PageTableWriter};
use crate::repository::snapshot::Snapshot;
use crate::storage::io_error;

/// An image with the hash of every page. Its manifest, footers and page list were verified;
/// every page is compared with its hash when it is read.
pub(crate) struct Target {
    pages: Pages,
    pub(crate) table: Arc<PageTable>,
    pub(crate) page_size: u32,
    /// SHA-256 of the whole image.
    pub(crate) checksum: String,
}

enum Pages {
    Packed(Box<Snapshot>),
    Plain(File, Vec<u8>),
}

impl Target {
    pub(crate) fn open(context: &Context, found: &Found) -> Result<Self> {
        match found {
            Found::Packed(head) => {
                let snapshot = Snapshot::open(&context.repository, head)?;
                let table = Arc::new(snapshot.page_table(&context.repository.scratch()?)?);
                let (page_size, checksum) = (head.page_size, head.checksum.clone());
                Ok(Self {
                    pages: Pages::Packed(Box::new(snapshot)),
                    table,
                    page_size,
                    checksum,
                })
            }
            Found::Plain(plain) => open_plain_file(context, &plain.path, &plain.record.checksum),
        }
    }

    pub(crate) fn page_count(&self) -> u32 {
        self.table.pages()
    }

    /// What the restoring transaction has to know beforehand.
    pub(crate) fn header(&mut self) -> Result<ImageHeader> {
        let page_count = self.page_count();
        let page1 = if page_count == 0 {
            Vec::new()
        } else {
            let entry = self.table.get(1)?;
            self.page(1, &entry)?.to_vec()
        };
        Ok(ImageHeader {
            page_size: self.page_size,
            page_count,
            page1,
        })
    }

    /// One page, compared with its hash.
    pub(crate) fn page(&mut self, page: u32, entry: &PageEntry) -> Result<&[u8]> {
        match &mut self.pages {
            Pages::Packed(snapshot) => snapshot.page(entry),
            Pages::Plain(file, buffer) => {
                let offset = u64::from(page - 1) * u64::from(self.page_size);
                let read = file.read_exact_at(buffer, offset);
                if read.is_err() || (entry.pack != 0 && page_hash(buffer) != entry.hash) {
                    fail!(SnapshotDamaged, "the old snapshot file changed while it was read");
                }
                Ok(buffer)
            }
        }
    }

    /// Hands every page in order to `sink` in runs and compares the whole image with its SHA-256.
    pub(crate) fn read_all(&mut self, mut sink: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let mut image = ImageHasher::default();
        let mut both = |run: &[u8]| {
            image.update(run);
            sink(run)
        };
        match &mut self.pages {
            Pages::Packed(snapshot) => snapshot.read_all(&self.table, both)?,
            Pages::Plain(..) => {
                let table = Arc::clone(&self.table);
                for (page, entry) in (1..).zip(table.iter()) {
                    both(self.page(page, &entry?)?)?;
                }
            }
        }
        let checksum = image.finish();
        if checksum != self.checksum {
            fail!(
                SnapshotDamaged,
                "the image has SHA-256 {checksum} instead of {}",
                self.checksum
            );
        }
        Ok(())
    }
}

impl Image for Target {
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
        } else {
            out.copy_from_slice(Target::page(self, page, &entry)?);
        }
        Ok(())
    }
}

/// Refuses what must not be put into the place of a database.
pub(crate) fn check_restorable(found: &Found) -> Result<()> {
    if let Found::Packed(head) = found
        && head.kind == Kind::Forensic
    {
        fail!(
            SnapshotDamaged,
            "{} is the image of a damaged database ({}), kept for forensics: export it to look at it",
            head.name,
            head.finding.as_deref().unwrap_or("no finding")
        );
    }
    Ok(())
}

/// Hashes an old plain snapshot and compares it with the checksum of its row.
fn open_plain_file(context: &Context, path: &Path, checksum: &str) -> Result<Target> {
    let io = |error| io_error("read", path, error);
    let mut file = File::open(path).map_err(io)?;
    let mut start = [0; 100];
    let size = file.metadata().map_err(io)?.len();
    let header = if size == 0 {
        None
    } else {
        file.read_exact(&mut start).ok().and_then(|()| Header::parse(&start))
    };
    let page_size = header.as_ref().map_or(4096, |header| header.page_size);
    if size % u64::from(page_size) != 0 || (size > 0 && header.is_none()) {
        fail!(SnapshotDamaged, "{} is not a whole SQLite database", path.display());
    }
    file.rewind().map_err(io)?;
    let mut table = PageTableWriter::new(&context.repository.scratch()?)?;
    let mut image = ImageHasher::default();
    let mut page = vec![0; page_size as usize];
    for number in 1..=(size / u64::from(page_size)) as u32 {
        file.read_exact(&mut page).map_err(io)?;
        image.update(&page);
        let entry = PageEntry {
            hash: page_hash(&page),
            pack: 1,
            position: 0,
        };
        table.push(if number == lock_byte_page(page_size) {
            &PageEntry::HOLE
        } else {
            &entry
        })?;
    }
    let found = image.finish();
    if !checksum.is_empty() && found != checksum {
        return Err(Error::new(
            Code::SnapshotDamaged,
            format!("{} has SHA-256 {found} instead of {checksum}", path.display()),
        ));
    }
    Ok(Target {
        pages: Pages::Plain(file, page),
        table: Arc::new(table.finish()?),
        page_size,
        checksum: found,
    })
}
