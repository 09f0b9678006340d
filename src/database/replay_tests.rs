#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use super::*;

const INIT: &str = r#"
-- CreateTable
CREATE TABLE "Reality" ("id" TEXT NOT NULL PRIMARY KEY, "depth" INTEGER);
CREATE TABLE "Metric" ("key" TEXT NOT NULL PRIMARY KEY);
"#;
/// As Prisma changes a column in SQLite.
const REDEFINE: &str = r#"
-- RedefineTables
PRAGMA defer_foreign_keys=ON;
PRAGMA foreign_keys=OFF;
CREATE TABLE "new_Reality" ("id" TEXT NOT NULL PRIMARY KEY, "depth" INTEGER NOT NULL DEFAULT 0);
INSERT INTO "new_Reality" ("depth", "id") SELECT coalesce("depth", 0) AS "depth", "id" FROM "Reality";
DROP TABLE "Reality";
ALTER TABLE "new_Reality" RENAME TO "Reality";
PRAGMA foreign_keys=ON;
PRAGMA defer_foreign_keys=OFF;
"#;
const ADD_X: &str = r#"-- AlterTable
ALTER TABLE "Reality" ADD COLUMN "x" TEXT;"#;
const NOTE: &str = r#"CREATE TABLE "Note" ("id" TEXT NOT NULL PRIMARY KEY);"#;
const OURS: &str = include_str!("../../prisma/migration.sql");

fn shape(statements: &[&str]) -> Shape {
    let conn = Connection::open_in_memory().unwrap();
    conn.execute_batch(&statements.concat()).unwrap();
    Shape::read(&conn).unwrap()
}

/// The standing of a database made by `live`; `migrations` are called a, b, c, …
fn standing_of(live: &[&str], recorded: &[&str], migrations: &[&str]) -> Standing {
    let scripts: Vec<Script> = ('a'..)
        .zip(migrations)
        .map(|(name, sql)| Script {
            name: name.to_string(),
            sql: (*sql).to_owned(),
        })
        .collect();
    let recorded: Vec<String> = recorded.iter().map(|name| (*name).to_owned()).collect();
    standing(&shape(live), &recorded, &scripts).unwrap()
}

fn already(standing: Standing) -> Vec<String> {
    assert_eq!(standing.unclear, None);
    standing.already
}

fn unclear(standing: Standing) -> String {
    assert_eq!(standing.already, [""; 0]);
    standing.unclear.expect("nobody can tell")
}

#[test]
fn a_rebuilt_table_is_the_table() {
    let all = [INIT, REDEFINE, ADD_X];
    assert_eq!(already(standing_of(&all, &[], &all)), ["a", "b", "c"]);
    // Nothing that `b` makes has another name than what `a` makes: the definitions tell.
    assert_eq!(already(standing_of(&all[..2], &[], &all)), ["a", "b"]);
    assert_eq!(already(standing_of(&all[..1], &[], &all)), ["a"]);
    assert_eq!(already(standing_of(&[], &[], &all)), [""; 0]);
}

#[test]
fn what_changes_a_table_that_is_not_there_was_not_applied() {
    let alter = r#"ALTER TABLE "Note" ADD COLUMN "text" TEXT;"#;
    let index = r#"CREATE INDEX "Note_text_idx" ON "Note"("text");"#;
    let all = [INIT, NOTE, alter, index];
    for done in 1..=all.len() {
        let names = ["a", "b", "c", "d"];
        assert_eq!(already(standing_of(&all[..done], &[], &all)), names[..done]);
    }
    // Of a table that no migration makes it is said which one fails.
    let lost = standing_of(&[INIT, NOTE], &[], &[INIT, alter, NOTE]);
    assert_eq!(
        unclear(lost),
        "b cannot be applied to an empty database (no such table: Note)"
    );
    assert_eq!(already(standing_of(&[INIT], &[], &[INIT, alter, NOTE])), ["a"]);
}

#[test]
fn a_database_between_the_states_is_told_about() {
    let all = [INIT, NOTE, ADD_X];
    let why = unclear(standing_of(&[INIT, ADD_X], &[], &all));
    assert!(why.ends_with("compared with the last one, it lacks the table note"));
    // A column that no migration knows would be lost with the table that a later one rebuilds.
    let own = r#"ALTER TABLE "Reality" ADD COLUMN "own" TEXT;"#;
    let all = [INIT, NOTE, REDEFINE];
    let why = unclear(standing_of(&[INIT, NOTE, own], &[], &all));
    assert!(why.contains("it has the column own of reality"), "{why}");
    // With nothing left to apply it is in nobody's way.
    assert_eq!(already(standing_of(&[INIT, NOTE, own], &[], &all[..2])), ["a", "b"]);
}

#[test]
fn other_programs_tables_are_left_alone() {
    let other = "CREATE TABLE _litestream_seq (id INTEGER PRIMARY KEY, seq INTEGER); CREATE VIEW v AS SELECT 1;";
    let all = [INIT, NOTE];
    assert_eq!(already(standing_of(&[INIT, other], &[], &all)), ["a"]);
    assert_eq!(already(standing_of(&[other], &[], &all)), [""; 0]);
}

