//! The schema of a database as far as it tells which migrations were applied.

use std::collections::BTreeSet;
use std::fmt;

use rusqlite::Connection;

use super::content::{Kind, PRISMA_MIGRATIONS, tables};

/// Differences that a sentence names; of more it says how many.
const NAMED: usize = 5;

/// Tables, columns, indexes, triggers and views. Names are in lower case: SQLite does not tell them apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shape {
    features: BTreeSet<Feature>,
    /// Types, defaults and keys of the columns: a table that is made by hand may differ in these.
    definitions: BTreeSet<Definition>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Feature {
    /// The table that it is part of, or is.
    table: String,
    kind: String,
    name: String,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Definition {
    table: String,
    text: String,
}

impl Shape {
    /// Reads it, without Prisma's own table.
    pub(crate) fn read(conn: &Connection) -> rusqlite::Result<Self> {
        let mut shape = Self::default();
        for table in tables(conn)? {
            if table.is(PRISMA_MIGRATIONS) {
                continue;
            }
            shape.add(&table.name, "table", &table.name);
            // The module of a virtual one may be unknown here, and then its columns cannot be asked for.
            if table.kind != Kind::Virtual {
                shape.read_columns(conn, &table.name)?;
            }
        }
        let mut parts = conn.prepare_cached(
            "SELECT tbl_name, type, name FROM main.sqlite_schema
             WHERE type IN ('index', 'trigger', 'view') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'",
        )?;
        let mut rows = parts.query([])?;
        while let Some(row) = rows.next()? {
            let (table, kind, name): (String, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
            if !table.eq_ignore_ascii_case(PRISMA_MIGRATIONS) {
                shape.add(&table, &kind, &name);
            }
        }
        Ok(shape)
    }

    fn read_columns(&mut self, conn: &Connection, table: &str) -> rusqlite::Result<()> {
        let mut columns = conn.prepare_cached(
            "SELECT name, type || ' ' || \"notnull\" || ' ' || pk || ' ' || hidden || ' ' || ifnull(dflt_value, '')
             FROM pragma_table_xinfo(?1, 'main')",
        )?;
        let mut rows = columns.query([table])?;
        while let Some(row) = rows.next()? {
            let (name, definition): (String, String) = (row.get(0)?, row.get(1)?);
            self.add(table, "column", &name);
            self.define(table, &format!("{name} {definition}"));
        }
        let mut keys = conn.prepare_cached(
            "SELECT \"from\" || ' ' || \"table\" || ' ' || ifnull(\"to\", '') || ' ' || on_update || ' ' || on_delete
             FROM pragma_foreign_key_list(?1, 'main')",
        )?;
        let mut rows = keys.query([table])?;
        while let Some(row) = rows.next()? {
            self.define(table, &row.get::<_, String>(0)?);
        }
        Ok(())
    }

    fn add(&mut self, table: &str, kind: &str, name: &str) {
        self.features.insert(Feature {
            table: table.to_ascii_lowercase(),
            kind: kind.to_owned(),
            name: name.to_ascii_lowercase(),
        });
    }

    fn define(&mut self, table: &str, text: &str) {
        self.definitions.insert(Definition {
            table: table.to_ascii_lowercase(),
            text: text.to_ascii_lowercase(),
        });
    }

    /// The same without one table.
    pub(crate) fn without(&self, table: &str) -> Self {
        let mut rest = self.clone();
        rest.features
            .retain(|feature| !feature.table.eq_ignore_ascii_case(table));
        rest.definitions
            .retain(|definition| !definition.table.eq_ignore_ascii_case(table));
        rest
    }

    /// What it has that `other` has not.
    pub(crate) fn beyond(&self, other: &Self) -> Self {
        Self {
            features: &self.features - &other.features,
            definitions: BTreeSet::new(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.features.is_empty()
    }

    /// Whether `other` has all of it.
    pub(crate) fn is_part_of(&self, other: &Self) -> bool {
        self.features.is_subset(&other.features)
    }

    /// Whether its columns are defined in `other` as they are here.
    pub(crate) fn is_defined_in(&self, other: &Self) -> bool {
        self.definitions.is_subset(&other.definitions)
    }

    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        !self.features.is_disjoint(&other.features)
    }

    /// Whether it has a column of a table that is in `other`.
    pub(crate) fn has_column_of(&self, other: &Self) -> bool {
        let is_known = |table: &str| other.features.iter().any(|feature| feature.table == table);
        let mut columns = self.features.iter().filter(|feature| feature.kind == "column");
        columns.any(|column| is_known(&column.table))
    }

    /// Its features without those of tables that are among them.
    fn outlines(&self) -> impl Iterator<Item = &Feature> {
        let has_table = |name: &str| (self.features.iter()).any(|other| other.kind == "table" && other.table == name);
        (self.features.iter()).filter(move |feature| feature.kind == "table" || !has_table(&feature.table))
    }

    /// How `live` differs from it, in words.
    pub(crate) fn difference(&self, live: &Self) -> String {
        let (lacks, has) = (self.beyond(live), live.beyond(self));
        let all: Vec<String> = (lacks.outlines().map(|feature| format!("it lacks the {feature}")))
            .chain(has.outlines().map(|feature| format!("it has the {feature}")))
            .collect();
        let more = all.len().saturating_sub(NAMED);
        let mut named = all[..all.len() - more].join(", ");
        if more > 0 {
            named.push_str(&format!(" (and {more} more)"));
        }
        named
    }
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.kind == "table" || self.kind == "view" {
            return write!(f, "{} {}", self.kind, self.name);
        }
        write!(f, "{} {} of {}", self.kind, self.name, self.table)
    }
}
