use super::*;
use crate::database::testing::{Place, in_ms};

const TABLE: &str = "CREATE TABLE _prisma_migrations (
    id TEXT PRIMARY KEY NOT NULL, checksum TEXT NOT NULL, finished_at DATETIME, migration_name TEXT NOT NULL,
    logs TEXT, rolled_back_at DATETIME, started_at DATETIME NOT NULL DEFAULT current_timestamp,
    applied_steps_count INTEGER UNSIGNED NOT NULL DEFAULT 0);";

fn history(statements: &str) -> History {
    let place = Place::new();
    let path = place.database("app.db", statements);
    of_database(&path, in_ms(1000)).unwrap()
}

#[test]
fn a_database_without_prisma_keeps_no_history() {
    assert_eq!(
        history("PRAGMA user_version=1; CREATE TABLE a(x); DROP TABLE a"),
        History::default()
    );
    let other = history("CREATE TABLE a(x)");
    assert!(other.has_tables && !other.is_kept);
}

#[test]
fn applied_failed_and_rolled_back_ones_are_told_apart() {
    let found = history(&format!(
        "{TABLE} INSERT INTO _prisma_migrations(id, checksum, migration_name, finished_at, rolled_back_at) VALUES
         (1, 'c1', '1_init', 5, NULL), (2, 'c2', '2_more', NULL, 6), (3, 'c3', '2_more', 7, NULL),
         (4, 'c4', '3_broken', NULL, NULL), (5, 'c5', '4_undone', NULL, 9)"
    ));
    assert!(found.is_kept && !found.has_tables);
    let applied: Vec<_> = found.applied.iter().map(|(name, sum)| (&**name, &**sum)).collect();
    assert_eq!(applied, [("1_init", "c1"), ("2_more", "c3")]);
    assert_eq!(found.failed, ["3_broken"]);
}
