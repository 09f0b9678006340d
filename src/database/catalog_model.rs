//! The application's `Snapshot` table against the model that this package writes.

use rusqlite::{Connection, OptionalExtension};
use serde::Serialize;

use super::content::SNAPSHOT_TABLE;

/// What a column holds.
#[derive(Clone, Copy, PartialEq)]
enum Holds {
    Text,
    Whole,
    /// `Int`, or `BigInt` or `Float` for files beyond 2 GiB.
    Size,
    Moment,
}

/// The model in the README. `true`: rows without a value are written.
const MODEL: [(&str, Holds, bool); 12] = [
    ("id", Holds::Text, false),
    ("name", Holds::Text, false),
    ("s3Key", Holds::Text, false),
    ("checksum", Holds::Text, false),
    ("size", Holds::Size, false),
    ("status", Holds::Text, false),
    ("restoreStatus", Holds::Text, true),
    ("restoreMessage", Holds::Text, true),
    ("lastRestoredAt", Holds::Moment, true),
    ("createdAt", Holds::Moment, false),
    ("updatedAt", Holds::Moment, false),
    ("schemaVersion", Holds::Whole, false),
];

/// How the table of a database differs from the model.
#[derive(Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Catalog {
    pub(crate) is_there: bool,
    /// Rows cannot be written, or not all of them; one sentence each.
    pub(crate) faults: Vec<String>,
    /// Rows are written, and somebody may stumble over them.
    pub(crate) oddities: Vec<String>,
    /// As the column `size` is declared.
    pub(crate) size_type: Option<String>,
}

struct Column {
    name: String,
    declared: String,
    is_required: bool,
    has_default: bool,
    is_key: bool,
}

/// Compares the table with the model.
pub(super) fn compare(conn: &Connection) -> rusqlite::Result<Catalog> {
    let kind: Option<String> = conn
        .prepare_cached("SELECT type FROM pragma_table_list WHERE schema = 'main' AND name = ?1 COLLATE NOCASE")?
        .query_row([SNAPSHOT_TABLE], |row| row.get(0))
        .optional()?;
    let mut catalog = Catalog {
        is_there: kind.is_some(),
        ..Catalog::default()
    };
    match kind.as_deref() {
        None => return Ok(catalog),
        Some("table") => {}
        Some(other) => {
            catalog.faults.push(format!("it is a {other}, not a table"));
            return Ok(catalog);
        }
    }
    let columns = columns(conn)?;
    for (name, holds, may_be_null) in MODEL {
        match columns.iter().find(|column| column.name.eq_ignore_ascii_case(name)) {
            None => catalog.faults.push(format!("the column {name} is missing")),
            Some(column) => compare_column(&mut catalog, column, name, holds, may_be_null),
        }
    }
    let is_ours = |column: &&Column| MODEL.iter().any(|(name, ..)| column.name.eq_ignore_ascii_case(name));
    for column in columns.iter().filter(|column| !is_ours(column)) {
        if column.is_required && !column.has_default {
            let fault = format!(
                "the column {} must be given a value, and this package knows none",
                column.name
            );
            catalog.faults.push(fault);
        }
    }
    if !has_unique_name(conn)? {
        catalog.oddities.push("there is no unique index on name".to_owned());
    }
    Ok(catalog)
}

fn compare_column(catalog: &mut Catalog, column: &Column, name: &str, holds: Holds, may_be_null: bool) {
    let declared = column.declared.to_ascii_uppercase();
    let contains = |words: &[&str]| words.iter().any(|word| declared.contains(word));
    let (fits, wanted) = match holds {
        Holds::Text => (contains(&["TEXT", "CHAR", "CLOB"]), "TEXT"),
        Holds::Whole => (contains(&["INT"]), "INTEGER"),
        Holds::Size => (contains(&["INT", "REAL", "FLOA", "DOUB"]), "INTEGER"),
        Holds::Moment => (contains(&["DATE", "TIMESTAMP"]), "DATETIME"),
    };
    if !fits {
        let declared = if declared.is_empty() { "of no type" } else { &declared };
        catalog
            .oddities
            .push(format!("the column {name} is {declared} instead of {wanted}"));
    }
    if may_be_null && column.is_required {
        catalog.faults.push(format!(
            "the column {name} must not be null, but most snapshots have no value for it"
        ));
    }
    if name == "id" && !column.is_key {
        catalog.oddities.push("the column id is not the primary key".to_owned());
    }
    if holds == Holds::Size {
        catalog.size_type = Some(declared);
    }
}

