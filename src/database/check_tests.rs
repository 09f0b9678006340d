//! What is damage, what is not, and what cannot be told.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use rusqlite::functions::FunctionFlags;

use super::Judgement::{Damaged, Sound, Unjudged};
use super::*;
use crate::database::image::{Image, open};
use crate::database::testing::{Place, filling};

const PAGE: usize = 4096;

/// An image that gives other bytes the first time that a page is read.
struct Memory {
    bytes: Vec<u8>,
    /// What page 5 is filled with, and how many more times.
    noise: Option<usize>,
}

impl Image for Memory {
    fn page_size(&self) -> u32 {
        PAGE as u32
    }
    fn page_count(&self) -> u32 {
        (self.bytes.len() / PAGE) as u32
    }
    fn page(&mut self, page: u32, out: &mut [u8]) -> Result<()> {
        let start = (page as usize - 1) * PAGE;
        out.copy_from_slice(&self.bytes[start..start + PAGE]);
        if let Some(left) = self.noise.as_mut().filter(|left| page == 5 && **left > 0) {
            *left -= 1;
            out.fill(0xA7);
        }
        Ok(())
    }
}

fn judge_bytes(bytes: Vec<u8>, level: Check) -> Judgement {
    let image = open(Box::new(Memory { bytes, noise: None })).unwrap();
    check(&image, level, Arc::new(|| true)).unwrap()
}

/// A database of an application that has functions and a collation of its own.
fn bytes_of(statements: &str) -> Vec<u8> {
    let place = Place::new();
    let path = place.path("app.db");
    let conn = Connection::open(&path).unwrap();
    conn.create_collation("LOCALIZED", |one, other| other.cmp(one)).unwrap();
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
    for name in ["fold", "regexp"] {
        conn.create_scalar_function(name, -1, flags, |context| context.get::<String>(0))
            .unwrap();
    }
    conn.execute_batch(&format!("PRAGMA page_size={PAGE}; {statements}"))
        .unwrap();
    drop(conn);
    std::fs::read(path).unwrap()
}

const ROWS: &str = "INSERT INTO m(s) VALUES ('A'), ('b'), ('Ä'); ";

/// What needs something of the application: what to make, and a word of the reason at both levels.
const UNJUDGED: [(&str, &str); 6] = [
    (
        "CREATE TABLE m(s); CREATE INDEX i ON m(s COLLATE LOCALIZED);",
        "LOCALIZED",
    ),
    (
        "CREATE TABLE m(s TEXT COLLATE LOCALIZED PRIMARY KEY) WITHOUT ROWID;",
        "LOCALIZED",
    ),
    ("CREATE TABLE m(s, g TEXT NOT NULL AS (fold(s)));", "fold"),
    (
        "CREATE TABLE m(s); CREATE TABLE n(a);
         PRAGMA writable_schema=ON; UPDATE sqlite_schema SET sql = 'CREATE TABLE n(a NOT NULL)' WHERE name = 'n';
         INSERT INTO n VALUES (NULL);",
        "NULL value in n.a",
    ),
    (
        "CREATE TABLE m(s); CREATE TABLE n(a TEXT); INSERT INTO n VALUES ('x');
         PRAGMA writable_schema=ON; UPDATE sqlite_schema SET sql = 'CREATE TABLE n(a INT) STRICT' WHERE name = 'n';",
        "non-INT value in n.a",
    ),
    (
        "CREATE TABLE m(s); CREATE VIRTUAL TABLE words USING fts5(body); INSERT INTO words VALUES ('x');
         PRAGMA writable_schema=ON; UPDATE sqlite_schema
         SET sql = 'CREATE VIRTUAL TABLE words USING fts5(body, tokenize = own)' WHERE name = 'words';",
        "words could not be judged",
    ),
];

#[test]
fn what_only_the_application_has_and_content_against_the_rules_is_unjudged() {
    for (statements, word) in UNJUDGED {
        let bytes = bytes_of(&format!("{statements} {ROWS}"));
        for level in [Check::Quick, Check::Full] {
            match judge_bytes(bytes.clone(), level) {
                Unjudged(reasons) => assert!(reasons.join("; ").contains(word), "{statements}: {reasons:?}"),
                other => panic!("{statements} ({level:?}): {other:?}"),
            }
        }
    }
}

