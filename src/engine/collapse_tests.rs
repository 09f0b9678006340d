#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use super::*;
use crate::database::plain_snapshots::{Place, describe};

/// A snapshot of hour `hour` with that many rows and bytes.
fn content(hour: i64, rows: u64, size: u64) -> Content {
    Content {
        id: Uuid::from_u128(hour as u128),
        name: format!("at-{hour}"),
        created_at: Timestamp::from_second(1_800_000_000 + hour * 3600).unwrap(),
        sequence: None,
        is_empty: rows == 0,
        core_counts: BTreeMap::from([("Reality".to_owned(), rows / 2), ("Path".to_owned(), rows - rows / 2)]),
        size,
    }
}

fn name_of(found: Option<Collapse>) -> Option<String> {
    found.map(|collapse| collapse.name)
}

#[test]
fn what_grows_or_shrinks_a_little_is_no_collapse() {
    let contents = [
        content(1, 0, 0),
        content(2, 10, 4096),
        content(3, 5, 2048),
        content(4, 900, 9999),
    ];
    assert_eq!(newest(&contents, None), None);
}

#[test]
fn the_first_empty_snapshot_is_the_collapse() {
    let mut contents = vec![content(1, 10, 4096), content(2, 0, 4096)];
    contents.extend((3..22).map(|hour| content(hour, 0, 4096)));
    let found = newest(&contents, None).unwrap();
    assert_eq!(found.name, "at-2");
    assert_eq!(found.reason, "\"at-2\" is empty, \"at-1\" before it was not");
}

#[test]
fn under_half_of_the_rows_or_of_the_bytes_is_a_collapse() {
    let by_rows = newest(&[content(1, 1001, 4096), content(2, 500, 4096)], None).unwrap();
    assert_eq!(
        by_rows.reason,
        "\"at-2\" has 500 rows in the core tables, \"at-1\" before it had 1001"
    );
    let by_size = newest(&[content(1, 10, 8192), content(2, 10, 4095)], None).unwrap();
    assert_eq!(by_size.reason, "\"at-2\" has 4095 bytes, \"at-1\" before it had 8192");
    assert_eq!(newest(&[content(1, 1000, 8192), content(2, 500, 4096)], None), None);
}

#[test]
fn a_collapse_stands_although_the_content_came_back() {
    let contents = [
        content(1, 10, 4096),
        content(2, 0, 4096),
        content(3, 10, 4096),
        content(4, 12, 4096),
    ];
    assert_eq!(name_of(newest(&contents, None)).as_deref(), Some("at-2"));
}

#[test]
fn the_newest_of_several_counts() {
    let contents = [
        content(1, 10, 4096),
        content(2, 0, 4096),
        content(3, 10, 4096),
        content(4, 1, 4096),
    ];
    assert_eq!(name_of(newest(&contents, None)).as_deref(), Some("at-4"));
}

#[test]
fn what_was_acknowledged_is_the_new_measure() {
    let (good, empty) = (content(1, 10, 4096), content(2, 0, 4096));
    let acknowledged = Some(&empty);
    assert_eq!(newest(&[good.clone(), empty.clone()], acknowledged), None);
    // Retention may take the acknowledged snapshots and leave an older one, which was pinned.
    let later = [good.clone(), content(3, 0, 4096), content(4, 8, 4096)];
    assert_eq!(newest(&later, acknowledged), None);
    let again = [good, content(4, 8, 4096), content(5, 0, 4096)];
    assert_eq!(name_of(newest(&again, acknowledged)).as_deref(), Some("at-5"));
}

#[test]
fn each_loss_that_stands_has_its_last_good_one() {
    let held = |contents: &[Content], acknowledged| -> Vec<Option<Uuid>> {
        let losses = standing(contents, acknowledged);
        losses.iter().map(|loss| loss.last_good).collect()
    };
    let (older, good, empty) = (content(1, 10, 8192), content(2, 12, 8192), content(3, 0, 8192));
    let emptied = [older.clone(), good.clone(), empty.clone()];
    assert_eq!(held(&emptied, None), [Some(good.id)]);
    // The first empty one is gone: the next one tells the same.
    let later = [older, good.clone(), content(4, 0, 8192), content(5, 0, 8192)];
    assert_eq!(held(&later, None), [Some(good.id)]);
    // Shrunk after it was emptied: what came between holds nothing.
    let vacuumed = [good.clone(), empty.clone(), content(4, 0, 1024)];
    assert_eq!(held(&vacuumed, None), [Some(good.id), Some(good.id)]);
    // A few rows came back and went again.
    let few = content(4, 2, 8192);
    let twice = [good.clone(), empty.clone(), few.clone(), content(5, 0, 8192)];
    assert_eq!(held(&twice, None), [Some(good.id), Some(few.id)]);
    assert_eq!(held(&twice, Some(&empty)), [Some(few.id)]);
    assert_eq!(held(&[good, empty.clone()], Some(&empty)), []);
}

#[test]
fn only_tables_that_were_counted_both_times_are_compared() {
    let before = content(1, 1000, 4096);
    let mut other = content(2, 1000, 4096);
    other.core_counts = BTreeMap::from([("Users".to_owned(), 3)]);
    assert_eq!(newest(&[before.clone(), other.clone()], None), None);
    other.core_counts = BTreeMap::from([("Users".to_owned(), 900), ("Reality".to_owned(), 3)]);
    assert_eq!(
        newest(&[before, other], None).unwrap().reason,
        "\"at-2\" has 3 rows in the core tables, \"at-1\" before it had 500"
    );
}

/// An old plain snapshot of that hour.
fn plain(hour: i64) -> PlainSnapshot {
    let key = format!("snapshot_{hour}.db");
    PlainSnapshot {
        record: describe(&key, 4096, content(hour, 1, 1).created_at).unwrap(),
        place: Place::Object(key),
    }
}

#[test]
fn only_empty_snapshots_after_plain_ones_are_a_collapse() {
    let (first, later) = (content(2, 0, 4096), content(3, 0, 4096));
    let found = empty_after_plain(&[first.clone(), later.clone()], &[plain(1)]).unwrap();
    assert_eq!(found.name, "at-2");
    assert_eq!(
        found.reason,
        "\"at-2\" is empty, as is every snapshot after it, and only old plain ones came before"
    );
    assert_eq!(empty_after_plain(&[first.clone(), later.clone()], &[]), None);
    assert_eq!(
        empty_after_plain(&[first.clone(), later], &[plain(4)]),
        None,
        "it is newer"
    );
    assert_eq!(empty_after_plain(&[first, content(3, 5, 4096)], &[plain(1)]), None);
}

/// The head of a snapshot that was made then.
fn head(created_at: Timestamp) -> Head {
    serde_json::from_value(json!({
        "id": Uuid::new_v4(), "generation": 1, "name": created_at.to_string(), "kind": "snapshot",
        "createdAt": created_at, "lineage": Uuid::nil(), "databaseName": "app.db", "pageSize": 4096,
        "checksum": "", "isEmpty": false, "coreCounts": {}, "check": "none", "finding": null,
        "storedBytes": 0, "pageCount": 1, "pageListHash": "", "packCount": 0, "packTableHash": "",
        "extentCount": 0, "extentsLen": 0, "extentsHash": "",
    }))
    .unwrap()
}

#[test]
fn a_date_in_the_future_is_no_measure() {
    let now = Timestamp::now();
    let heads = [head(now), head(now + jiff::SignedDuration::from_hours(1))];
    let names: Vec<String> = contents(&heads, |_| true)
        .into_iter()
        .map(|content| content.name)
        .collect();
    assert_eq!(names, [now.to_string()]);
}
