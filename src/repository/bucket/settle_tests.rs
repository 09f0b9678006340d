//! Settling: whatever other hosts delete meanwhile, a snapshot is whole afterwards, or gone.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::sync::Mutex;
use std::sync::mpsc::channel;

use super::*;
use crate::error::Code;
use crate::repository::bucket::memory::Memory;
use crate::repository::bucket::testing::{
    DAY, Host, Moment, PATIENT, Watched, clear_up, delete as delete_it, keys, on_every_bucket, pack_keys, swept,
};
use crate::repository::testing::code;

const NOW: Duration = Duration::ZERO;

on_every_bucket! {
    a_pack_that_was_swept_before_the_manifest_came_is_put_back
    a_pack_of_another_size_is_replaced
    a_settled_snapshot_needs_no_lease
    who_settles_waits_for_the_sweeper
    a_snapshot_that_was_deleted_meanwhile_does_not_come_back
}

fn a_pack_that_was_swept_before_the_manifest_came_is_put_back<S: SharedStore>(store: S) {
    let host = Host::new();
    let old = host.snapshot(&[]);
    let new = host.snapshot(&[&old.packs[0]]);
    host.upload(&store, &old).unwrap();
    host.upload_packs(&store, &new);
    assert_eq!(delete_it(&store, &old, NOW).unwrap(), swept(&new.packs));
    host.publish(&store, &new);
    assert_eq!(host.first_flaw(&store, &new), Some(new.packs[0].key()));
    host.settle(&store, &new).unwrap();
    assert_eq!(host.first_flaw(&store, &new), None);
    assert_eq!(keys(&store, "marks/"), [""; 0]);
    assert_eq!(clear_up(&store, NOW), Deleted::default());
}

fn a_pack_of_another_size_is_replaced<S: SharedStore>(store: S) {
    let host = Host::new();
    let snapshot = host.snapshot(&[]);
    store.put(&snapshot.packs[0].key(), b"cut off").unwrap();
    host.upload(&store, &snapshot).unwrap();
    assert_eq!(host.first_flaw(&store, &snapshot), None);
}

fn a_settled_snapshot_needs_no_lease<S: SharedStore>(store: S) {
    let host = Host::new();
    let snapshot = host.snapshot(&[]);
    let _held = Lease::acquire(&store, "deleteSnapshot", PATIENT, &|| Ok(())).unwrap();
    host.upload(&store, &snapshot).unwrap();
    assert_eq!(host.first_flaw(&store, &snapshot), None);
}

#[test]
fn where_nobody_can_sweep_missing_packs_are_put_back_without_a_lease() {
    let (store, host) = (Memory::new().without_conditions(), Host::new());
    let snapshot = host.snapshot(&[]);
    assert_eq!(code(delete_it(&store, &snapshot, NOW)), Some(Code::S3Unsupported));
    assert!(!tombstones::exists(&store, snapshot.id()).unwrap());
    host.publish(&store, &snapshot);
    host.settle(&store, &snapshot).unwrap();
    assert_eq!(host.first_flaw(&store, &snapshot), None);
}

/// The sweeper stands before removing a pack (or its mark), having seen no manifest that needs it,
/// when the creator publishes one and settles.
fn who_settles_waits_for_the_sweeper<S: SharedStore>(store: S) {
    for stop in ["remove packs", "remove marks"] {
        let host = Host::new();
        let old = host.snapshot(&[]);
        let new = host.snapshot(&[&old.packs[0]]);
        host.upload(&store, &old).unwrap();
        let (stands, is_standing) = channel();
        let (go, may_go) = channel::<()>();
        let may_go = Mutex::new(Some(may_go));
        let sweeping = Watched::new(&store, move |when, request| {
            if when == Moment::Before
                && request.starts_with(stop)
                && let Some(may_go) = may_go.lock().unwrap().take()
            {
                stands.send(()).unwrap();
                // Or until nobody is left who would say so.
                let _ = may_go.recv();
            }
            Ok(())
        });
        let looks = Mutex::new(0);
        let settling = Watched::new(&store, move |when, request| {
            if (when, request) == (Moment::After, "get lease.json") {
                let mut looks = looks.lock().unwrap();
                *looks += 1;
                // It has found the lease taken, and looked again.
                if *looks == 2 {
                    go.send(()).unwrap();
                }
            }
            Ok(())
        });
        std::thread::scope(|scope| {
            let sweeper = scope.spawn(|| delete_it(&sweeping, &old, NOW).unwrap());
            is_standing.recv().unwrap();
            host.upload(&settling, &new).unwrap();
            drop(settling);
            assert_eq!(sweeper.join().unwrap().swept, 1, "{stop}");
        });
        assert_eq!(host.first_flaw(&store, &new), None, "{stop}");
        assert_eq!(keys(&store, "marks/"), [""; 0], "{stop}");
        delete_it(&store, &new, NOW).unwrap();
    }
}

fn a_snapshot_that_was_deleted_meanwhile_does_not_come_back<S: SharedStore>(store: S) {
    let host = Host::new();
    let (snapshot, other) = (host.snapshot(&[]), host.snapshot(&[]));
    host.upload(&store, &other).unwrap();
    host.upload_packs(&store, &snapshot);
    delete_it(&store, &snapshot, NOW).unwrap();
    host.publish(&store, &snapshot);
    assert_eq!(code(host.settle(&store, &snapshot)), Some(Code::UploadFailed));
    assert_eq!(keys(&store, "snapshots/"), [other.head.key()]);
    assert_eq!(
        keys(&store, "packs/"),
        pack_keys(&other.packs),
        "nothing is put back for it"
    );
    // Killed before it could settle: the next sweeper sees to it.
    host.publish(&store, &snapshot);
    clear_up(&store, DAY);
    assert_eq!(keys(&store, "snapshots/"), [other.head.key()]);
}
