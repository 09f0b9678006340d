//! SQLite's 100-byte database header (<https://sqlite.org/fileformat2.html#the_database_header>).

use std::ops::Range;

/// Bytes of the header.
pub(crate) const HEADER_BYTES: usize = 100;

/// Journal mode: write and read version.
pub(crate) const JOURNAL_VERSIONS: Range<usize> = 18..20;
/// Bytes at the end of every page that SQLite leaves alone.
pub(crate) const RESERVED_BYTES: usize = 20;
/// Counter of commits (in WAL mode only of those that touch page 1).
pub(crate) const CHANGE_COUNTER: Range<usize> = 24..28;
/// Size of the database in pages, valid while [`VERSION_VALID_FOR`] begins with the change counter.
pub(crate) const PAGE_COUNT: Range<usize> = 28..32;
/// What open connections compare to know whether the schema that they hold is stale.
pub(crate) const SCHEMA_COOKIE: Range<usize> = 40..44;
/// Change counter at which the page count was written, and version of the library that wrote it.
pub(crate) const VERSION_VALID_FOR: Range<usize> = 92..100;

const MAGIC: &[u8] = b"SQLite format 3\0";
const LARGEST_ROOT: Range<usize> = 52..56;
const TEXT_ENCODING: Range<usize> = 56..60;
const INCREMENTAL_VACUUM: Range<usize> = 64..68;
/// The byte at which SQLite takes its locks; the page that holds it never holds content.
const PENDING_BYTE: u32 = 0x4000_0000;

/// How a database frees pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AutoVacuum {
    /// Freed pages go to the freelist.
    None,
    /// Every commit moves pages so that the file has no freelist.
    Full,
    /// As [`AutoVacuum::Full`], but only when asked to.
    Incremental,
}

/// How a database stores text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TextEncoding {
    Utf8,
    Utf16Little,
    Utf16Big,
}

/// The fields that matter here. They are as written: nothing says that they are true.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) page_size: u32,
    /// 1 for a rollback journal, 2 for WAL.
    pub(crate) write_version: u8,
    pub(crate) read_version: u8,
    pub(crate) reserved_bytes: u8,
    pub(crate) change_counter: u32,
    /// `None` when the last writer was a library too old to keep it.
    pub(crate) page_count: Option<u32>,
    pub(crate) schema_cookie: u32,
    pub(crate) auto_vacuum: AutoVacuum,
    /// `None` while nothing was ever stored: the first table decides.
    pub(crate) text_encoding: Option<TextEncoding>,
}

impl Header {
    /// Reads the header at the beginning of page 1; `None` when it is none that SQLite would accept.
    pub(crate) fn parse(page_1: &[u8]) -> Option<Self> {
        let header = page_1.get(..HEADER_BYTES)?;
        // Bytes 21 to 23 are payload fractions with a single legal value each.
        if !header.starts_with(MAGIC) || header[21..24] != [64, 32, 32] {
            return None;
        }
        let change_counter = number(header, CHANGE_COUNTER);
        let page_count = number(header, PAGE_COUNT);
        let page_count_is_valid = page_count > 0 && number(header, VERSION_VALID_FOR) == change_counter;
        Some(Self {
            page_size: page_size(header[16], header[17])?,
            write_version: header[JOURNAL_VERSIONS.start],
            read_version: header[JOURNAL_VERSIONS.start + 1],
            reserved_bytes: header[RESERVED_BYTES],
            change_counter,
            page_count: page_count_is_valid.then_some(page_count),
            schema_cookie: number(header, SCHEMA_COOKIE),
            auto_vacuum: match (number(header, LARGEST_ROOT), number(header, INCREMENTAL_VACUUM)) {
                (0, _) => AutoVacuum::None,
                (_, 0) => AutoVacuum::Full,
                _ => AutoVacuum::Incremental,
            },
            // SQLite looks at the two lowest bits only.
            text_encoding: match number(header, TEXT_ENCODING) {
                0 => None,
                code => Some(match code & 3 {
                    2 => TextEncoding::Utf16Little,
                    3 => TextEncoding::Utf16Big,
                    _ => TextEncoding::Utf8,
                }),
            },
        })
    }

    /// Whether the database keeps a write-ahead log.
    pub(crate) fn is_wal(&self) -> bool {
        self.read_version == 2
    }
}

/// The page that holds SQLite's lock bytes. It exists only in files beyond 1 GiB and holds nothing.
pub(crate) fn lock_byte_page(page_size: u32) -> u32 {
    PENDING_BYTE / page_size + 1
}

