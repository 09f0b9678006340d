//! Hosts that work at once, in all orders of their requests with up to three changes of turn.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::sync::Mutex;
use std::time::Duration;

use super::memory::Memory;
use super::testing::{Host, PATIENT, Snapshot, delete, keys};
use super::{deletion, pins, tombstones};
use crate::error::Code;

const NOW: Duration = Duration::ZERO;

/// A host at work.
pub(super) type Work<'a> = &'a (dyn Fn(Memory) + Sync);

/// Tries the hosts in many orders, each time on a bucket that holds what `bucket` does: the turn
/// changes after every one, two or three of their requests (of three hosts, after some pairs).
pub(super) fn in_every_order(bucket: &Memory, hosts: &[Work], check: impl Fn(&Memory, &str)) {
    for first in 0..hosts.len() {
        let mut hosts = hosts.to_vec();
        hosts.rotate_left(first);
        let try_with = |switches: &[usize]| {
            let bucket = bucket.copy();
            let requests = bucket.interleave(switches, &hosts);
            check(&bucket, &format!("host {first} first, turns after {switches:?}"));
            requests
        };
        let requests = try_with(&[]);
        for one in 0..=requests {
            try_with(&[one]);
            if hosts.len() == 2 {
                for two in one + 1..=requests {
                    try_with(&[one, two]);
                    (two + 1..=requests).for_each(|three| _ = try_with(&[one, two, three]));
                }
            } else {
                (one + 1..=requests)
                    .step_by(5)
                    .for_each(|two| _ = try_with(&[one, two]));
            }
        }
    }
}

/// What holds at the end, whatever the order was.
fn check_that_all_is_whole(bucket: &Memory, host: &Host, uploaded: &[&Snapshot], deleted: &[&Snapshot], order: &str) {
    for snapshot in uploaded {
        assert_eq!(host.first_flaw(bucket, snapshot), None, "{order}");
    }
    for snapshot in deleted {
        assert!(tombstones::exists(bucket, snapshot.id()).unwrap(), "{order}");
        assert!(!keys(bucket, "snapshots/").contains(&snapshot.head.key()), "{order}");
    }
}

#[test]
fn a_creator_that_shares_packs_with_what_another_host_deletes() {
    let (bucket, host) = (Memory::new(), Host::new());
    let old = host.snapshot(&[]);
    let new = host.snapshot(&[&old.packs[0]]);
    host.upload(&bucket, &old).unwrap();
    let create = |store: Memory| host.upload(&store, &new).unwrap();
    let remove = |store: Memory| {
        delete(&store, &old, NOW).unwrap();
    };
    in_every_order(&bucket, &[&create, &remove], |bucket, order| {
        check_that_all_is_whole(bucket, &host, &[&new], &[&old], order);
    });
}

#[test]
fn a_creator_between_two_hosts_that_delete() {
    let (bucket, host) = (Memory::new(), Host::new());
    let (one, two) = (host.snapshot(&[]), host.snapshot(&[]));
    let new = host.snapshot(&[&one.packs[0], &two.packs[0]]);
    host.upload(&bucket, &one).unwrap();
    host.upload(&bucket, &two).unwrap();
    let create = |store: Memory| host.upload(&store, &new).unwrap();
    let remove_one = |store: Memory| {
        delete(&store, &one, NOW).unwrap();
    };
    let remove_two = |store: Memory| {
        delete(&store, &two, NOW).unwrap();
    };
    in_every_order(&bucket, &[&create, &remove_one, &remove_two], |bucket, order| {
        check_that_all_is_whole(bucket, &host, &[&new], &[&one, &two], order);
    });
}

#[test]
fn a_snapshot_that_is_deleted_while_another_host_mirrors_it() {
    let (bucket, host) = (Memory::new(), Host::new());
    let snapshot = host.snapshot(&[]);
    let mirror = |store: Memory| {
        if tombstones::exists(&store, snapshot.id()).unwrap() {
            return;
        }
        if let Err(error) = host.upload(&store, &snapshot) {
            assert_eq!(error.code, Code::UploadFailed);
        }
    };
    let remove = |store: Memory| {
        delete(&store, &snapshot, NOW).unwrap();
    };
    in_every_order(&bucket, &[&mirror, &remove], |bucket, order| {
        check_that_all_is_whole(bucket, &host, &[], &[&snapshot], order);
    });
}

#[test]
fn a_snapshot_that_is_pinned_while_another_host_deletes_it() {
    let (bucket, host) = (Memory::new(), Host::new());
    let snapshot = host.snapshot(&[]);
    host.upload(&bucket, &snapshot).unwrap();
    let alive = || Ok(());
    let told = Mutex::new(None);
    let pin = |store: Memory| {
        *told.lock().unwrap() = Some(pins::put(&store, snapshot.id(), PATIENT, &alive).unwrap());
    };
    let remove = |store: Memory| {
        let lease = deletion::turn(&store, "deleteSnapshot", PATIENT, &alive).unwrap();
        if !pins::all(&store).unwrap().contains(&snapshot.id()) {
            deletion::delete_all(&lease, &[snapshot.id()], NOW, &alive).unwrap();
        }
    };
    in_every_order(&bucket, &[&pin, &remove], |bucket, order| {
        let is_pinned = told.lock().unwrap().take().unwrap();
        assert_eq!(
            pins::all(bucket).unwrap().contains(&snapshot.id()),
            is_pinned,
            "{order}"
        );
        assert_eq!(
            tombstones::exists(bucket, snapshot.id()).unwrap(),
            !is_pinned,
            "{order}"
        );
        assert_eq!(host.first_flaw(bucket, &snapshot).is_none(), is_pinned, "{order}");
    });
}
