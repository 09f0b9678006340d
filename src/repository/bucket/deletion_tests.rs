//! Deleting and settling: what goes, what stays, and in which order.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::sync::{Arc, Mutex};

use jiff::SignedDuration;

use super::*;
use crate::error::Code;
use crate::repository::bucket::memory::Memory;
use crate::repository::bucket::testing::{
    DAY, Host, Moment, Watched, clear_up, delete as delete_it, keys, on_every_bucket, pack_keys, swept,
};
use crate::repository::testing::code;

const NOW: Duration = Duration::ZERO;

on_every_bucket! {
    what_another_snapshot_needs_stays
    deleting_again_changes_nothing
    marks_age_before_packs_go
    what_is_needed_again_loses_its_mark
    nothing_is_swept_beside_a_manifest_that_cannot_be_read
    a_manifest_that_goes_while_it_is_read_needs_nothing
    many_manifests_are_read
    a_damaged_snapshot_can_be_deleted
    the_tombstone_comes_before_the_manifest_goes
    the_pack_goes_before_its_mark
    a_deletion_that_was_cut_off_is_finished_by_the_next
    an_old_mark_does_not_shorten_the_grace
    what_is_not_ours_is_left_alone
}

fn what_another_snapshot_needs_stays<S: SharedStore>(store: S) {
    let host = Host::new();
    let shared = host.snapshot(&[]);
    let old = host.snapshot(&[&shared.packs[0]]);
    let new = host.snapshot(&[&shared.packs[0]]);
    for snapshot in [&shared, &old, &new] {
        host.upload(&store, snapshot).unwrap();
    }
    assert_eq!(delete_it(&store, &old, NOW).unwrap(), swept(&old.packs[1..]));
    assert_eq!(keys(&store, "snapshots/").len(), 2);
    assert_eq!(delete_it(&store, &shared, NOW).unwrap(), Deleted::default());
    assert_eq!(host.first_flaw(&store, &new), None);
    assert_eq!(tombstones::all(&store).unwrap(), HashSet::from([old.id(), shared.id()]));
    assert_eq!(delete_it(&store, &new, NOW).unwrap(), swept(&new.packs));
    for folder in ["packs/", "marks/", "snapshots/"] {
        assert_eq!(keys(&store, folder), [""; 0], "{folder}");
    }
}

fn deleting_again_changes_nothing<S: SharedStore>(store: S) {
    let host = Host::new();
    let (gone, never) = (host.snapshot(&[]), host.snapshot(&[]));
    host.upload(&store, &gone).unwrap();
    assert_eq!(delete_it(&store, &gone, NOW).unwrap(), swept(&gone.packs));
    assert_eq!(delete_it(&store, &gone, NOW).unwrap(), Deleted::default());
    assert!(!tombstones::exists(&store, never.id()).unwrap());
    assert_eq!(delete_it(&store, &never, NOW).unwrap(), Deleted::default());
    assert!(tombstones::exists(&store, never.id()).unwrap());
}

fn marks_age_before_packs_go<S: SharedStore>(store: S) {
    let host = Host::new();
    let snapshot = host.snapshot(&[]);
    host.upload(&store, &snapshot).unwrap();
    let marked = Deleted {
        marked: 1,
        ..Deleted::default()
    };
    assert_eq!(delete_it(&store, &snapshot, DAY).unwrap(), marked);
    assert_eq!(keys(&store, "packs/"), pack_keys(&snapshot.packs));
    assert_eq!(keys(&store, "marks/"), [marks::key(snapshot.packs[0].id)]);
    assert_eq!(clear_up(&store, DAY), Deleted::default());
    // By the server's own dates.
    let (tries, second) = (100, Duration::from_secs(1));
    let found = (0..tries).map(|_| clear_up(&store, second)).find(|deleted| {
        std::thread::sleep(second / 20);
        deleted.swept == 1
    });
    assert_eq!(found.map(|deleted| deleted.marked), Some(0));
    assert_eq!(keys(&store, "packs/"), [""; 0]);
    assert_eq!(keys(&store, "marks/"), [""; 0]);
}

#[test]
fn the_grace_is_over_when_the_mark_is_as_old() {
    let (store, host) = (Memory::new(), Host::new());
    let snapshot = host.snapshot(&[]);
    host.upload(&store, &snapshot).unwrap();
    delete_it(&store, &snapshot, DAY).unwrap();
    let long_ago = store.aborted_before().unwrap();
    store.advance_clock(SignedDuration::from_hours(24) - SignedDuration::from_mins(1));
    assert_eq!(clear_up(&store, DAY), Deleted::default());
    // A server whose clock was set back: the mark is of the future.
    store.advance_clock(SignedDuration::from_hours(-100));
    assert_eq!(clear_up(&store, DAY), Deleted::default());
    store.advance_clock(SignedDuration::from_hours(100) + SignedDuration::from_mins(1));
    let deleted = clear_up(&store, DAY);
    assert_eq!((deleted.marked, deleted.swept), (0, 1));
    let day_later = store.aborted_before().unwrap() - long_ago;
    assert_eq!(
        day_later.total(jiff::Unit::Hour).unwrap().round(),
        24.0,
        "uploads are forgotten by the server's clock"
    );
}

