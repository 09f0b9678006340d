//! Which copies of SQLite a process has mapped, as Linux tells it in `/proc`. A copy is known by
//! what every build of SQLite holds, whatever its file is called.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::Serialize;

/// The beginning of every database file, which SQLite compares with.
const MAGIC: &[u8] = b"SQLite format 3\0";
/// `2026-03-13 10:38:09 ` and the hash of the source's check-in.
const SOURCE_ID: &[u8] = b"dddd-dd-dd dd:dd:dd hhhhhhhhhhhhhhhhhhhh";
const DATE_LEN: usize = 10;
/// Versions before 3.20 are of the last decade; OpenSSL's 3.x are below that, too.
const LOWEST_MINOR: u32 = 20;
const CHUNK: usize = 4 << 20;
/// Longer than anything that is looked for, so that nothing is missed where two chunks meet.
const OVERLAP: usize = 64;

/// A mapped file that holds an SQLite.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Library {
    pub(crate) path: PathBuf,
    /// The program itself, such as a Node.js with `node:sqlite`: it need not use that for the database.
    pub(crate) is_program: bool,
    pub(crate) version: Option<String>,
    /// Day of the source that it was built from.
    pub(crate) source_date: Option<String>,
}

/// What is in one file.
#[derive(Clone, Debug, Default, PartialEq)]
struct Found {
    has_sqlite: bool,
    version: Option<String>,
    source_date: Option<String>,
}

/// Looks into files, each of them once.
#[derive(Default)]
pub(crate) struct Scanner(HashMap<(u64, u64), Found>);

impl Scanner {
    /// The SQLite copies of a process; fails for one that we may not look into.
    pub(crate) fn copies(&mut self, pid: u32) -> io::Result<Vec<Library>> {
        let program = fs::read_link(format!("/proc/{pid}/exe"))?;
        let mut libraries = Vec::new();
        for path in mapped_files(&fs::read_to_string(format!("/proc/{pid}/maps"))?) {
            // As that process sees the path: it may live in a container.
            let Ok(found) = self.look(Path::new(&format!("/proc/{pid}/root{path}"))) else {
                continue;
            };
            if found.has_sqlite {
                libraries.push(Library {
                    is_program: program == Path::new(path),
                    path: path.into(),
                    version: found.version,
                    source_date: found.source_date,
                });
            }
        }
        Ok(libraries)
    }

    fn look(&mut self, path: &Path) -> io::Result<Found> {
        let metadata = fs::metadata(path)?;
        let key = (metadata.dev(), metadata.ino());
        if let Some(found) = self.0.get(&key) {
            return Ok(found.clone());
        }
        let found = look_into(File::open(path)?)?;
        self.0.insert(key, found.clone());
        Ok(found)
    }
}

/// The files with code in them, each once, in order.
fn mapped_files(maps: &str) -> Vec<&str> {
    let mut files = Vec::new();
    for line in maps.lines() {
        // Address, rights, offset, device, inode; the path may hold spaces.
        let mut fields = line.splitn(6, ' ');
        let is_code = fields.nth(1).is_some_and(|rights| rights.contains('x'));
        let path = fields.nth(3).unwrap_or_default().trim_start();
        if is_code && path.starts_with('/') && !files.contains(&path) {
            files.push(path);
        }
    }
    files
}

fn look_into(mut file: impl Read) -> io::Result<Found> {
    let mut found = Found::default();
    let mut versions: Vec<String> = Vec::new();
    let mut buffer = vec![0; OVERLAP];
    loop {
        let kept = buffer.len().min(OVERLAP);
        buffer.drain(..buffer.len() - kept);
        if file.by_ref().take(CHUNK as u64).read_to_end(&mut buffer)? == 0 {
            break;
        }
        for (at, byte) in buffer.iter().enumerate().skip(1) {
            let rest = &buffer[at..];
            match byte {
                b'S' if rest.starts_with(MAGIC) => found.has_sqlite = true,
                b'2' if found.source_date.is_none() && is_source_id(rest) => {
                    found.source_date = Some(String::from_utf8_lossy(&rest[..DATE_LEN]).into_owned());
                }
                b'3' if !buffer[at - 1].is_ascii_graphic() => {
                    versions.extend(version(rest).filter(|version| !versions.contains(version)));
                }
                _ => {}
            }
        }
    }
    // Two candidates: nobody knows which one it is.
    found.version = if versions.len() == 1 { versions.pop() } else { None };
    Ok(found)
}

