//! The lease: one holder at a time, whatever happens to holders and answers.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::sync::atomic::AtomicUsize;

use super::*;
use crate::repository::bucket::memory::Memory;
use crate::repository::bucket::sweep::mark_and_sweep;
use crate::repository::bucket::testing::{Host, Moment as When, PATIENT, Watched, keys, on_every_bucket};
use crate::repository::bucket::tombstones;
use crate::repository::testing::code;

/// Long enough for renewals on a busy machine, short enough to be waited for.
const SHORT: Duration = Duration::from_secs(2);

on_every_bucket! {
    it_has_one_holder_at_a_time
    who_waits_gets_it_when_it_is_released
    who_waits_gives_up_when_the_application_is_gone
    it_is_never_taken_from_a_holder_that_renews
    it_is_taken_over_from_a_holder_that_is_silent
    a_holder_that_cannot_renew_stops_before_others_take_over
    a_renewal_whose_answer_was_lost_counts
    a_removal_without_an_answer_keeps_others_out
    what_is_no_lease_expires
    a_newer_lease_is_refused
    its_time_is_the_servers
    who_lost_it_stops_sweeping
}

fn acquire<S: SharedStore>(store: &S, timeout: Duration) -> Result<Lease<S>> {
    Lease::acquire_for(SHORT, store, "deleteSnapshot", timeout, &|| Ok(()))
}

fn holder(store: &impl SharedStore) -> Option<Uuid> {
    let found = store.get(KEY).unwrap().unwrap();
    Note::decode(&found.bytes).unwrap().unwrap().holder
}

fn unreachable<T>() -> Result<T> {
    fail!(S3Unreachable, "the network is down")
}

/// The same bucket behind a network that can go down.
fn breakable<S: SharedStore>(store: &S) -> (Watched<S>, Arc<AtomicBool>) {
    let is_down = Arc::new(AtomicBool::new(false));
    let network = Arc::clone(&is_down);
    let hook = move |_, _: &str| {
        if network.load(Ordering::SeqCst) {
            unreachable()
        } else {
            Ok(())
        }
    };
    (Watched::new(store, hook), is_down)
}

fn it_has_one_holder_at_a_time<S: SharedStore>(store: S) {
    let first = acquire(&store, Duration::ZERO).unwrap();
    first.check().unwrap();
    let Err(refused) = acquire(&store, Duration::ZERO) else {
        panic!("two hold it");
    };
    assert_eq!(refused.code, Code::RepositoryBusy);
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    for part in ["deleteSnapshot", &host, &std::process::id().to_string()] {
        assert!(refused.to_string().contains(part), "{refused}");
    }
    drop(first);
    assert_eq!(holder(&store), None);
    for _ in 0..3 {
        let next = acquire(&store, Duration::ZERO).unwrap();
        assert_eq!(holder(&store), Some(next.held.me));
        next.check().unwrap();
    }
}

fn who_waits_gets_it_when_it_is_released<S: SharedStore>(store: S) {
    let first = acquire(&store, Duration::ZERO).unwrap();
    let (asked, has_asked) = channel();
    let watched = Watched::new(&store, move |when, request| {
        if (when, request) == (When::After, "get lease.json") {
            let _ = asked.send(());
        }
        Ok(())
    });
    std::thread::scope(|scope| {
        let second = scope.spawn(|| acquire(&watched, PATIENT).map(|lease| lease.check()));
        // It has met the holder, and looked again.
        has_asked.recv().unwrap();
        has_asked.recv().unwrap();
        first.check().unwrap();
        drop(first);
        second.join().unwrap().unwrap().unwrap();
    });
}

fn who_waits_gives_up_when_the_application_is_gone<S: SharedStore>(store: S) {
    let _held = acquire(&store, Duration::ZERO).unwrap();
    let asked = AtomicUsize::new(0);
    let alive = || match asked.fetch_add(1, Ordering::Relaxed) {
        0..3 => Ok(()),
        _ => fail!(Aborted, "gone"),
    };
    let refused = Lease::acquire(&store, "deleteSnapshot", PATIENT, &alive);
    assert_eq!(code(refused.map(drop)), Some(Code::Aborted));
}

fn it_is_never_taken_from_a_holder_that_renews<S: SharedStore>(store: S) {
    let first = acquire(&store, Duration::ZERO).unwrap();
    let second = acquire(&store, SHORT * 2);
    assert_eq!(code(second.map(drop)), Some(Code::RepositoryBusy));
    first.check().unwrap();
    assert_eq!(holder(&store), Some(first.held.me));
}

fn it_is_taken_over_from_a_holder_that_is_silent<S: SharedStore>(store: S) {
    let (watched, is_down) = breakable(&store);
    let first = acquire(&watched, Duration::ZERO).unwrap();
    is_down.store(true, Ordering::SeqCst);
    let second = acquire(&store, PATIENT).unwrap();
    is_down.store(false, Ordering::SeqCst);
    let lost = first.check().unwrap_err();
    assert_eq!(lost.code, Code::RepositoryBusy);
    assert!(lost.to_string().contains("lost"), "{lost}");
    assert_eq!(code(first.remove("packs/a")), Some(Code::RepositoryBusy));
    assert_eq!(code(first.now()), Some(Code::RepositoryBusy));
    drop(first);
    assert_eq!(
        holder(&store),
        Some(second.held.me),
        "the loser releases what is not its own"
    );
    second.check().unwrap();
}

