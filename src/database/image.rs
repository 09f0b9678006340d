//! Opens a captured image as a read-only SQLite database without assembling it: a VFS whose one
//! file is a set of pages from wherever they are. `quick_check` and the row counts run on it,
//! so they hold up no writer and cost no disk space.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use rusqlite::{Connection, OpenFlags};

use super::image_vfs::{Entry, VFS_NAME, lock_images, register};
use super::sqlite_error::is_damage;
use crate::error::{Code, Error, Result};

/// The pages of an image.
pub(crate) trait Image: Send {
    fn page_size(&self) -> u32;
    fn page_count(&self) -> u32;
    /// Fills `out` with one page (numbers start at 1).
    fn page(&mut self, page: u32, out: &mut [u8]) -> Result<()>;
}

/// Opens `image` as a database. The first error of [`Image::page`] is kept and can be asked for.
pub(crate) fn open(image: Box<dyn Image>) -> Result<ImageDatabase> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    register();
    let name = format!("image-{}", NEXT.fetch_add(1, Ordering::Relaxed));
    lock_images().insert(name.clone(), Entry::new(image));
    match connect(&name) {
        Ok(conn) => Ok(ImageDatabase { conn: Some(conn), name }),
        Err(error) => {
            lock_images().remove(&name);
            Err(error)
        }
    }
}

/// A connection to a registered image. That SQLite finds it damaged counts when it does so twice.
fn connect(name: &str) -> Result<Connection> {
    let open = || {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let conn = Connection::open_with_flags_and_vfs(name, flags, VFS_NAME)?;
        // The image may hold anything; nothing in it is to be executed or written.
        conn.execute_batch(
            "PRAGMA trusted_schema=OFF; PRAGMA temp_store=MEMORY; PRAGMA cell_size_check=ON; PRAGMA cache_size=-16384",
        )?;
        Ok(conn)
    };
    let opened = match open() {
        Err(error) if is_damage(&error) => open(),
        other => other,
    };
    opened.map_err(|error| match take_error(name) {
        Some(inner) => inner,
        None if is_damage(&error) => Error::new(
            Code::DatabaseCorrupt,
            "the captured image cannot be opened as a database",
        )
        .because(error),
        None => Error::new(Code::Internal, "SQLite cannot open the captured image").because(error),
    })
}

fn take_error(name: &str) -> Option<Error> {
    lock_images().get_mut(name).and_then(|entry| entry.error.take())
}

/// A connection to an image.
pub(crate) struct ImageDatabase {
    conn: Option<Connection>,
    name: String,
}

impl ImageDatabase {
    pub(crate) fn connection(&self) -> &Connection {
        #[expect(clippy::unwrap_used, reason = "only Drop takes the connection out")]
        self.conn.as_ref().unwrap()
    }

    pub(crate) fn connection_mut(&mut self) -> &mut Connection {
        #[expect(clippy::unwrap_used, reason = "only Drop takes the connection out")]
        self.conn.as_mut().unwrap()
    }

    /// A connection that has read nothing yet.
    pub(super) fn another_connection(&self) -> Result<Connection> {
        connect(&self.name)
    }

    /// Whether the image has no row that counts, see [`super::content::is_empty`].
    pub(crate) fn is_empty(&self, core_tables: &[String]) -> Result<bool> {
        super::content::is_empty(self.connection(), core_tables)
            .map_err(|error| self.why("the image cannot be read as a database", error))
    }

    /// Rows of the core tables, see [`super::content::core_counts`].
    pub(crate) fn core_counts(&self, core_tables: &[String]) -> Result<BTreeMap<String, u64>> {
        super::content::core_counts(self.connection(), core_tables)
            .map_err(|error| self.why("the rows cannot be counted", error))
    }

    /// What an error of SQLite means: a page that cannot be read, damage, or something that says nothing of the image.
    pub(super) fn why(&self, what: &str, error: rusqlite::Error) -> Error {
        match self.take_error() {
            Some(inner) => inner,
            None if is_damage(&error) => Error::new(Code::SnapshotDamaged, what).because(error),
            None => Error::new(Code::Internal, what).because(error),
        }
    }

    /// The error that reading a page met, behind SQLite's "disk I/O error".
    pub(crate) fn take_error(&self) -> Option<Error> {
        take_error(&self.name)
    }
}

impl Drop for ImageDatabase {
    fn drop(&mut self) {
        self.conn = None;
        lock_images().remove(&self.name);
    }
}

/// An image in a scratch file.
pub(crate) struct FileImage {
    file: std::fs::File,
    page_size: u32,
    page_count: u32,
}

impl FileImage {
    pub(crate) fn new(file: std::fs::File, page_size: u32, page_count: u32) -> Self {
        Self {
            file,
            page_size,
            page_count,
        }
    }
}

impl Image for FileImage {
    fn page_size(&self) -> u32 {
        self.page_size
    }

    fn page_count(&self) -> u32 {
        self.page_count
    }

    fn page(&mut self, page: u32, out: &mut [u8]) -> Result<()> {
        use std::os::unix::fs::FileExt;
        let offset = u64::from(page - 1) * u64::from(self.page_size);
        self.file
            .read_exact_at(out, offset)
            .map_err(|error| crate::storage::io_error("read", std::path::Path::new("the assembled image"), error))
    }
}

#[cfg(test)]
#[path = "image_tests.rs"]
mod tests;