fn what_is_needed_again_loses_its_mark<S: SharedStore>(store: S) {
    let host = Host::new();
    let old = host.snapshot(&[]);
    let (new, newer) = (host.snapshot(&[&old.packs[0]]), host.snapshot(&[&old.packs[0]]));
    host.upload(&store, &old).unwrap();
    delete_it(&store, &old, DAY).unwrap();
    let mark = marks::key(old.packs[0].id);
    assert_eq!(keys(&store, "marks/"), [mark.as_str()]);
    // By whoever settles.
    host.upload(&store, &new).unwrap();
    assert_eq!(keys(&store, "marks/"), [""; 0]);
    // By whoever sweeps, when the creator was killed before it settled.
    delete_it(&store, &new, DAY).unwrap();
    assert!(keys(&store, "marks/").contains(&mark));
    host.upload_packs(&store, &newer);
    host.publish(&store, &newer);
    assert_eq!(
        clear_up(&store, NOW).swept,
        1,
        "the pack that only the deleted one needed"
    );
    assert_eq!(keys(&store, "marks/"), [""; 0]);
    assert_eq!(host.first_flaw(&store, &newer), None);
}

fn nothing_is_swept_beside_a_manifest_that_cannot_be_read<S: SharedStore>(store: S) {
    let host = Host::new();
    let (old, other) = (host.snapshot(&[]), host.snapshot(&[]));
    host.upload(&store, &old).unwrap();
    host.upload(&store, &other).unwrap();
    let packs = keys(&store, "packs/");
    // A flipped byte of the head, the pack table cut off, a newer version.
    let good = host.bytes(&other.head.key());
    let mut flipped = good.clone();
    flipped[100] ^= 1;
    let mut newer = good.clone();
    newer[8] = 2;
    for unreadable in [&flipped[..], &good[..good.len() - 1], &newer] {
        store.put(&other.head.key(), unreadable).unwrap();
        assert_eq!(delete_it(&store, &old, NOW).unwrap(), Deleted::default());
        assert_eq!(keys(&store, "snapshots/"), [other.head.key()]);
        assert_eq!(keys(&store, "packs/"), packs);
        assert_eq!(keys(&store, "marks/"), [""; 0]);
    }
    store.put(&other.head.key(), &good).unwrap();
    assert_eq!(clear_up(&store, NOW), swept(&old.packs));
    assert_eq!(host.first_flaw(&store, &other), None);
}

fn a_manifest_that_goes_while_it_is_read_needs_nothing<S: SharedStore>(store: S) {
    let host = Host::new();
    let (old, other) = (host.snapshot(&[]), host.snapshot(&[]));
    host.upload(&store, &old).unwrap();
    host.upload(&store, &other).unwrap();
    let (behind, gone) = (store.clone(), other.head.key());
    let watched = Watched::new(&store, move |when, request| {
        if when == Moment::Before && request == format!("open {gone}") {
            behind.remove(&gone)?;
        }
        Ok(())
    });
    assert_eq!(delete_it(&watched, &old, NOW).unwrap().swept, 2);
    assert_eq!(keys(&store, "packs/"), [""; 0]);
}

fn many_manifests_are_read<S: SharedStore>(store: S) {
    let host = Host::new();
    let snapshots: Vec<_> = (0..30).map(|_| host.snapshot(&[])).collect();
    for snapshot in &snapshots {
        host.upload_packs(&store, snapshot);
        host.publish(&store, snapshot);
    }
    let damaged = snapshots[17].head.key();
    store.put(&damaged, b"rubbish").unwrap();
    assert_eq!(delete_it(&store, &snapshots[3], NOW).unwrap(), Deleted::default());
    assert_eq!(keys(&store, "packs/").len(), 30);
    store.put(&damaged, &host.bytes(&damaged)).unwrap();
    assert_eq!(clear_up(&store, NOW), swept(&snapshots[3].packs));
    for (number, snapshot) in snapshots.iter().enumerate() {
        assert_eq!(host.first_flaw(&store, snapshot).is_some(), number == 3);
    }
}

fn a_damaged_snapshot_can_be_deleted<S: SharedStore>(store: S) {
    let host = Host::new();
    let (damaged, other) = (host.snapshot(&[]), host.snapshot(&[]));
    host.upload(&store, &damaged).unwrap();
    host.upload(&store, &other).unwrap();
    store.put(&damaged.head.key(), b"rubbish").unwrap();
    assert_eq!(delete_it(&store, &damaged, NOW).unwrap(), swept(&damaged.packs));
    assert_eq!(host.first_flaw(&store, &other), None);
}

