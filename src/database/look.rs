//! What an operator wants to know of the database: the file as it lies there, and what is in it.

use std::fs;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use rusqlite::Connection;
use serde::Serialize;

use super::catalog_model::{self, Catalog};
use super::connect::{open_for_reading, open_settled, wait_while_busy};
use super::gate;
use super::header::{HEADER_BYTES, Header};
use super::holders::companion;
use super::migrations::{self, History};
use super::raw_files::{file_error, looks_encrypted, open_plain};
use crate::error::{Result, fail};

/// The file, without SQLite.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Look {
    pub(crate) size: u64,
    pub(crate) mode: u32,
    pub(crate) owner: u32,
    pub(crate) device: u64,
    /// `None` for an empty file, like the next.
    pub(crate) page_size: Option<u32>,
    pub(crate) is_wal: Option<bool>,
    /// Bytes of the write-ahead log.
    pub(crate) wal_size: Option<u64>,
    /// A transaction was cut off; whoever opens the database next rolls it back.
    pub(crate) has_hot_journal: bool,
    /// What SQLite would delete, because the file has zero bytes.
    pub(crate) stranded: Vec<PathBuf>,
    /// Names of the file: only beside one of them are the companions that are used.
    pub(crate) names: u64,
}

/// Looks at the file. No connection may be open in this process.
pub(crate) fn look(path: &Path) -> Result<Look> {
    let metadata = fs::metadata(path).map_err(|error| file_error("look at", path, error))?;
    if !metadata.is_file() {
        fail!(DatabaseNotAFile, "{} is not a file", path.display());
    }
    let mut start = Vec::new();
    open_plain(path, path)?
        .take(HEADER_BYTES as u64)
        .read_to_end(&mut start)
        .map_err(|error| file_error("read", path, error))?;
    let header = Header::parse(&start);
    if header.is_none() && !start.is_empty() {
        if looks_encrypted(path) {
            fail!(
                DatabaseEncrypted,
                "{} looks encrypted; only plain SQLite databases can be read",
                path.display()
            );
        }
        fail!(DatabaseInvalid, "{} is not an SQLite database", path.display());
    }
    Ok(Look {
        size: metadata.len(),
        mode: metadata.mode() & 0o7777,
        owner: metadata.uid(),
        device: metadata.dev(),
        page_size: header.as_ref().map(|header| header.page_size),
        is_wal: header.as_ref().map(|header| header.read_version == 2),
        wal_size: fs::metadata(companion(path, "-wal")).ok().map(|wal| wal.len()),
        has_hot_journal: gate::has_hot_journal(path),
        stranded: gate::stranded(path)?,
        names: metadata.nlink(),
    })
}

/// A connection of somebody who only looks.
pub(crate) struct Looking {
    pub(crate) conn: Connection,
    /// The file is read as it lies there, without a lock: nobody is held up.
    pub(crate) is_settled: bool,
}

/// Opens the database to look at it. SQLite makes `-wal` and `-shm` beside one in WAL mode and leaves
/// them there; where there is no `-wal`, everything is in the file itself, which is read without them.
/// Who opens the database meanwhile makes the answers stale, no more.
pub(crate) fn open(path: &Path) -> Result<Looking> {
    let is_settled =
        look(path).is_ok_and(|look| look.is_wal == Some(true) && look.wal_size.is_none() && !look.has_hot_journal);
    let conn = if is_settled {
        open_settled(path)?
    } else {
        open_for_reading(path)?
    };
    Ok(Looking { conn, is_settled })
}

/// What is in the database.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Content {
    pub(crate) catalog: Catalog,
    pub(crate) migrations: History,
}