/// A big-endian number of the header; the first four bytes of a longer field.
pub(crate) fn number(header: &[u8], field: Range<usize>) -> u32 {
    let bytes = &header[field.start..field.start + 4];
    u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

/// Page 1 of a database without any content, laid out like `live` (page size, reserved bytes).
///
/// It has neither an encoding nor an auto-vacuum mode, as if nothing had ever been stored.
pub(crate) fn empty_page_1(live: &Header) -> Vec<u8> {
    let mut page = vec![0; live.page_size as usize];
    page[..MAGIC.len()].copy_from_slice(MAGIC);
    // The page size 65,536 does not fit: it is written as 1.
    let [_, _, high, low] = live.page_size.to_be_bytes();
    page[16..18].copy_from_slice(&if live.page_size == 65_536 { [0, 1] } else { [high, low] });
    page[JOURNAL_VERSIONS].copy_from_slice(&[live.write_version, live.read_version]);
    page[RESERVED_BYTES] = live.reserved_bytes;
    page[21..24].copy_from_slice(&[64, 32, 32]);
    page[PAGE_COUNT].copy_from_slice(&1_u32.to_be_bytes());
    // An empty leaf of a table b-tree (type 13) whose cells would begin at the page's usable end.
    let usable = live.page_size - u32::from(live.reserved_bytes);
    page[HEADER_BYTES] = 13;
    let [_, _, high, low] = usable.to_be_bytes();
    page[HEADER_BYTES + 5..HEADER_BYTES + 7].copy_from_slice(&[high, low]);
    page
}

/// Whether two first pages hold the same content, whatever a file keeps for itself in its header.
pub(crate) fn same_page_1(live: &[u8], image: &[u8]) -> bool {
    let content = |page: &[u8]| {
        let mut page = page.to_vec();
        for kept in [JOURNAL_VERSIONS, CHANGE_COUNTER, SCHEMA_COOKIE, VERSION_VALID_FOR] {
            if let Some(bytes) = page.get_mut(kept) {
                bytes.fill(0);
            }
        }
        page
    };
    content(live) == content(image)
}

fn page_size(high: u8, low: u8) -> Option<u32> {
    match u32::from(u16::from_be_bytes([high, low])) {
        1 => Some(65_536),
        size if size >= 512 && size.is_power_of_two() => Some(size),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header_of(statements: &str) -> Header {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.db");
        let connection = rusqlite::Connection::open(&path).unwrap();
        connection.execute_batch(statements).unwrap();
        drop(connection);
        Header::parse(&std::fs::read(path).unwrap()).unwrap()
    }

    #[test]
    fn reads_what_sqlite_wrote() {
        let plain = header_of("CREATE TABLE t(a); CREATE TABLE u(a)");
        assert_eq!(plain.page_size, 4096);
        assert_eq!(plain.page_count, Some(3));
        assert_eq!(plain.change_counter, 2);
        assert_eq!(plain.schema_cookie, 2);
        assert_eq!(plain.auto_vacuum, AutoVacuum::None);
        assert_eq!(plain.text_encoding, Some(TextEncoding::Utf8));
        assert!(!plain.is_wal());

        let other = header_of(
            "PRAGMA page_size=65536; PRAGMA encoding='UTF-16be'; PRAGMA auto_vacuum=FULL;
             PRAGMA journal_mode=WAL; CREATE TABLE t(a)",
        );
        assert_eq!(other.page_size, 65_536);
        assert_eq!(other.auto_vacuum, AutoVacuum::Full);
        assert_eq!(other.text_encoding, Some(TextEncoding::Utf16Big));
        assert!(other.is_wal());
        let incremental = header_of("PRAGMA auto_vacuum=2; CREATE TABLE t(a)");
        assert_eq!(incremental.auto_vacuum, AutoVacuum::Incremental);
    }

    #[test]
    fn refuses_what_is_no_header() {
        assert_eq!(Header::parse(b"SQLite format 3\0"), None);
        assert_eq!(Header::parse(&[0; 4096]), None);
        assert_eq!(Header::parse(&[0xA7; 4096]), None);
    }

    #[test]
    fn knows_the_lock_byte_page() {
        assert_eq!(lock_byte_page(4096), 262_145);
        assert_eq!(lock_byte_page(65_536), 16_385);
    }

    #[test]
    fn makes_an_empty_page_as_sqlite_does() {
        for page_size in [512_u32, 4096, 65_536] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("app.db");
            let connection = rusqlite::Connection::open(&path).unwrap();
            // VACUUM writes the page although there is nothing to store.
            connection
                .execute_batch(&format!("PRAGMA page_size={page_size}; VACUUM"))
                .unwrap();
            drop(connection);
            let mut expected = std::fs::read(path).unwrap();
            let made = empty_page_1(&Header::parse(&expected).unwrap());
            for kept in [CHANGE_COUNTER, SCHEMA_COOKIE, VERSION_VALID_FOR, 44..48, TEXT_ENCODING] {
                expected[kept].fill(0);
            }
            let mut made_plain = made;
            made_plain[SCHEMA_COOKIE].fill(0);
            assert_eq!(made_plain, expected, "page size {page_size}");
        }
    }
}
