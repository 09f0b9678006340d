use super::*;
use crate::finding::Outcome;

fn counts(rows: &[(&str, u64)]) -> Counts {
    rows.iter()
        .map(|(table, rows)| ((*table).to_owned(), Some(*rows)))
        .collect()
}

fn history(applied: &[(&str, &str)]) -> History {
    History {
        is_kept: true,
        has_tables: true,
        applied: applied
            .iter()
            .map(|(name, sum)| ((*name).to_owned(), (*sum).to_owned()))
            .collect(),
        failed: Vec::new(),
    }
}

#[test]
fn rows_may_drift_up_to_the_limit() {
    for (stored, live, limit, outcome) in [
        (1000, 1000, 0.0, Outcome::Passed),
        (1000, 500, 0.5, Outcome::Passed),
        (1000, 499, 0.5, Outcome::Failed),
        (499, 1000, 0.5, Outcome::Failed),
        (0, 1000, 0.99, Outcome::Failed),
        (0, 1000, 1.0, Outcome::Passed),
        (1, 10, 0.5, Outcome::Passed),
        (0, 10, 0.5, Outcome::Failed),
    ] {
        let check = drift(&counts(&[("t", stored)]), &counts(&[("t", live)]), limit);
        assert_eq!(check.outcome, outcome, "{stored} {live} {limit}: {}", check.detail);
    }
}

#[test]
fn drift_names_the_tables_worst_first() {
    let stored = counts(&[("a", 100), ("b", 1000), ("gone", 50), ("same", 7)]);
    let mut live = counts(&[("a", 20), ("b", 1), ("new", 5000), ("same", 7)]);
    let check = drift(&stored, &live, 0.5);
    assert_eq!(
        check.detail,
        "more drift than 50 %: gone has 50 rows in the snapshot and 0 now (100 %); \
         new has 0 rows in the snapshot and 5000 now (100 %); b has 1000 rows in the snapshot and 1 now (100 %); \
         and 1 more table"
    );
    // What was not counted is not compared, and said.
    for table in ["gone", "new", "a", "b"] {
        live.insert(table.to_owned(), None);
    }
    let check = drift(&stored, &live, 0.5);
    assert_eq!(check.outcome, Outcome::Passed);
    assert_eq!(
        check.detail,
        "1157 rows in 4 tables; 4 live tables took too long to count"
    );
    let check = drift(&counts(&[("a", 100)]), &counts(&[("a", 80)]), 0.5);
    assert_eq!(
        check.detail,
        "100 rows in 1 table; largest drift: a has 100 rows in the snapshot and 80 now (20 %)"
    );
}

#[test]
fn migrations_of_the_snapshot_must_be_known_to_the_live_database() {
    let live = history(&[("1_init", "a"), ("2_more", "b")]);
    for (stored, outcome, part) in [
        (
            history(&[("1_init", "a"), ("2_more", "b")]),
            Outcome::Passed,
            "2 applied, as in",
        ),
        (history(&[("1_init", "a")]), Outcome::Passed, "applies 2_more"),
        (
            history(&[("1_init", "other")]),
            Outcome::Failed,
            "1_init in the snapshot",
        ),
        (
            history(&[("1_init", "a"), ("3_unknown", "c")]),
            Outcome::Failed,
            "3_unknown in the snapshot",
        ),
        (
            History {
                has_tables: true,
                ..History::default()
            },
            Outcome::Failed,
            "P3005",
        ),
        (History::default(), Outcome::Passed, "applies 1_init, 2_more"),
    ] {
        let check = compare(&stored, &live);
        assert_eq!(check.outcome, outcome, "{}", check.detail);
        assert!(check.detail.contains(part), "{}", check.detail);
    }
    let none = History {
        has_tables: true,
        ..History::default()
    };
    assert_eq!(compare(&none, &none).outcome, Outcome::Passed);
}
