//! What `check-storage` finds out.

use serde_json::Value;

use super::canned::{Reply, serve};
use super::{config, fresh_config, store};
use crate::storage::Store;

const STEPS: [&str; 10] = [
    "list",
    "put",
    "get",
    "range",
    "multipart",
    "list uploads",
    "abort",
    "conditional put",
    "conditional replace",
    "delete",
];

fn failed(probe: &Value) -> Vec<&str> {
    let steps = probe["checks"].as_array().unwrap().iter();
    steps
        .filter(|step| step["ok"] == false)
        .map(|step| step["name"].as_str().unwrap())
        .collect()
}

#[test]
fn a_good_server_passes_everything_and_keeps_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let Some(config) = fresh_config() else { return };
    let store = store(&config, folder.path(), "testtest");
    let probe = serde_json::to_value(store.probe()).unwrap();
    assert_eq!(failed(&probe), [""; 0], "{probe:#}");
    let names: Vec<_> = probe["checks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| step["name"].as_str())
        .collect();
    assert_eq!(names, STEPS.map(Some));
    assert_eq!(probe["ok"], true);
    assert_eq!(probe["conditionalWrites"], true);
    assert_eq!(probe["missingPermissions"], serde_json::json!([]));
    assert_eq!(probe["credentials"], "found");
    assert_eq!(probe["bucket"], config.bucket);
    assert_eq!(store.list("").unwrap(), []);
    assert_eq!(store.wait(store.bucket().unfinished()).unwrap().unwrap().len(), 0);
}

#[test]
fn each_missing_permission_is_named_once() {
    let denied = serve(|_| Reply::error(403, "AccessDenied", ""));
    let probe = serde_json::to_value(store(&config(&denied), &std::env::temp_dir(), "secret").probe()).unwrap();
    assert_eq!(failed(&probe), STEPS);
    assert_eq!(probe["ok"], false);
    // Without s3:PutObject there is no upload to abort.
    let missing = [
        "s3:ListBucket",
        "s3:PutObject",
        "s3:GetObject",
        "s3:ListBucketMultipartUploads",
        "s3:DeleteObject",
    ];
    assert_eq!(probe["missingPermissions"], serde_json::json!(missing));
}

#[test]
fn what_nothing_can_come_of_is_tried_once() {
    let unsigned = serve(|_| Reply::error(403, "SignatureDoesNotMatch", ""));
    let probe = serde_json::to_value(store(&config(&unsigned), &std::env::temp_dir(), "secret").probe()).unwrap();
    assert_eq!(failed(&probe), STEPS);
    let details: Vec<_> = probe["checks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| &step["detail"])
        .collect();
    assert!(details[0].as_str().unwrap().contains("credentials"), "{probe:#}");
    assert!(details[1..].iter().all(|detail| *detail == "not tried"), "{probe:#}");
    assert_eq!(probe["endpoint"], unsigned);
}