#[test]
fn rules_that_sqlite_does_not_look_at_in_a_file_that_it_only_reads_are_passed_over() {
    for rule in ["fold(s) = s", "s REGEXP '.'", "s <> 'b'"] {
        let bytes = bytes_of(&format!(
            "CREATE TABLE m(s); {ROWS} PRAGMA writable_schema=ON;
             UPDATE sqlite_schema SET sql = 'CREATE TABLE m(s CHECK ({}))'",
            rule.replace('\'', "''")
        ));
        for level in [Check::Quick, Check::Full] {
            assert_eq!(judge_bytes(bytes.clone(), level), Sound, "{rule}");
        }
    }
}

#[test]
fn indexes_over_functions_are_unjudged_where_their_entries_are_compared() {
    for index in ["m(fold(s))", "m(s) WHERE fold(s) = 'b'"] {
        let bytes = bytes_of(&format!("CREATE TABLE m(s); CREATE INDEX i ON {index}; {ROWS}"));
        assert_eq!(judge_bytes(bytes.clone(), Check::Quick), Sound, "{index}");
        assert!(matches!(judge_bytes(bytes, Check::Full), Unjudged(_)), "{index}");
    }
}

/// Takes an index out of the schema while `change` is made, and puts it back: it no longer fits.
fn behind_the_back(table: &str, index: &str, change: &str) -> Vec<u8> {
    bytes_of(&format!(
        "{table}; {ROWS} CREATE TABLE aside AS SELECT * FROM sqlite_schema WHERE 0; {index};
         PRAGMA writable_schema=ON;
         INSERT INTO aside SELECT * FROM sqlite_schema WHERE name = 'i';
         DELETE FROM sqlite_schema WHERE name = 'i'; PRAGMA writable_schema=RESET;
         {change}; PRAGMA writable_schema=ON; INSERT INTO sqlite_schema SELECT * FROM aside;"
    ))
}

#[test]
fn an_index_that_every_sqlite_understands_and_that_lost_entries_is_damaged() {
    let change = "UPDATE m SET s = 'z' WHERE s = 'b'";
    for (index, is_damage) in [
        ("CREATE INDEX i ON m(s)", true),
        ("CREATE UNIQUE INDEX i ON m(s)", true),
        // The application may have a `NOCASE`, a `lower` and a `LOCALIZED` of its own.
        ("CREATE INDEX i ON m(s COLLATE NOCASE)", false),
        ("CREATE INDEX i ON m(lower(s))", false),
        ("CREATE INDEX i ON m(s) WHERE length(s) = 1", false),
        ("CREATE INDEX i ON m(s COLLATE LOCALIZED)", false),
        ("CREATE INDEX i ON m(fold(s))", false),
    ] {
        let judgement = judge_bytes(behind_the_back("CREATE TABLE m(s)", index, change), Check::Full);
        match judgement {
            Damaged(finding) => assert!(is_damage && finding.contains("index i"), "{index}: {finding}"),
            Unjudged(reasons) => assert!(!is_damage, "{index}: {reasons:?}"),
            Sound => panic!("{index} is sound"),
        }
    }
}

#[test]
fn the_number_of_entries_is_known_of_every_index_that_can_be_worked_out() {
    let change = "INSERT INTO m(s) VALUES ('new')";
    for (index, is_damage) in [
        ("CREATE INDEX i ON m(s)", true),
        ("CREATE INDEX i ON m(s COLLATE NOCASE)", true),
        ("CREATE INDEX i ON m(lower(s))", true),
        // As the vector index of libSQL, which keeps what it holds elsewhere.
        ("CREATE INDEX i ON m(fold(s))", false),
    ] {
        let bytes = behind_the_back("CREATE TABLE m(s)", index, change);
        let is_damaged = matches!(judge_bytes(bytes, Check::Quick), Damaged(_));
        assert_eq!(is_damaged, is_damage, "{index}");
    }
}