fn is_source_id(bytes: &[u8]) -> bool {
    bytes.len() >= SOURCE_ID.len()
        && SOURCE_ID.iter().zip(bytes).all(|(wanted, byte)| match wanted {
            b'd' => byte.is_ascii_digit(),
            b'h' => byte.is_ascii_hexdigit(),
            _ => wanted == byte,
        })
}

/// `3.45.1` up to its NUL.
fn version(bytes: &[u8]) -> Option<String> {
    let end = bytes.iter().take(10).position(|byte| *byte == 0)?;
    let text = std::str::from_utf8(&bytes[..end]).ok()?;
    let mut numbers = text.split('.').map(str::parse::<u32>);
    match (numbers.next(), numbers.next(), numbers.next(), numbers.next()) {
        (Some(Ok(3)), Some(Ok(minor)), Some(Ok(_)), None) if minor >= LOWEST_MINOR => Some(text.to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(parts: &[&[u8]]) -> Found {
        look_into(&parts.concat()[..]).unwrap()
    }

    const ID: &[u8] = b"\x002026-03-13 10:38:09 f5f7a2c16b3d4e5f6071829a3b4c5d6e\0";

    #[test]
    fn knows_a_copy_by_what_is_in_it() {
        let wanted = Found {
            has_sqlite: true,
            version: Some("3.51.3".to_owned()),
            source_date: Some("2026-03-13".to_owned()),
        };
        assert_eq!(found(&[b"ELF", MAGIC, ID, b"\x013.51.3\0", b"\x003.0.15\0"]), wanted);
        // Also where two chunks meet.
        for filling in [CHUNK - 20, CHUNK - OVERLAP, CHUNK - 3, CHUNK] {
            let before = vec![0xFF; filling];
            assert_eq!(found(&[&before, MAGIC, ID, b"\x013.51.3\0"]), wanted, "{filling}");
        }
        assert_eq!(found(&[b"nothing of the kind, 3.51.3 \0"]), Found::default());
        assert_eq!(found(&[MAGIC, b"\x003.51.3\0 \x003.45.1\0"]).version, None);
        assert_eq!(found(&[b"x3.51.3\0"]).version, None);
    }

    #[test]
    fn reads_the_list_of_mapped_files() {
        let maps = "\
7f00-7f01 r--p 00000000 fe:00 12                         /usr/lib/only-data.so
7f01-7f02 r-xp 00001000 fe:00 13                         /srv/my app/better_sqlite3.node
7f02-7f03 r-xp 00002000 fe:00 13                         /srv/my app/better_sqlite3.node
7f03-7f04 rwxp 00000000 00:00 0 
7f04-7f05 r-xp 00000000 00:00 0                          [vdso]";
        assert_eq!(mapped_files(maps), ["/srv/my app/better_sqlite3.node"]);
    }

    #[test]
    fn a_process_with_an_sqlite_of_its_own_is_seen() {
        let place = crate::database::testing::Place::new();
        let path = place.database("app.db", "CREATE TABLE t(a)");
        let other = crate::database::testing::OtherProcess::start(&path, &["SELECT 1"]);
        let copies = Scanner::default().copies(other.pid()).unwrap();
        assert_eq!(copies.len(), 1, "{copies:?}");
        assert!(copies[0].version.is_some() || copies[0].source_date.is_some());
        // And ours, built into the program of these tests.
        let ours = Scanner::default().copies(std::process::id()).unwrap();
        assert!(ours.iter().any(|copy| copy.is_program), "{ours:?}");
    }
}
