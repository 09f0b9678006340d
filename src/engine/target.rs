//! The image that a restore, an export or a check works with, from packs or from a plain file.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use super::Context;
use super::find::Found;
use super::packed_image::{PackedImage, Sources};
use crate::database::header::{Header, lock_byte_page};
use crate::database::image::Image;
use crate::database::plain_snapshots::Place;
use crate::database::target::ImageHeader;
use crate::error::{Code, Error, Result, fail};
use crate::repository::hash::{ImageHasher, page_hash};
use crate::repository::manifest::Kind;
use crate::repository::page_table::{PageEntry, PageTable, PageTableWriter};
use crate::storage::{Store, io_error};

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
    Packed(Box<PackedImage>),
    Plain(File, Vec<u8>),
}

impl Target {
    pub(crate) fn open(context: &Context, found: &Found) -> Result<Self> {
        match found {
            Found::Packed(head) => PackedImage::open(Sources::of(context)?, head).map(of_packed),
            Found::Backup(backup) => {
                let sources = Sources::of_store(context, &backup.store)?;
                PackedImage::open(sources, &backup.head).map(of_packed)
            }
            Found::Plain(plain) => match &plain.place {
                Place::File(path) => {
                    let file = File::open(path).map_err(|error| io_error("read", path, error))?;
                    open_plain_file(context, path, file, &plain.record.checksum)
                }
                Place::Object(key) => open_plain_object(context, key, &plain.record.checksum),
            },
        }
    }

    pub(crate) fn page_count(&self) -> u32 {
        self.table.pages()
    }

    /// Whether pages come over a network.
    pub(crate) fn is_far(&self) -> bool {
        matches!(&self.pages, Pages::Packed(image) if image.is_far())
    }

    /// Brings near what a restore over a database of these pages will read: the frames of pages
    /// that differ, all of them when nothing is known of the database. Before any lock is taken.
    pub(crate) fn fetch(&self, live: Option<&PageTable>) -> Result<()> {
        let Pages::Packed(image) = &self.pages else {
            return Ok(());
        };
        let mut live = live.map(PageTable::iter);
        let mut failure = None;
        let differs = self.table.iter().filter(|entry| {
            let old = live.as_mut().and_then(Iterator::next);
            match (entry, old) {
                (Ok(entry), Some(Ok(old))) => entry.hash != old.hash,
                (_, Some(Err(error))) => {
                    failure = Some(error);
                    false
                }
                _ => true,
            }
        });
        image.fetch(differs)?;
        failure.map_or(Ok(()), Err)
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
            Pages::Packed(image) => image.page(page, entry),
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
            Pages::Packed(packed) => packed.read_from(1, &mut both)?,
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
    let head = match found {
        Found::Packed(head) => head,
        Found::Backup(backup) => &backup.head,
        Found::Plain(_) => return Ok(()),
    };
    if head.kind == Kind::Forensic {
        fail!(
            SnapshotDamaged,
            "{} is the image of a damaged database ({}), kept for forensics: export it to look at it",
            head.name,
            head.finding.as_deref().unwrap_or("no finding")
        );
    }
    Ok(())
}

fn of_packed(image: PackedImage) -> Target {
    Target {
        table: Arc::clone(&image.table),
        page_size: image.head().page_size,
        checksum: image.head().checksum.clone(),
        pages: Pages::Packed(Box::new(image)),
    }
}

/// An old plain snapshot in the bucket is brought into a scratch file, for it has to be read as a
/// whole before a page of it is believed.
fn open_plain_object(context: &Context, key: &str, checksum: &str) -> Result<Target> {
    let bucket = context.repository.require_bucket()?;
    let scratch = context.repository.scratch()?;
    let io = |error| io_error("write", &scratch, error);
    let mut file = tempfile::tempfile_in(&scratch).map_err(io)?;
    let object = bucket.open(key)?;
    let mut chunk = vec![0; 1 << 20];
    let mut done = 0;
    while done < object.size() {
        context.host.check_alive()?;
        let length = chunk.len().min((object.size() - done) as usize);
        object.read_exact_at(done, &mut chunk[..length])?;
        file.write_all(&chunk[..length]).map_err(io)?;
        done += length as u64;
        context.host.progress("download", done, object.size(), "bytes");
    }
    file.rewind().map_err(io)?;
    // Without a row, the checksum that was stored beside the object.
    let checksum = match checksum {
        "" => bucket.sha256(key)?.unwrap_or_default(),
        known => known.to_owned(),
    };
    open_plain_file(context, Path::new(&bucket.locate(key)), file, &checksum)
}

/// Hashes an old plain snapshot and compares it with the checksum of its row.
fn open_plain_file(context: &Context, path: &Path, mut file: File, checksum: &str) -> Result<Target> {
    let io = |error| io_error("read", path, error);
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
