//! What the lines mean that SQLite's checks give.
//!
//! The wording is that of SQLite 3.54.1: `checkAppendMsg` in btree.c for the structure, `PragTyp_INTEGRITY_CHECK` in
//! pragma.c for everything else, and whatever the `xIntegrity` of a virtual table's module says.

/// How SQLite begins what it says of pages, cells, pointers and free lists.
const STRUCTURE: &str = "*** in database main ***";
/// Result codes that say nothing of the file: `SQLITE_NOMEM` and `SQLITE_IOERR`.
const OF_THE_MACHINE: [i32; 2] = [7, 10];

/// One line of a check.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Finding<'a> {
    /// The file is not put together as a database is.
    Structure(&'a str),
    /// A page could not be had, for want of memory or by an input/output error.
    Machine(&'a str),
    /// An index has more or fewer entries than its table has rows.
    Count { index: &'a str },
    /// An index has other values, or another order, than its table's rows ask for.
    Entries { index: &'a str },
    /// The rows of a table without rowids are not in the order of its primary key.
    Order { table: &'a str },
    /// Values that a rule of the schema forbids, or what a virtual table's module says of what it keeps.
    Content,
}

/// What a row of `quick_check` or `integrity_check` says; only on the structure more than one thing.
pub(super) fn read(row: &str) -> Vec<Finding<'_>> {
    match row.strip_prefix(STRUCTURE) {
        Some(lines) => lines.lines().filter(|line| !line.is_empty()).map(structure).collect(),
        None => vec![index(row).unwrap_or(Finding::Content)],
    }
}

/// A row without the number of the row in the table that it is about.
pub(super) fn kind(row: &str) -> String {
    let parts: Vec<&str> = row.split("row ").collect();
    let numberless = parts.iter().enumerate().map(|(index, part)| match index {
        0 => part,
        _ => part.trim_start_matches(|c: char| c.is_ascii_digit()),
    });
    numberless.collect::<Vec<_>>().join("row ")
}

fn structure(line: &str) -> Finding<'_> {
    let code = line
        .rsplit_once("error code")
        .and_then(|(_, code)| code.trim_start_matches(['=', ' ']).parse::<i32>().ok());
    match code {
        Some(code) if OF_THE_MACHINE.contains(&(code & 0xff)) => Finding::Machine(line),
        _ => Finding::Structure(line),
    }
}

fn index(row: &str) -> Option<Finding<'_>> {
    if let Some(index) = row.strip_prefix("wrong # of entries in index ") {
        return Some(Finding::Count { index });
    }
    if let Some(index) = row.strip_prefix("non-unique entry in index ") {
        return Some(Finding::Entries { index });
    }
    if let Some(table) = row.strip_prefix("row not in PRIMARY KEY order for ") {
        return Some(Finding::Order { table });
    }
    let numbered = |before: &str, after: &str| {
        let rest = row.strip_prefix(before)?;
        let number = rest.find(|c: char| !c.is_ascii_digit())?;
        rest[number..].strip_prefix(after)
    };
    let index = numbered("row ", " missing from index ")
        .or_else(|| numbered("row ", " values differ from index "))
        .or_else(|| numbered("rowid not at end-of-record for row ", " of index "))?;
    Some(Finding::Entries { index })
}

#[cfg(test)]
#[path = "findings_tests.rs"]
mod tests;