fn columns(conn: &Connection) -> rusqlite::Result<Vec<Column>> {
    conn.prepare_cached(
        "SELECT name, type, \"notnull\", dflt_value IS NOT NULL, pk > 0 FROM pragma_table_info(?1, 'main')",
    )?
    .query_map([SNAPSHOT_TABLE], |row| {
        Ok(Column {
            name: row.get(0)?,
            declared: row.get(1)?,
            is_required: row.get(2)?,
            has_default: row.get(3)?,
            is_key: row.get(4)?,
        })
    })?
    .collect()
}

fn has_unique_name(conn: &Connection) -> rusqlite::Result<bool> {
    conn.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM pragma_index_list(?1, 'main') AS list
         WHERE list.\"unique\" AND NOT list.partial
           AND (SELECT group_concat(name) FROM pragma_index_info(list.name, 'main')) = 'name' COLLATE NOCASE)",
    )?
    .query_row([SNAPSHOT_TABLE], |row| row.get(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::catalog;

    const SCHEMA: &str = include_str!("schema_of_the_application.sql");

    fn compared(schema: &str) -> Catalog {
        let conn = Connection::open_in_memory().unwrap();
        conn.execute_batch(schema).unwrap();
        compare(&conn).unwrap()
    }

    fn with(from: &str, to: &str) -> Catalog {
        assert!(SCHEMA.contains(from), "{from}");
        compared(&SCHEMA.replace(from, to))
    }

    #[test]
    fn the_model_is_what_the_catalog_writes() {
        let names: Vec<&str> = MODEL.iter().map(|(name, ..)| *name).collect();
        assert_eq!(names, catalog::COLUMNS);
        let good = compared(SCHEMA);
        assert_eq!(good.size_type.as_deref(), Some("INTEGER"));
        assert!(
            good.is_there && good.faults.is_empty() && good.oddities.is_empty(),
            "{good:?}"
        );
        assert_eq!(compared("CREATE TABLE other(x)"), Catalog::default());
    }

    #[test]
    fn what_keeps_rows_out_is_a_fault() {
        for (from, to, fault) in [
            (
                "    \"checksum\" TEXT NOT NULL,\n",
                "",
                "the column checksum is missing",
            ),
            (
                "\"lastRestoredAt\" DATETIME",
                "\"lastRestoredAt\" DATETIME NOT NULL",
                "lastRestoredAt must not be null",
            ),
            (
                "\"s3Key\" TEXT NOT NULL",
                "\"s3Key\" TEXT NOT NULL, \"tenant\" TEXT NOT NULL",
                "the column tenant must be given",
            ),
        ] {
            let faults = with(from, to).faults;
            assert!(faults.len() == 1 && faults[0].contains(fault), "{faults:?}");
        }
        assert_eq!(
            compared("CREATE VIEW Snapshot AS SELECT 1").faults,
            ["it is a view, not a table"]
        );
    }

    #[test]
    fn what_others_stumble_over_is_an_oddity() {
        for (from, to, oddity) in [
            (
                "\"size\" INTEGER NOT NULL",
                "\"size\" TEXT NOT NULL",
                "the column size is TEXT instead of INTEGER",
            ),
            (
                "\"createdAt\" DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,\n    \"updatedAt\"",
                "\"createdAt\" TEXT,\n    \"updatedAt\"",
                "the column createdAt is TEXT instead of DATETIME",
            ),
            (
                "CREATE UNIQUE INDEX \"Snapshot_name_key\"",
                "CREATE INDEX \"Snapshot_name_key\"",
                "no unique index on name",
            ),
            (
                "ON \"Snapshot\"(\"name\")",
                "ON \"Snapshot\"(\"name\", \"status\")",
                "no unique index on name",
            ),
            (
                "ON \"Snapshot\"(\"name\")",
                "ON \"Snapshot\"(\"name\") WHERE size > 5",
                "no unique index on name",
            ),
        ] {
            let catalog = with(from, to);
            assert!(catalog.faults.is_empty(), "{catalog:?}");
            assert!(
                catalog.oddities.len() == 1 && catalog.oddities[0].contains(oddity),
                "{catalog:?}"
            );
        }
        let wide = with("\"size\" INTEGER", "\"size\" BIGINT");
        assert!(wide.oddities.is_empty());
        assert_eq!(wide.size_type.as_deref(), Some("BIGINT"));
    }
}
