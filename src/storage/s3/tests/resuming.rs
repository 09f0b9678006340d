//! Reading while the server, the wire or somebody else interferes.

use super::shelf::{Manners, Shelf};
use super::{bytes, code, fresh_store};
use crate::error::Code;
use crate::storage::Store;

const SIZE: usize = 3 << 20;

#[test]
fn an_answer_that_breaks_off_is_resumed_where_it_broke() {
    let cut = Manners {
        cut: Some(700_000),
        ..Manners::default()
    };
    let (shelf, store) = Shelf::new(bytes(SIZE), cut);
    let reader = store.open("a").unwrap();
    shelf.sent();
    let mut read = vec![0; 2 << 20];
    reader.read_exact_at(100_000, &mut read).unwrap();
    assert!(read == shelf.object[100_000..][..2 << 20]);
    assert_eq!(shelf.sent(), (3, 2 << 20), "nothing comes twice");
    reader.fetch(&[0..SIZE as u64]).unwrap();
    assert_eq!(store.get("a").unwrap().unwrap().bytes, shelf.object);
    assert_eq!(shelf.sent().0, 11);
}

#[test]
fn an_answer_that_hangs_is_resumed() {
    let (shelf, store) = Shelf::new(bytes(SIZE), Manners::default());
    let reader = store.open("a").unwrap();
    shelf.change(|manners| (manners.cut, manners.hangs) = (Some(400_000), 1));
    let mut read = vec![0; 500_000];
    reader.read_exact_at(1_000_000, &mut read).unwrap();
    assert!(read == shelf.object[1_000_000..1_500_000]);
}

#[test]
fn answers_that_always_break_off_are_given_up() {
    let (shelf, store) = Shelf::new(bytes(SIZE), Manners::default());
    let reader = store.open("a").unwrap();
    shelf.change(|manners| manners.cut = Some(0));
    shelf.sent();
    let error = reader.read_exact_at(1_000_000, &mut [0; 1000]).unwrap_err();
    assert_eq!(error.code, Code::S3Unreachable, "{}", error.story());
    assert_eq!(shelf.sent().0, 6);
    assert_eq!(code(store.open("a").map(drop)), Some(Code::S3Unreachable));
}

#[test]
fn a_server_that_knows_no_ranges_will_do() {
    let whole = Manners {
        ignores_ranges: true,
        cut: Some(2_500_000),
        ..Manners::default()
    };
    let (shelf, store) = Shelf::new(bytes(SIZE), whole);
    let reader = store.open("a").unwrap();
    assert_eq!(reader.size(), SIZE as u64);
    let mut read = vec![0; 500_000];
    reader.read_exact_at(1_000_000, &mut read).unwrap();
    assert!(read == shelf.object[1_000_000..1_500_000]);
    let (_shelf, store) = Shelf::new(
        Vec::new(),
        Manners {
            ignores_ranges: true,
            ..Manners::default()
        },
    );
    assert_eq!(store.open("a").unwrap().size(), 0);
}

#[test]
fn an_object_that_was_swapped_or_removed_is_damage() {
    for ignores_conditions in [false, true] {
        let (shelf, store) = Shelf::new(
            bytes(SIZE),
            Manners {
                ignores_conditions,
                ..Manners::default()
            },
        );
        let reader = store.open("a").unwrap();
        shelf.change(|manners| manners.tag = Some("\"two\""));
        for result in [
            reader.read_exact_at(1 << 20, &mut [0; 9]),
            reader.fetch(&[1 << 20..2 << 20]),
        ] {
            let error = result.unwrap_err();
            assert_eq!(error.code, Code::SnapshotDamaged, "{}", error.story());
            assert!(error.to_string().contains("replaced"), "{error}");
        }
        shelf.change(|manners| manners.gone = true);
        let error = reader.read_exact_at(1 << 20, &mut [0; 9]).unwrap_err();
        assert_eq!(error.code, Code::SnapshotDamaged, "{}", error.story());
        assert!(error.to_string().contains("missing"), "{error}");
    }
}

#[test]
fn a_real_server_refuses_the_swapped_object() {
    let folder = tempfile::tempdir().unwrap();
    let Some(store) = fresh_store(folder.path()) else {
        return;
    };
    store.put("packs/a", &bytes(SIZE)).unwrap();
    let reader = store.open("packs/a").unwrap();
    store.put("packs/a", &vec![0; SIZE]).unwrap();
    let error = reader.read_exact_at(1 << 20, &mut [0; 9]).unwrap_err();
    assert_eq!(error.code, Code::SnapshotDamaged, "{}", error.story());
    assert!(error.to_string().contains("replaced"), "{error}");
}
