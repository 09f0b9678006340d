//! What the comments of [`super::Store`] promise, run over every store.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::io::Write;
use std::sync::Once;

use tempfile::TempDir;

use super::{LocalStore, Store, fresh_s3_store};
use crate::error::Code;

/// A store that holds nothing, and what has to outlive it.
struct Fresh {
    name: &'static str,
    store: Box<dyn Store>,
    /// Threads that may publish at once: test servers settle conflicts slowly.
    writers: u8,
    _folder: TempDir,
}

/// Every store there is: a new one is added here and nowhere else.
fn stores() -> Vec<Fresh> {
    static SAID: Once = Once::new();
    let folder = tempfile::tempdir().unwrap();
    let mut stores = vec![Fresh {
        name: "local",
        store: Box::new(LocalStore::new(folder.path().join("made/when/needed"))),
        writers: 8,
        _folder: folder,
    }];
    let folder = tempfile::tempdir().unwrap();
    match fresh_s3_store(folder.path()) {
        Some(store) => stores.push(Fresh {
            name: "s3",
            store: Box::new(store),
            writers: 4,
            _folder: folder,
        }),
        None => SAID.call_once(|| eprintln!("SNAPSHOT_WRITER_TEST_S3 is not set: the store in a bucket is left out")),
    }
    stores
}

fn put(store: &dyn Store, key: &str, bytes: &[u8]) {
    let mut object = store.stage(key).unwrap();
    object.write_all(bytes).unwrap();
    object.publish().unwrap();
}

fn bytes(store: &dyn Store, key: &str) -> Vec<u8> {
    let object = store.open(key).unwrap();
    let mut bytes = vec![0; object.size() as usize];
    object.read_exact_at(0, &mut bytes).unwrap();
    bytes
}

fn keys(store: &dyn Store, prefix: &str) -> Vec<String> {
    let listed = store.list(prefix).unwrap();
    listed.into_iter().map(|object| object.key).collect()
}

fn code<T>(result: crate::error::Result<T>) -> Option<Code> {
    result.err().map(|error| error.code)
}

#[test]
fn an_object_comes_back_as_it_was_written() {
    for Fresh { name, store, .. } in stores() {
        for (key, content) in [
            ("packs/a", &b"bytes"[..]),
            ("packs/empty", b""),
            ("top", &[7; 300_000]),
            ("a/b/c/d", b"deep"),
        ] {
            put(&*store, key, content);
            assert_eq!(bytes(&*store, key), content, "{name}");
        }
    }
}

#[test]
fn nothing_is_visible_before_it_is_published() {
    for Fresh { name, store, .. } in stores() {
        let mut object = store.stage("packs/a").unwrap();
        object.write_all(&[1; 100_000]).unwrap();
        object.flush().unwrap();
        for prefix in ["", "packs/", "packs/a", "local"] {
            assert_eq!(keys(&*store, prefix), [""; 0], "{name}: {prefix:?}");
        }
        assert_eq!(code(store.open("packs/a")), Some(Code::SnapshotDamaged), "{name}");
        object.publish().unwrap();
        assert_eq!(keys(&*store, ""), ["packs/a"], "{name}");
    }
}

#[test]
fn an_object_that_was_dropped_leaves_nothing() {
    for Fresh { name, store, .. } in stores() {
        let mut object = store.stage("packs/a").unwrap();
        object.write_all(b"half").unwrap();
        drop(object);
        assert_eq!(store.list("").unwrap(), [], "{name}");
    }
}

#[test]
fn publishing_never_replaces_an_object() {
    for Fresh { name, store, .. } in stores() {
        put(&*store, "packs/a", b"first");
        let mut second = store.stage("packs/a").unwrap();
        second.write_all(b"second, longer").unwrap();
        assert_eq!(code(second.publish()), Some(Code::SnapshotExists), "{name}");
        assert_eq!(bytes(&*store, "packs/a"), b"first", "{name}");
        let left: Vec<(String, u64)> = store
            .list("")
            .unwrap()
            .into_iter()
            .map(|object| (object.key, object.size))
            .collect();
        assert_eq!(
            left,
            [("packs/a".to_owned(), 5)],
            "{name}: the refused one leaves nothing"
        );
    }
}

