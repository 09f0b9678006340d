#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::time::Duration;

use serde_json::{Value, json};

use super::super::testing::Place;
use super::*;

const APPLICATION: &str = include_str!("schema_of_the_application.sql");
const HISTORY: &str = "CREATE TABLE _prisma_migrations (
    id TEXT PRIMARY KEY NOT NULL, checksum TEXT NOT NULL, finished_at DATETIME, migration_name TEXT NOT NULL,
    logs TEXT, rolled_back_at DATETIME, started_at DATETIME NOT NULL DEFAULT current_timestamp,
    applied_steps_count INTEGER UNSIGNED NOT NULL DEFAULT 0);";

fn inspected(sql: &str) -> Value {
    let place = Place::new();
    let path = place.database("dev.db", sql);
    json!(inspect(&path, Instant::now() + Duration::from_secs(5), &[]).unwrap())
}

#[test]
fn tables_without_a_history() {
    let schema = inspected(APPLICATION);
    let tables = json!(["ConsciousnessField", "Metric", "Reality", "RecursionPath"]);
    assert_eq!(schema["tables"], tables, "without bookkeeping");
    assert_eq!(schema["hasCatalog"], json!(true));
    assert_eq!(schema["catalogFault"], Value::Null);
    assert_eq!(schema["migrations"], Value::Null);
    assert!(schema["size"].as_u64().unwrap() >= 4096);
}

#[test]
fn an_empty_database() {
    let schema = inspected("");
    assert_eq!(schema["tables"], json!([]));
    assert_eq!(schema["hasCatalog"], json!(false));
    assert_eq!(schema["migrations"], Value::Null, "no history is not an empty one");
    assert_eq!(inspected(HISTORY)["migrations"], json!([]));
}

#[test]
fn what_became_of_each_migration() {
    let rows = "INSERT INTO _prisma_migrations(id, checksum, migration_name, started_at, finished_at, rolled_back_at)
                VALUES ('1', '', 'init', 1, 2, NULL), ('2', '', 'broken', 3, NULL, NULL), ('3', '', 'undone', 4, NULL, 5);";
    assert_eq!(
        inspected(&format!("{HISTORY}{rows}"))["migrations"],
        json!([
            { "name": "init", "state": "applied" },
            { "name": "broken", "state": "failed" },
            { "name": "undone", "state": "rolled back" },
        ])
    );
}

#[test]
fn a_table_of_that_name_that_is_not_the_catalog() {
    let schema = inspected("CREATE TABLE Snapshot(id TEXT PRIMARY KEY);");
    assert_eq!(schema["hasCatalog"], json!(true));
    assert!(schema["catalogFault"].as_str().unwrap().contains("name"));
}
