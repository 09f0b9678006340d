//! The store in a bucket, against a real server (`SNAPSHOT_WRITER_TEST_S3`) and against impossible ones.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
#![allow(clippy::single_range_in_vec_init, reason = "one range is fetched like several")]

use std::path::Path;
use std::sync::{Arc, Once};

use aws_sdk_s3::config::Credentials;
use uuid::Uuid;

use super::S3Store;
use super::client::{Bucket, sources};
use crate::config::S3Config;
use crate::error::{Code, Result};

mod canned;
mod conditions;
mod failing;
mod probing;
mod reading;
mod resuming;
mod shelf;
mod writing;

const BUCKET: &str = "conformance";

/// The configuration of a place in the real server's bucket that holds nothing; `None` when there is no server.
pub(crate) fn fresh_config() -> Option<S3Config> {
    static READY: Once = Once::new();
    let endpoint = std::env::var("SNAPSHOT_WRITER_TEST_S3").ok()?;
    let config = config(&endpoint);
    READY.call_once(|| make_bucket(&config));
    Some(config)
}

/// A store that holds nothing.
pub(crate) fn fresh_store(scratch: &Path) -> Option<S3Store> {
    fresh_config().map(|config| store(&config, scratch, "testtest"))
}

/// A store whose credentials do not come from the environment.
fn store(config: &S3Config, scratch: &Path, secret: &str) -> S3Store {
    let store = S3Store::new(config, scratch).unwrap();
    let keys = Credentials::new("test", secret, None, None, "test");
    let bucket = Bucket::connect(config, sources().credentials_provider(keys));
    let bucket = Arc::new(store.wait(bucket));
    assert!(store.0.bucket.set(bucket).is_ok());
    store
}

fn config(endpoint: &str) -> S3Config {
    S3Config {
        bucket: BUCKET.to_owned(),
        prefix: format!("{}/", Uuid::new_v4()),
        region: Some("us-east-1".to_owned()),
        endpoint: Some(endpoint.to_owned()),
        force_path_style: None,
    }
}

/// Bytes that tell one offset from another.
fn bytes(length: usize) -> Vec<u8> {
    (0..length as u32)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect()
}

fn code<T>(result: Result<T>) -> Option<Code> {
    result.err().map(|error| error.code)
}

fn make_bucket(config: &S3Config) {
    let store = store(config, &std::env::temp_dir(), "testtest");
    let bucket = store.bucket();
    // It may exist.
    let _ = store.wait(bucket.client.create_bucket().bucket(BUCKET).send());
    store.wait(bucket.list("")).unwrap();
}
