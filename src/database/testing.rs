//! What the tests of this folder share: databases, images, and an engine in miniature.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::rc::Rc;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tempfile::TempDir;

use super::connect::open_for_reading;
use super::header::{Header, lock_byte_page};
use super::live::Live;
use super::target::{Begin, Committed, ImageHeader, ReplaceReason, RestoreTransaction, same_page_1};
use super::write_lock::{Taken, WriteLock};
use crate::error::Result;

/// A table with `rows` rows of about 300 bytes, and an index.
pub(crate) fn filling(rows: u32) -> String {
    format!(
        "CREATE TABLE item(id INTEGER PRIMARY KEY, text TEXT, data BLOB);
         CREATE INDEX item_text ON item(text);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})
         INSERT INTO item SELECT i, 'row ' || hex(randomblob(20)), randomblob(250) FROM n;"
    )
}

/// A schema far larger than one page.
pub(crate) fn wide_schema(tables: u32) -> String {
    (0..tables)
        .map(|table| {
            format!("CREATE TABLE wide_{table}(first_column TEXT NOT NULL, second_column TEXT, third_column TEXT);")
        })
        .collect()
}

pub(crate) struct Place {
    folder: TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A closed database made by `statements`.
    pub(crate) fn database(&self, name: &str, statements: &str) -> PathBuf {
        let path = self.path(name);
        handle(&path).execute_batch(statements).unwrap();
        path
    }

    /// The bytes of a database made by `statements`.
    pub(crate) fn image(&self, statements: &str) -> Vec<u8> {
        let path = self.database("image.db", statements);
        let bytes = std::fs::read(&path).unwrap();
        std::fs::remove_file(path).unwrap();
        bytes
    }
}

/// A connection as an application has it.
pub(crate) fn handle(path: &Path) -> Connection {
    let connection = Connection::open(path).unwrap();
    connection.busy_timeout(Duration::ZERO).unwrap();
    connection
}

pub(crate) fn in_ms(milliseconds: u64) -> Instant {
    Instant::now() + Duration::from_millis(milliseconds)
}

pub(crate) fn header_of(image: &[u8]) -> ImageHeader {
    let Some(header) = Header::parse(image) else {
        assert!(image.is_empty());
        return ImageHeader {
            page_size: 4096,
            page_count: 0,
            page1: Vec::new(),
        };
    };
    ImageHeader {
        page_size: header.page_size,
        page_count: u32::try_from(image.len() / header.page_size as usize).unwrap(),
        page1: image[..header.page_size as usize].to_vec(),
    }
}

/// What the engine does: writes the pages that differ, then commits.
pub(crate) fn restore(live: &Path, image: &[u8]) -> Result<Committed> {
    write_differences(live, image)?.commit(Duration::from_millis(200))
}

/// Takes the lock on a connection of its own.
pub(crate) fn begin(live: &Path, header: &ImageHeader, deadline: Instant) -> Result<Begin> {
    let page_size = (header.page_count > 0).then_some(header.page_size);
    match WriteLock::take(&Rc::new(Live::open(live)?), page_size, deadline)? {
        Taken::Locked(lock) => RestoreTransaction::begin(lock, header),
        Taken::UnreadableHeader => Ok(Begin::Replace(ReplaceReason::UnreadableHeader)),
    }
}

pub(crate) fn write_differences(live: &Path, image: &[u8]) -> Result<RestoreTransaction> {
    let header = header_of(image);
    let mut restore = match begin(live, &header, in_ms(2000))? {
        Begin::Ready(restore) => restore,
        Begin::Replace(reason) => panic!("to be replaced: {reason:?}"),
    };
    let page_size = header.page_size as usize;
    let mut buffer = vec![0; page_size];
    // Backwards: the order is not to matter.
    for page in (2..=header.page_count).rev() {
        let start = (page as usize - 1) * page_size;
        let wanted = &image[start..start + page_size];
        if page <= restore.lock().page_count() {
            restore.lock().read_page(page, &mut buffer)?;
            if buffer == wanted {
                continue;
            }
        }
        restore.write_page(page, wanted)?;
    }
    Ok(restore)
}

pub(crate) fn reason_to_replace(live: &Path, image: &[u8]) -> Option<ReplaceReason> {
    match begin(live, &header_of(image), in_ms(500)).unwrap() {
        Begin::Ready(_) => None,
        Begin::Replace(reason) => Some(reason),
    }
}

/// The database as SQLite sees it, page by page.
pub(crate) fn pages(live: &Path) -> Vec<Vec<u8>> {
    let connection = open_for_reading(live).unwrap();
    let mut statement = connection.prepare("SELECT data FROM sqlite_dbpage").unwrap();
    let rows = statement.query_map([], |row| row.get(0)).unwrap();
    rows.map(|row| row.unwrap()).collect()
}

/// The live database is the image: every page, the length of the file, SQLite's own check.
pub(crate) fn assert_is_image(live: &Path, image: &[u8]) {
    let header = header_of(image);
    let found = pages(live);
    assert_eq!(found.len(), header.page_count as usize, "number of pages");
    for (index, (found, wanted)) in found.iter().zip(image.chunks(header.page_size as usize)).enumerate() {
        if index == 0 {
            assert!(same_page_1(found, wanted), "page 1");
        } else if index + 1 != lock_byte_page(header.page_size) as usize {
            assert!(found == wanted, "page {}", index + 1);
        }
    }
    assert_is_sound(live);
    handle(live).execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    assert_eq!(std::fs::metadata(live).unwrap().len(), image.len() as u64, "length");
}

pub(crate) fn assert_is_sound(live: &Path) {
    assert_eq!(check(&handle(live)), "ok");
}

pub(crate) fn check(connection: &Connection) -> String {
    let check = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0));
    check.unwrap_or_else(|error| error.to_string())
}

pub(crate) fn count(connection: &Connection, table: &str) -> i64 {
    connection
        .query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0))
        .unwrap()
}

/// A connection in another process.
pub(crate) struct OtherProcess {
    child: Child,
    input: Option<ChildStdin>,
}

impl OtherProcess {
    /// Runs `statements` in Python's own SQLite, outside of transactions, and stays.
    pub(crate) fn start(path: &Path, statements: &[&str]) -> Self {
        let script = "import sqlite3, sys\n\
                      db = sqlite3.connect(sys.argv[1], isolation_level=None)\n\
                      for sql in sys.argv[2:]: db.execute(sql).fetchall()\n\
                      print('ready', flush=True)\n\
                      sys.stdin.read()\n\
                      db.close()";
        let mut child = Command::new("python3")
            .args(["-c", script])
            .arg(path)
            .args(statements)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        assert_eq!(line.trim(), "ready");
        let input = child.stdin.take();
        Self { child, input }
    }

    /// What Python's SQLite says to one statement: an error, or nothing.
    pub(crate) fn try_sql(path: &Path, sql: &str) -> String {
        let script = "import sqlite3, sys\n\
                      sqlite3.connect(sys.argv[1], timeout=0).execute(sys.argv[2])";
        let output = Command::new("python3")
            .args(["-c", script])
            .arg(path)
            .arg(sql)
            .output()
            .unwrap();
        String::from_utf8(output.stderr).unwrap()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Closes its connection and waits for its end.
    pub(crate) fn stop(mut self) {
        let mut input = self.input.take().unwrap();
        input.flush().unwrap();
        drop(input);
        self.child.wait().unwrap();
    }
}

impl Drop for OtherProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