#[test]
fn a_migration_that_leaves_no_trace_cannot_be_told() {
    let seed = r#"UPDATE "Reality" SET "depth" = "depth" + 1;"#;
    let all = [INIT, seed, ADD_X];
    assert_eq!(
        unclear(standing_of(&[INIT], &[], &all)),
        "it looks the same before and after b"
    );
    assert_eq!(already(standing_of(&[INIT, ADD_X], &[], &all)), ["a", "b", "c"]);
    // There and back again.
    let drop = r#"ALTER TABLE "Reality" DROP COLUMN "x";"#;
    let why = unclear(standing_of(&[INIT], &[], &[INIT, ADD_X, drop]));
    assert_eq!(why, "it looks the same before and after b, c");
    // One that does nothing is no question.
    let nothing = "-- This is an empty migration.\nSELECT 1;";
    assert_eq!(already(standing_of(&[INIT], &[], &[INIT, nothing, ADD_X])), ["a"]);
}

#[test]
fn what_is_recorded_was_applied() {
    let all = [INIT, REDEFINE, ADD_X];
    // `db push` after the first migration.
    assert_eq!(already(standing_of(&all, &["a"], &all)), ["b", "c"]);
    assert_eq!(already(standing_of(&all[..1], &["a"], &all)), [""; 0]);
    assert_eq!(already(standing_of(&all, &["a", "b"], &all)), ["c"]);
    assert!(unclear(standing_of(&[NOTE], &["a", "b"], &all)).starts_with("it is in no state"));
    // One that was merged late comes after the others.
    assert_eq!(
        already(standing_of(&[INIT, ADD_X], &["a", "c"], &[INIT, NOTE, ADD_X])),
        [""; 0]
    );
    // Rebuilding a table after a column was added to it drops the column.
    let why = unclear(standing_of(&[INIT, ADD_X], &["a", "c"], &all));
    assert!(
        why.starts_with("those that are not recorded would come after later ones"),
        "{why}"
    );
    let why = unclear(standing_of(&[INIT], &["z", "a"], &all));
    assert_eq!(why, "z is recorded as applied, and its folder is not there");
    // With nothing pending nothing is asked.
    assert_eq!(standing_of(&[NOTE], &["a", "b", "c"], &all), Standing::default());
    assert_eq!(standing_of(&[NOTE], &["z"], &[OURS]), Standing::default());
}

#[test]
fn the_table_of_snapshots_may_be_missing_or_made_otherwise() {
    let snapshot = OURS.replace("IF NOT EXISTS ", "");
    let with_it = [INIT, &snapshot, NOTE];
    assert_eq!(already(standing_of(&with_it, &[], &with_it)), ["a", "b", "c"]);
    assert_eq!(already(standing_of(&[INIT], &[], &with_it)), ["a"]);
    assert_eq!(already(standing_of(&[INIT, NOTE], &[], &with_it)), ["a", "b", "c"]);
    // Ours is never recorded: it may come again.
    for live in [&[INIT][..], &[INIT, OURS], &[INIT, "CREATE TABLE Snapshot (id TEXT);"]] {
        assert_eq!(already(standing_of(live, &[], &[INIT, OURS])), ["a"]);
    }
    // A list of its own is not rebuilt.
    let own = "CREATE TABLE Snapshot (id TEXT, own TEXT);";
    let rebuilds = r#"DROP TABLE "Snapshot"; CREATE TABLE "Snapshot" (id TEXT);"#;
    unclear(standing_of(&[INIT, own], &[], &[INIT, &snapshot, rebuilds, NOTE]));
}

#[test]
fn only_what_makes_nothing_but_the_missing_may_come_again() {
    assert!(is_repeatable(OURS));
    assert!(is_repeatable(""));
    assert!(is_repeatable("/* nothing */ -- at all\nSELECT 1;"));
    assert!(!is_repeatable(INIT));
    assert!(!is_repeatable(&format!("{OURS}\nALTER TABLE Snapshot ADD COLUMN x;")));
    assert!(!is_repeatable(
        "CREATE TABLE IF NOT EXISTS a (x DEFAULT '--'); DROP TABLE a;"
    ));
    assert!(!is_repeatable("no SQL"));
}

#[test]
fn a_replay_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("x.db");
    for sql in [
        format!("ATTACH '{}' AS x;", file.display()),
        format!("VACUUM INTO '{}';", file.display()),
    ] {
        let why = unclear(standing_of(&[NOTE], &[], &[INIT, &sql]));
        assert!(why.starts_with("b cannot be applied"), "{why}");
        assert!(!file.exists());
    }
}

#[test]
fn virtual_tables_and_foreign_keys() {
    let search = "CREATE VIRTUAL TABLE search USING fts5(text);";
    assert_eq!(
        already(standing_of(&[INIT, search], &[], &[INIT, search, NOTE])),
        ["a", "b"]
    );
    let child = |action| format!("CREATE TABLE c (id INTEGER REFERENCES Reality(id) ON DELETE {action});");
    let rebuilt = format!("DROP TABLE c; {}", child("SET NULL"));
    let all = [INIT, &child("CASCADE"), &rebuilt];
    assert_eq!(already(standing_of(&all[..2], &[], &all)), ["a", "b"]);
    assert_eq!(already(standing_of(&all, &[], &all)), ["a", "b", "c"]);
}
