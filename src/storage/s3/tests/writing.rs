//! Objects that come in, against a real server.

use std::io::Write;

use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::super::S3Store;
use super::super::upload::hex;
use super::{bytes, code, fresh_store};
use crate::error::Code;
use crate::storage::{Staged, Store};

/// More than two parts, and an odd end.
const LARGE: usize = (20 << 20) + 4711;

fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn unfinished(store: &S3Store) -> usize {
    store.wait(store.bucket().unfinished()).unwrap().unwrap().len()
}

fn write(object: &mut dyn Staged, content: &[u8]) {
    for piece in content.chunks(300_001) {
        object.write_all(piece).unwrap();
    }
}

#[test]
fn a_large_object_comes_back_with_its_sha256() {
    let folder = tempfile::tempdir().unwrap();
    let Some(store) = fresh_store(folder.path()) else {
        return;
    };
    for length in [8 << 20, (8 << 20) + 1, LARGE] {
        let content = bytes(length);
        let key = format!("packs/{length}");
        let mut object = store.stage(&key).unwrap();
        object.expect(&sha256(&content));
        write(&mut *object, &content);
        assert_eq!(store.list("").unwrap().len(), store.list("packs/").unwrap().len());
        object.publish().unwrap();
        let reader = store.open(&key).unwrap();
        let mut read = vec![0; length];
        reader.read_exact_at(0, &mut read).unwrap();
        assert!(read == content, "{length}");
        assert_eq!(store.sha256(&key).unwrap(), Some(sha256(&content)));
    }
    assert_eq!(unfinished(&store), 0);
}

#[test]
fn a_large_object_replaces_none() {
    let folder = tempfile::tempdir().unwrap();
    let Some(store) = fresh_store(folder.path()) else {
        return;
    };
    store.put("packs/a", b"small").unwrap();
    let mut object = store.stage("packs/a").unwrap();
    write(&mut *object, &bytes(LARGE));
    assert_eq!(code(object.publish()), Some(Code::SnapshotExists));
    assert_eq!(store.get("packs/a").unwrap().unwrap().bytes, b"small");
    assert_eq!(unfinished(&store), 0);
}

#[test]
fn a_large_object_that_was_dropped_leaves_no_parts() {
    let folder = tempfile::tempdir().unwrap();
    let Some(store) = fresh_store(folder.path()) else {
        return;
    };
    let mut object = store.stage("packs/a").unwrap();
    write(&mut *object, &bytes(LARGE));
    assert_eq!(unfinished(&store), 1);
    drop(object);
    assert_eq!(unfinished(&store), 0);
    assert_eq!(store.list("").unwrap(), []);
}

#[test]
fn what_has_another_sha256_than_expected_is_not_published() {
    let folder = tempfile::tempdir().unwrap();
    let Some(store) = fresh_store(folder.path()) else {
        return;
    };
    for length in [1000, LARGE] {
        let content = bytes(length);
        let mut object = store.stage("packs/a").unwrap();
        object.expect(&sha256(&content));
        write(&mut *object, &content[..length - 1]);
        object.write_all(&[content[length - 1] ^ 1]).unwrap();
        assert_eq!(code(object.publish()), Some(Code::SnapshotDamaged), "{length}");
        assert_eq!(store.list("").unwrap(), [], "{length}");
        assert_eq!(unfinished(&store), 0, "{length}");
    }
}

#[test]
fn the_sha256_of_a_small_object_is_worked_out() {
    let folder = tempfile::tempdir().unwrap();
    let Some(store) = fresh_store(folder.path()) else {
        return;
    };
    let mut object = store.stage("snapshots/a").unwrap();
    object.write_all(b"manifest").unwrap();
    object.publish().unwrap();
    assert_eq!(store.sha256("snapshots/a").unwrap(), Some(sha256(b"manifest")));
    assert_eq!(store.sha256("snapshots/b").unwrap(), None);
    store.put("mark", b"").unwrap();
    assert_eq!(store.sha256("mark").unwrap(), None);
}

#[test]
fn only_old_uploads_are_aborted() {
    let folder = tempfile::tempdir().unwrap();
    let Some(store) = fresh_store(folder.path()) else {
        return;
    };
    let mut object = store.stage("packs/a").unwrap();
    let content = bytes(LARGE);
    write(&mut *object, &content);
    let hour = jiff::SignedDuration::from_hours(1);
    assert_eq!(store.abort_uploads_begun_before(Timestamp::now() - hour).unwrap(), 0);
    assert_eq!(store.abort_uploads_begun_before(Timestamp::now() + hour).unwrap(), 1);
    assert_eq!(unfinished(&store), 0);
    // Whoever still writes it learns that it is gone.
    assert_eq!(code(object.publish()), Some(Code::S3Failed));
    assert_eq!(store.list("").unwrap(), []);
}

#[test]
fn small_objects_are_changed_by_one_only() {
    let folder = tempfile::tempdir().unwrap();
    let Some(store) = fresh_store(folder.path()) else {
        return;
    };
    assert!(store.get("lease").unwrap().is_none());
    let first = store.put_new("lease", b"one").unwrap().unwrap();
    assert_eq!(store.put_new("lease", b"other").unwrap(), None);
    let second = store.put_over("lease", b"two", &first).unwrap().unwrap();
    assert_eq!(store.put_over("lease", b"other", &first).unwrap(), None);
    let found = store.get("lease").unwrap().unwrap();
    assert_eq!((&found.bytes[..], &found.tag), (&b"two"[..], &second));
    let age = Timestamp::now().duration_since(found.modified).abs();
    assert!(age < jiff::SignedDuration::from_mins(5), "{age}");
    store.remove("lease").unwrap();
    assert_eq!(store.put_over("lease", b"other", &second).unwrap(), None);
    store.put("lease", b"").unwrap();
    store.put("lease", &[7; 200_000]).unwrap();
    assert_eq!(store.get("lease").unwrap().unwrap().bytes, [7; 200_000]);
    store.put("lease", b"").unwrap();
    let empty = store.get("lease").unwrap().unwrap();
    assert_eq!(empty.bytes, b"");
    assert!(store.put_over("lease", b"three", &empty.tag).unwrap().is_some());
}

#[test]
fn a_provider_with_conditional_writes_is_known_and_nothing_is_left_there() {
    let folder = tempfile::tempdir().unwrap();
    let Some(store) = fresh_store(folder.path()) else {
        return;
    };
    store.check_conditional_writes().unwrap();
    assert_eq!(store.list("").unwrap(), []);
}

#[test]
fn folders_of_consoles_are_not_listed_and_foreign_objects_are() {
    let folder = tempfile::tempdir().unwrap();
    let Some(store) = fresh_store(folder.path()) else {
        return;
    };
    for key in ["", "packs/", "packs/x/", "holiday photo ü +&%.jpg"] {
        store.put(key, b"").unwrap();
    }
    let keys: Vec<String> = store.list("").unwrap().into_iter().map(|object| object.key).collect();
    assert_eq!(keys, ["holiday photo ü +&%.jpg"]);
}