/// Reads the database through SQLite. `is_settled`: nobody has it open, and it has no WAL.
pub(crate) fn content(path: &Path, is_settled: bool, deadline: Instant) -> Result<Content> {
    let conn = if is_settled {
        open_settled(path)?
    } else {
        open_for_reading(path)?
    };
    wait_while_busy(path, deadline, || {
        Ok(Content {
            catalog: catalog_model::compare(&conn)?,
            migrations: migrations::read(&conn)?,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::testing::{OtherProcess, Place, handle, in_ms};
    use crate::error::Code;

    fn refused(path: &Path) -> Code {
        look(path).unwrap_err().code
    }

    #[test]
    fn the_file_tells_its_journal_mode_and_page_size() {
        let place = Place::new();
        let rollback = look(&place.database("a.db", "CREATE TABLE t(x)")).unwrap();
        assert_eq!((rollback.page_size, rollback.is_wal), (Some(4096), Some(false)));
        assert_eq!((rollback.size, rollback.wal_size), (8192, None));

        let path = place.database(
            "b.db",
            "PRAGMA page_size=8192; PRAGMA journal_mode=WAL; CREATE TABLE t(x)",
        );
        let open = handle(&path);
        open.execute_batch("INSERT INTO t VALUES (1)").unwrap();
        // As another process would: this one has a connection.
        drop(open);
        let wal = look(&path).unwrap();
        assert_eq!((wal.page_size, wal.is_wal), (Some(8192), Some(true)));
    }

    #[test]
    fn what_is_no_database_is_said() {
        let place = Place::new();
        let file = |name: &str, bytes: &[u8]| {
            fs::write(place.path(name), bytes).unwrap();
            place.path(name)
        };
        assert_eq!(refused(&place.path("missing")), Code::DatabaseNotFound);
        assert_eq!(refused(&file("text", b"not a database")), Code::DatabaseInvalid);
        let noise: Vec<u8> = (0..4096_u32)
            .map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8)
            .collect();
        assert_eq!(refused(&file("noise", &noise)), Code::DatabaseEncrypted);
        assert_eq!(refused(place.path("missing").parent().unwrap()), Code::DatabaseNotAFile);
        assert_eq!(look(&file("empty", b"")).unwrap().page_size, None);
    }

    #[test]
    fn a_journal_counts_as_hot_by_its_beginning() {
        let place = Place::new();
        let path = place.database("a.db", "CREATE TABLE t(x)");
        let journal = companion(&path, "-journal");
        // What journal_mode=persist leaves behind.
        fs::write(&journal, [0; 512]).unwrap();
        assert!(!look(&path).unwrap().has_hot_journal);
        fs::write(&journal, [&gate::JOURNAL_MAGIC[..], &[0; 504]].concat()).unwrap();
        assert!(look(&path).unwrap().has_hot_journal);
    }

    #[test]
    fn a_settled_database_is_read_without_a_trace() {
        let place = Place::new();
        let path = place.database("100% ?#ö.db", "PRAGMA journal_mode=WAL; CREATE TABLE t(x)");
        content(&path, true, in_ms(1000)).unwrap();
        let names = fs::read_dir(path.parent().unwrap()).unwrap();
        assert_eq!(names.count(), 1);
    }

    #[test]
    fn whoever_only_looks_leaves_nothing_beside_a_database_in_wal_mode() {
        let place = Place::new();
        let path = place.database(
            "a.db",
            "PRAGMA journal_mode=WAL; CREATE TABLE t(x); INSERT INTO t VALUES (1)",
        );
        let rows = |looking: &Looking| {
            looking
                .conn
                .query_row("SELECT count(*) FROM t", [], |row| row.get::<_, i64>(0))
        };
        let resting = open(&path).unwrap();
        assert_eq!((rows(&resting).unwrap(), resting.is_settled), (1, true));
        drop(resting);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);

        // What another process has committed is in its WAL only.
        let application = OtherProcess::start(&path, &["INSERT INTO t VALUES (2)"]);
        let live = open(&path).unwrap();
        assert_eq!((rows(&live).unwrap(), live.is_settled), (2, false));
        drop((live, application));
    }

    #[test]
    fn the_content_is_read_through_sqlite() {
        let place = Place::new();
        let path = place.database("a.db", include_str!("schema_of_the_application.sql"));
        for is_settled in [false, true] {
            let content = content(&path, is_settled, in_ms(1000)).unwrap();
            assert!(content.catalog.is_there && content.migrations.has_tables && !content.migrations.is_kept);
        }
    }
}