#[test]
fn damage_beside_what_cannot_be_judged_is_found() {
    for (statements, _) in UNJUDGED {
        let mut bytes = bytes_of(&format!("{} {statements} {ROWS}", filling(500)));
        bytes[PAGE * 5..PAGE * 6].fill(0xA7);
        for level in [Check::Quick, Check::Full] {
            let judgement = judge_bytes(bytes.clone(), level);
            assert!(matches!(judgement, Damaged(_)), "{statements}: {judgement:?}");
        }
    }
}

#[test]
fn damage_in_a_table_that_cannot_be_judged_is_found() {
    for column in ["s TEXT, g TEXT AS (fold(s))", "s TEXT COLLATE LOCALIZED UNIQUE"] {
        let rows = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200)
                    INSERT INTO m(s) SELECT hex(randomblob(200)) FROM n;";
        let mut bytes = bytes_of(&format!("CREATE TABLE m({column}); {rows}"));
        assert!(bytes.len() > PAGE * 10);
        bytes[PAGE * 6..PAGE * 7].fill(0xA7);
        for level in [Check::Quick, Check::Full] {
            let judgement = judge_bytes(bytes.clone(), level);
            assert!(matches!(judgement, Damaged(_)), "{column}: {judgement:?}");
        }
    }
}

#[test]
fn a_table_that_cannot_be_judged_does_not_hide_what_is_said_of_others() {
    let bytes = bytes_of(&format!(
        "CREATE TABLE m(s, g TEXT AS (fold(s))); {ROWS} CREATE TABLE n(a); INSERT INTO n VALUES (NULL);
         PRAGMA writable_schema=ON; UPDATE sqlite_schema SET sql = 'CREATE TABLE n(a NOT NULL)' WHERE name = 'n';"
    ));
    let Unjudged(reasons) = judge_bytes(bytes, Check::Quick) else {
        panic!("it is unjudged")
    };
    assert!(reasons.join("; ").contains("NULL value in n.a"), "{reasons:?}");
    assert!(reasons.join("; ").contains("m could not be judged"), "{reasons:?}");
}

#[test]
fn many_rows_against_the_rules_do_not_hide_an_index_that_lost_entries() {
    // SQLite looks at the newest table first.
    let many = "CREATE TABLE m(s); CREATE TABLE a(x);
                WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500)
                INSERT INTO a SELECT NULL FROM n";
    for index in ["m(s)", "m(s COLLATE NOCASE)"] {
        let change = "UPDATE m SET s = 'z' WHERE s = 'b'; PRAGMA writable_schema=ON;
             UPDATE sqlite_schema SET sql = 'CREATE TABLE a(x NOT NULL)' WHERE name = 'a'";
        let bytes = behind_the_back(many, &format!("CREATE INDEX i ON {index}"), change);
        let is_damaged = matches!(judge_bytes(bytes, Check::Full), Damaged(_));
        assert_eq!(is_damaged, index == "m(s)", "{index}");
    }
}

#[test]
fn damage_that_does_not_show_a_second_time_is_none() {
    let bytes = Place::new().image(&filling(500));
    let judge = |times| {
        let noise = Some(times);
        let bytes = bytes.clone();
        let image = open(Box::new(Memory { bytes, noise })).unwrap();
        check(&image, Check::Quick, Arc::new(|| true)).unwrap()
    };
    assert_eq!(judge(1), Sound);
    assert!(matches!(judge(usize::MAX), Damaged(_)));
}

#[test]
fn references_are_followed_in_every_table_that_can_be_asked() {
    let bytes = bytes_of(
        "CREATE TABLE p(id TEXT COLLATE LOCALIZED PRIMARY KEY); CREATE TABLE c(p REFERENCES p(id));
         CREATE TABLE q(id INTEGER PRIMARY KEY); CREATE TABLE d(id INTEGER PRIMARY KEY, q REFERENCES q(id));
         PRAGMA foreign_keys=OFF; INSERT INTO p VALUES ('x'); INSERT INTO c VALUES ('x'); INSERT INTO d VALUES (7, 9);",
    );
    let image = open(Box::new(Memory { bytes, noise: None })).unwrap();
    let checked = check_foreign_keys(&image).unwrap();
    assert_eq!(checked.broken.unwrap(), "row 7 of d points to a missing row of q");
    assert!(
        checked.unjudged.join("; ").contains("LOCALIZED"),
        "{:?}",
        checked.unjudged
    );
}
