//! The wording of SQLite, sorted.

use super::Finding::{Content, Count, Entries, Machine, Order, Structure};
use super::*;

#[test]
fn what_is_said_of_pages_is_about_the_structure() {
    let lines = [
        "Tree 2 page 5 cell 0: 2nd reference to page 6",
        "Tree 2 page 5: btreeInitPage() returns error code 11",
        "Tree 3 page 3: unable to get the page. error code=11",
        "Freelist: size is 1 but should be 2",
        "Page 7: never used",
    ];
    let row = format!("{STRUCTURE}\n{}", lines.join("\n"));
    let expected: Vec<_> = lines.into_iter().map(Structure).collect();
    assert_eq!(read(&row), expected);
}

#[test]
fn a_page_that_the_machine_does_not_give_is_not_about_the_structure() {
    for code in [7, 10, 266, 3082] {
        let line = format!("Tree 3 page 3: unable to get the page. error code={code}");
        assert_eq!(read(&format!("{STRUCTURE}\n{line}")), [Machine(&line)]);
    }
}

#[test]
fn what_is_said_of_indexes_names_them() {
    for (row, expected) in [
        ("wrong # of entries in index a b", Count { index: "a b" }),
        ("row 12 missing from index i", Entries { index: "i" }),
        (
            "row 1 values differ from index from index x",
            Entries { index: "from index x" },
        ),
        (
            "rowid not at end-of-record for row 3 of index i",
            Entries { index: "i" },
        ),
        ("non-unique entry in index i", Entries { index: "i" }),
        ("row not in PRIMARY KEY order for t", Order { table: "t" }),
    ] {
        assert_eq!(read(row), [expected], "{row}");
    }
}

#[test]
fn the_same_of_other_rows_is_of_one_kind() {
    for (one, other) in [
        ("row 1 missing from index i1", "row 22 missing from index i1"),
        (
            "index i1 stores an imprecise floating-point value for row 4",
            "index i1 stores an imprecise floating-point value for row 51",
        ),
        (
            "rowid not at end-of-record for row 3 of index i1",
            "rowid not at end-of-record for row 40 of index i1",
        ),
    ] {
        assert_eq!(kind(one), kind(other));
        assert_ne!(kind(one), kind(&other.replace("i1", "i2")));
    }
}

#[test]
fn everything_else_is_about_the_content() {
    for row in [
        "NULL value in t.a",
        "non-INTEGER value in t.a",
        "NUMERIC value in t.a",
        "TEXT value in t.a",
        "CHECK constraint failed in row 5 missing from index i",
        "index i stores an imprecise floating-point value for row 4",
        "malformed inverted index for FTS5 table main.words",
        "In RTree main.box:\nNode 1 is too small",
        "something that a later version says",
    ] {
        assert_eq!(read(row), [Content], "{row}");
    }
}
