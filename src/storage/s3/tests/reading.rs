//! What is asked for when an object is read.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::shelf::{Manners, Shelf};
use super::{bytes, code, fresh_store};
use crate::error::Code;
use crate::storage::{Reader, Store};

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// Reads a range and compares it.
fn check(reader: &dyn Reader, content: &[u8], offset: usize, length: usize) {
    let mut buffer = vec![0; length];
    reader.read_exact_at(offset as u64, &mut buffer).unwrap();
    assert!(
        buffer == content[offset..offset + length],
        "{length} bytes from {offset}"
    );
}

#[test]
fn every_way_of_reading_brings_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let content = bytes(21 * MIB + 17);
    let (_shelf, canned) = Shelf::new(content.clone(), Manners::default());
    let mut stores = vec![canned];
    if let Some(real) = fresh_store(folder.path()) {
        real.put("packs/a", &content).unwrap();
        stores.push(real);
    }
    for store in stores {
        let reader = store.open("packs/a").unwrap();
        assert_eq!(reader.size(), content.len() as u64);
        for (offset, length) in [
            (0, 10),
            (60 * KIB, 8 * KIB),
            (9 * MIB, 100),
            (5, 7 * MIB),
            (content.len() - 1, 1),
        ] {
            check(&*reader, &content, offset, length);
        }
        let forward = store.open("packs/a").unwrap();
        for offset in (0..content.len() - 100_000).step_by(100_000) {
            check(&*forward, &content, offset, 99_000);
        }
        let whole = store.open("packs/a").unwrap();
        check(&*whole, &content, 0, content.len());
        let fetched = store.open("packs/a").unwrap();
        fetched
            .fetch(&[(9 << 20)..(14 << 20), 0..10, (20 << 20)..(99 << 20)])
            .unwrap();
        for (offset, length) in [(9 * MIB, 5 * MIB), (20 * MIB, MIB + 17), (13 * MIB, 2 * MIB), (0, 10)] {
            check(&*fetched, &content, offset, length);
        }
        let mut past = [0; 18];
        assert_eq!(
            code(reader.read_exact_at(21 << 20, &mut past)),
            Some(Code::SnapshotDamaged)
        );
        assert_eq!(
            code(reader.read_exact_at(u64::MAX, &mut past)),
            Some(Code::SnapshotDamaged)
        );
    }
}

#[test]
fn opening_and_reading_the_beginning_is_one_request() {
    let (shelf, store) = Shelf::new(bytes(MIB), Manners::default());
    let reader = store.open("a").unwrap();
    check(&*reader, &shelf.object, 0, 64 * KIB);
    assert_eq!(shelf.sent(), (1, 64 * KIB));
}

#[test]
fn single_reads_bring_what_was_asked_for() {
    let (shelf, store) = Shelf::new(bytes(40 * MIB), Manners::default());
    let reader = store.open("a").unwrap();
    shelf.sent();
    for offset in [100 * KIB, 30 * MIB, 5 * MIB, 39 * MIB, 12 * MIB] {
        check(&*reader, &shelf.object, offset, 1000);
    }
    assert_eq!(shelf.sent(), (5, 5000));
}

#[test]
fn what_was_fetched_is_not_asked_for_again() {
    let (shelf, store) = Shelf::new(bytes(40 * MIB), Manners::default());
    let reader = store.open("a").unwrap();
    shelf.sent();
    let near = 64 * KIB as u64;
    let ranges = [
        10 << 20..11 << 20,
        (11 << 20) + near..12 << 20,
        30 << 20..(30 << 20) + 5,
        0..100,
    ];
    reader.fetch(&ranges).unwrap();
    assert_eq!(shelf.sent(), (2, 2 * MIB + 5), "near ranges come together");
    reader.fetch(&ranges[1..]).unwrap();
    for offset in (10 * MIB..12 * MIB).step_by(100_000) {
        check(&*reader, &shelf.object, offset, 90_000.min(12 * MIB - offset));
    }
    check(&*reader, &shelf.object, 30 * MIB, 5);
    assert_eq!(shelf.sent(), (0, 0));
}

#[test]
fn several_requests_are_under_way_ahead_of_a_reader_and_for_a_fetch() {
    let slow = || Manners {
        delay: Duration::from_millis(30),
        ..Manners::default()
    };
    let (shelf, store) = Shelf::new(bytes(40 * MIB), slow());
    let reader = store.open("a").unwrap();
    for offset in (0..40 * MIB).step_by(256 * KIB) {
        check(&*reader, &shelf.object, offset, 256 * KIB);
    }
    let (requests, sent) = shelf.sent();
    assert!((40..=44).contains(&requests), "{requests}");
    assert!(sent <= 41 * MIB, "nothing comes twice: {sent}");
    assert!((4..=8).contains(&shelf.most_under_way.load(Ordering::SeqCst)));

    let (shelf, store) = Shelf::new(bytes(40 * MIB), slow());
    store.open("a").unwrap().fetch(&[0..40 << 20]).unwrap();
    assert_eq!(shelf.most_under_way.load(Ordering::SeqCst), 8);
    assert_eq!(shelf.sent().0, 21);
}

#[test]
fn all_readers_together_stay_within_one_budget() {
    let (shelf, store) = Shelf::new(bytes(20 * MIB), Manners::default());
    let readers: Vec<_> = (0..10).map(|_| store.open("a").unwrap()).collect();
    for reader in &readers {
        for offset in (0..10 * MIB).step_by(512 * KIB) {
            check(&**reader, &shelf.object, offset, 512 * KIB);
        }
        assert!(store.0.budget.taken() <= 48);
    }
    assert!(
        store.0.budget.taken() > 40,
        "the first readers have all that they may have"
    );
    drop(readers);
    // Their last requests end by themselves.
    for _ in 0..500 {
        if store.0.budget.taken() == 0 {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("{} segments are held by nobody", store.0.budget.taken());
}

#[test]
fn several_threads_read_one_large_object_forward() {
    let (shelf, store) = Shelf::new(bytes(20 * MIB), Manners::default());
    let reader: Arc<dyn Reader> = store.open("a").unwrap().into();
    std::thread::scope(|scope| {
        for thread in 0..3 {
            let (reader, content) = (&reader, &shelf.object);
            scope.spawn(move || {
                for offset in (thread * 100 * KIB..19 * MIB).step_by(300 * KIB) {
                    check(&**reader, content, offset, 100 * KIB);
                }
            });
        }
    });
}

#[test]
fn fetching_does_without_its_folder() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let (shelf, canned) = Shelf::new(bytes(2 * MIB), Manners::default());
    // Nobody, not even root, makes a folder below a file.
    let bucket = canned.bucket().clone();
    let store = super::super::S3Store::new(&canned.0.config, &file.path().join("scratch")).unwrap();
    assert!(store.0.bucket.set(bucket).is_ok());
    let reader = store.open("a").unwrap();
    reader.fetch(&[MIB as u64..2 << 20]).unwrap();
    shelf.sent();
    check(&*reader, &shelf.object, MIB + 5, 1000);
    assert_eq!(shelf.sent(), (0, 0));
}
