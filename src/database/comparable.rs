//! Which indexes SQLite can compare with their tables here, without what only the application has.

use rusqlite::{Connection, OptionalExtension};

use super::content::quoted;

/// Whether SQLite can work out here which entries the index of a table has: it cannot when an index of the table is over
/// a function or a collation that only the application has, as the vector index of libSQL is.
pub(super) fn knows_entries(conn: &Connection, index: &str) -> bool {
    let table = conn.query_row(
        "SELECT tbl_name FROM main.sqlite_schema WHERE type = 'index' AND name = ?1",
        [index],
        |row| row.get::<_, String>(0),
    );
    table.is_ok_and(|table| {
        let check = format!("PRAGMA integrity_check({})", quoted(&table));
        conn.prepare(&check).is_ok()
    })
}

/// Whether every SQLite sees the same entries in an index: an application may put its own collation in the place of
/// `NOCASE`, or its own function in that of `lower`.
pub(super) fn is_plain(conn: &Connection, index: &str) -> bool {
    let is_plain = conn.query_row(
        "SELECT NOT EXISTS (
             SELECT 1 FROM main.sqlite_schema AS entry, pragma_index_xinfo(entry.name, 'main') AS part
             LEFT JOIN pragma_table_xinfo(entry.tbl_name, 'main') AS field ON field.cid = part.cid
             WHERE entry.type = 'index' AND entry.name = ?1 AND part.\"key\"
               AND (part.cid = -2 OR part.coll <> 'BINARY' OR field.hidden = 2)
         ) AND NOT EXISTS (
             SELECT 1 FROM main.sqlite_schema AS entry, pragma_index_list(entry.tbl_name, 'main') AS listed
             WHERE entry.type = 'index' AND entry.name = ?1 AND listed.name = ?1 AND listed.partial
         )",
        [index],
        |row| row.get(0),
    );
    is_plain.unwrap_or(false)
}

/// The same of the primary key of a table without rowids.
pub(super) fn has_plain_key(conn: &Connection, table: &str) -> bool {
    let key = conn
        .query_row(
            "SELECT name FROM pragma_index_list(?1, 'main') WHERE origin = 'pk'",
            [table],
            |row| row.get::<_, String>(0),
        )
        .optional();
    matches!(key, Ok(Some(index)) if is_plain(conn, &index))
}