#[test]
fn of_many_that_publish_one_key_at_once_one_wins() {
    for Fresh {
        name, store, writers, ..
    } in stores()
    {
        let outcomes: Vec<Option<Code>> = std::thread::scope(|scope| {
            let publish = |writer: u8| {
                let mut object = store.stage("snapshots/same").unwrap();
                object.write_all(&[writer; 10_000]).unwrap();
                code(object.publish())
            };
            let threads: Vec<_> = (0..writers)
                .map(|writer| scope.spawn(move || publish(writer)))
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let (won, lost): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Option::is_none);
        assert_eq!(won.len(), 1, "{name}");
        assert!(
            lost.iter().all(|code| *code == Some(Code::SnapshotExists)),
            "{name}: {lost:?}"
        );
        let content = bytes(&*store, "snapshots/same");
        assert!(
            content.len() == 10_000 && content.iter().all(|byte| *byte == content[0]),
            "{name}"
        );
    }
}

#[test]
fn a_listing_is_sorted_and_has_the_prefix_and_the_sizes() {
    for Fresh { name, store, .. } in stores() {
        for (key, size) in [("b/2", 2), ("a/10", 10), ("b/1", 1), ("a/9", 9), ("ab", 3), ("b.x", 4)] {
            put(&*store, key, &vec![0; size]);
        }
        assert_eq!(keys(&*store, ""), ["a/10", "a/9", "ab", "b.x", "b/1", "b/2"], "{name}");
        assert_eq!(keys(&*store, "a/"), ["a/10", "a/9"], "{name}");
        assert_eq!(keys(&*store, "a"), ["a/10", "a/9", "ab"], "{name}");
        assert_eq!(keys(&*store, "b/2"), ["b/2"], "{name}");
        assert_eq!(keys(&*store, "nothing/here"), [""; 0], "{name}");
        let sizes: Vec<u64> = store.list("b/").unwrap().iter().map(|object| object.size).collect();
        assert_eq!(sizes, [1, 2], "{name}");
    }
}

#[test]
fn removing_takes_away_one_object_and_a_missing_one_is_no_error() {
    for Fresh { name, store, .. } in stores() {
        store.remove("packs/never").unwrap();
        put(&*store, "packs/a", b"a");
        put(&*store, "packs/ab", b"ab");
        store.remove("packs/a").unwrap();
        store.remove("packs/a").unwrap();
        assert_eq!(keys(&*store, "packs/"), ["packs/ab"], "{name}");
        put(&*store, "packs/a", b"again");
        assert_eq!(bytes(&*store, "packs/a"), b"again", "{name}");
    }
}

#[test]
fn reading_past_the_end_or_a_missing_object_is_damage() {
    for Fresh { name, store, .. } in stores() {
        put(&*store, "packs/a", b"0123456789");
        let object = store.open("packs/a").unwrap();
        assert_eq!(object.size(), 10, "{name}");
        let mut four = [0; 4];
        object.read_exact_at(6, &mut four).unwrap();
        assert_eq!(&four, b"6789", "{name}");
        for offset in [7, 10, 11, 1 << 40] {
            assert_eq!(
                code(object.read_exact_at(offset, &mut four)),
                Some(Code::SnapshotDamaged),
                "{name}: from {offset}"
            );
        }
        object.read_exact_at(10, &mut []).unwrap();
        assert_eq!(code(store.open("packs/b")), Some(Code::SnapshotDamaged), "{name}");
    }
}

#[test]
fn several_threads_read_one_object() {
    for Fresh { name, store, .. } in stores() {
        let content: Vec<u8> = (0..100_000_u32).map(|i| (i % 251) as u8).collect();
        put(&*store, "packs/a", &content);
        let object = store.open("packs/a").unwrap();
        std::thread::scope(|scope| {
            for thread in 0..4_usize {
                let (object, content) = (&object, &content);
                scope.spawn(move || {
                    for offset in (thread * 1000..90_000).step_by(4000) {
                        let mut part = [0; 1000];
                        object.read_exact_at(offset as u64, &mut part).unwrap();
                        assert_eq!(part, content[offset..offset + 1000], "{name}");
                    }
                });
            }
        });
    }
}

#[test]
fn the_location_of_an_object_ends_with_its_key() {
    for Fresh { name, store, .. } in stores() {
        assert!(store.locate("snapshots/x.1").ends_with("snapshots/x.1"), "{name}");
    }
}