/// A deletion of one snapshot, and what it asked for in this order.
fn requests_of_a_deletion<S: SharedStore>(store: &S) -> Vec<String> {
    let host = Host::new();
    let snapshot = host.snapshot(&[]);
    host.upload(store, &snapshot).unwrap();
    let requests = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&requests);
    let watched = Watched::new(store, move |when, request| {
        if when == Moment::Before {
            log.lock()
                .unwrap()
                .push(request.split(['/', ' ']).take(2).collect::<Vec<_>>().join(" "));
        }
        Ok(())
    });
    delete_it(&watched, &snapshot, NOW).unwrap();
    let requests = requests.lock().unwrap();
    requests.clone()
}

fn place(requests: &[String], request: &str) -> usize {
    let found: Vec<usize> = (0..requests.len()).filter(|i| requests[*i] == request).collect();
    assert_eq!(found.len(), 1, "{request} in {requests:?}");
    found[0]
}

fn the_tombstone_comes_before_the_manifest_goes<S: SharedStore>(store: S) {
    let requests = requests_of_a_deletion(&store);
    assert!(place(&requests, "put deleted") < place(&requests, "remove snapshots"));
}

fn the_pack_goes_before_its_mark<S: SharedStore>(store: S) {
    let requests = requests_of_a_deletion(&store);
    assert!(place(&requests, "put marks") < place(&requests, "remove packs"));
    assert!(place(&requests, "remove packs") < place(&requests, "remove marks"));
}

fn a_deletion_that_was_cut_off_is_finished_by_the_next<S: SharedStore>(store: S) {
    let host = Host::new();
    let kept = host.snapshot(&[]);
    host.upload(&store, &kept).unwrap();
    let cuts = [
        "put deleted",
        "list snapshots",
        "remove snapshots",
        "put marks",
        "remove packs",
        "remove marks",
    ];
    for cut in cuts {
        for when in [Moment::Before, Moment::After] {
            let snapshot = host.snapshot(&[&kept.packs[0]]);
            host.upload(&store, &snapshot).unwrap();
            // A process that was killed does nothing afterwards, not even release its lease.
            let is_dead = Mutex::new(false);
            let watched = Watched::new(&store, move |at, request| {
                let mut is_dead = is_dead.lock().unwrap();
                *is_dead |= at == when && request.starts_with(cut);
                if *is_dead {
                    fail!(Internal, "killed");
                }
                Ok(())
            });
            assert_eq!(code(delete_it(&watched, &snapshot, NOW)), Some(Code::Internal), "{cut}");
            // What takes a whole TTL otherwise.
            store.remove("lease.json").unwrap();
            if (cut, when) == ("put deleted", Moment::Before) {
                assert_eq!(host.first_flaw(&store, &snapshot), None, "nothing was deleted yet");
                delete_it(&store, &snapshot, NOW).unwrap();
            }
            clear_up(&store, NOW);
            assert!(tombstones::exists(&store, snapshot.id()).unwrap(), "{cut} {when:?}");
            assert_eq!(keys(&store, "snapshots/"), [kept.head.key()], "{cut} {when:?}");
            assert_eq!(keys(&store, "packs/"), pack_keys(&kept.packs), "{cut} {when:?}");
            assert_eq!(keys(&store, "marks/"), [""; 0], "{cut} {when:?}");
            assert_eq!(host.first_flaw(&store, &kept), None, "{cut} {when:?}");
        }
    }
}

fn an_old_mark_does_not_shorten_the_grace<S: SharedStore>(store: S) {
    let host = Host::new();
    let snapshot = host.snapshot(&[]);
    host.upload(&store, &snapshot).unwrap();
    // A sweeper was killed between marking the pack and seeing the manifest.
    let old_mark = marks::key(snapshot.packs[0].id);
    store.put(&old_mark, b"old").unwrap();
    delete_it(&store, &snapshot, DAY).unwrap();
    let mark = store.get(&old_mark).unwrap().unwrap();
    assert_eq!(mark.bytes, b"{}", "the mark is a new one");
    assert_eq!(keys(&store, "packs/"), pack_keys(&snapshot.packs));
}

fn what_is_not_ours_is_left_alone<S: SharedStore>(store: S) {
    let host = Host::new();
    let snapshot = host.snapshot(&[]);
    host.upload(&store, &snapshot).unwrap();
    let id = uuid::Uuid::new_v4();
    let foreign = [
        "packs/readme.txt".to_owned(),
        format!("packs/{}", id.to_string().to_uppercase()),
        format!("packs/{id}.bak"),
        "marks/x".to_owned(),
        "deleted/x".to_owned(),
        "snapshots/snapshot_2026.db".to_owned(),
        format!("snapshots/{}.01", snapshot.id()),
    ];
    for key in &foreign {
        store.put(key, b"foreign").unwrap();
    }
    assert_eq!(delete_it(&store, &snapshot, NOW).unwrap(), swept(&snapshot.packs));
    for key in &foreign {
        assert!(store.get(key).unwrap().is_some(), "{key}");
    }
}