fn a_holder_that_cannot_renew_stops_before_others_take_over<S: SharedStore>(store: S) {
    let (watched, is_down) = breakable(&store);
    let lease = acquire(&watched, Duration::ZERO).unwrap();
    is_down.store(true, Ordering::SeqCst);
    let since = Instant::now();
    while lease.check().is_ok() {
        assert!(since.elapsed() < PATIENT, "it never stops");
        std::thread::sleep(POLL);
    }
    assert_eq!(code(lease.check()), Some(Code::S3Unreachable));
    is_down.store(false, Ordering::SeqCst);
    lease.check().unwrap();
    assert_eq!(holder(&store), Some(lease.held.me), "nobody took it over");
}

fn a_renewal_whose_answer_was_lost_counts<S: SharedStore>(store: S) {
    let lost = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&lost);
    let watched = Watched::new(&store, move |when, request| {
        // Every other one is written, and nobody hears of it.
        if (when, request) == (When::After, "put_over lease.json")
            && counter.fetch_add(1, Ordering::SeqCst).is_multiple_of(2)
        {
            return unreachable();
        }
        Ok(())
    });
    let lease = acquire(&watched, Duration::ZERO).unwrap();
    for _ in 0..4 {
        let _ = lease.now();
    }
    assert!(lost.load(Ordering::SeqCst) >= 4);
    lease.check().unwrap();
    assert_eq!(holder(&store), Some(lease.held.me));
    drop(lease);
}

fn a_removal_without_an_answer_keeps_others_out<S: SharedStore>(store: S) {
    let watched = Watched::new(&store, |_, request| match request {
        "remove packs/a" => unreachable(),
        _ => Ok(()),
    });
    let lease = acquire(&watched, Duration::ZERO).unwrap();
    assert_eq!(code(lease.remove("packs/a")), Some(Code::S3Unreachable));
    drop(lease);
    assert!(holder(&store).is_some(), "the removal may still arrive");
    assert_eq!(
        code(acquire(&store, Duration::ZERO).map(drop)),
        Some(Code::RepositoryBusy)
    );
    acquire(&store, PATIENT).unwrap();
}

fn what_is_no_lease_expires<S: SharedStore>(store: S) {
    for content in ["", "no JSON", "{}", r#"{"version":1,"holder":7}"#] {
        store.put(KEY, content.as_bytes()).unwrap();
        assert_eq!(
            code(acquire(&store, Duration::ZERO).map(drop)),
            Some(Code::RepositoryBusy),
            "{content:?}"
        );
    }
    acquire(&store, PATIENT).unwrap().check().unwrap();
    assert_eq!(holder(&store), None);
}

fn a_newer_lease_is_refused<S: SharedStore>(store: S) {
    store.put(KEY, br#"{"version":2,"rules":"unknown"}"#).unwrap();
    assert_eq!(code(acquire(&store, PATIENT).map(drop)), Some(Code::RepositoryNewer));
}

fn its_time_is_the_servers<S: SharedStore>(store: S) {
    let lease = acquire(&store, Duration::ZERO).unwrap();
    let earlier = lease.now().unwrap();
    store.put("marks/probe", b"{}").unwrap();
    let written = store.list("marks/").unwrap()[0].modified;
    let later = lease.now().unwrap();
    // Answers give whole seconds, listings may be more precise.
    let second = jiff::SignedDuration::from_secs(1);
    assert!(earlier - second < written && written < later + second);
}

fn who_lost_it_stops_sweeping<S: SharedStore>(store: S) {
    let host = Host::new();
    let other = host.snapshot(&[]);
    let snapshot = host.snapshot(&[&other.packs[0]]);
    host.upload(&store, &snapshot).unwrap();
    let thief = store.clone();
    let watched = Watched::new(&store, move |when, request| {
        if when == When::After && request.starts_with("remove packs/") {
            // Another host takes the lease over, and this one was silent for as long as it has to be for that.
            thief.put(KEY, &Note::new(Uuid::new_v4(), "another", SHORT).encode()?)?;
            std::thread::sleep(SHORT / USABLE);
        }
        Ok(())
    });
    let lease = acquire(&watched, Duration::ZERO).unwrap();
    tombstones::put(&store, snapshot.id()).unwrap();
    assert_eq!(code(mark_and_sweep(&lease, Duration::ZERO)), Some(Code::RepositoryBusy));
    assert_eq!(keys(&store, "packs/").len(), 1, "the second pack stays");
    assert_eq!(keys(&store, "marks/").len(), 2, "and so does every mark");
}

#[test]
fn its_time_goes_with_the_servers_clock() {
    let store = Memory::new();
    let lease = acquire(&store, Duration::ZERO).unwrap();
    let before = lease.now().unwrap();
    store.advance_clock(jiff::SignedDuration::from_hours(-100));
    assert!(lease.now().unwrap() < before);
    lease.check().unwrap();
}

#[test]
fn nobody_holds_one_where_conditions_are_ignored() {
    let refused = acquire(&Memory::new().without_conditions(), PATIENT).map(drop);
    assert_eq!(code(refused), Some(Code::S3Unsupported));
}

#[test]
fn a_machine_that_slept_or_whose_clock_was_set_does_not_think_the_lease_young() {
    let hour = Duration::from_secs(3600);
    let slept = Moment {
        wall: SystemTime::now() - hour,
        ..Moment::now()
    };
    assert!(slept.age() >= hour);
    let set_back = Moment {
        wall: SystemTime::now() + hour,
        monotonic: Instant::now().checked_sub(Duration::from_secs(1)).unwrap(),
    };
    assert!(set_back.age() >= Duration::from_secs(1));
}
