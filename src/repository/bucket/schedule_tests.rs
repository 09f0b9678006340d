#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::sync::Mutex;

use jiff::Timestamp;

use super::super::memory::Memory;
use super::super::races_tests::in_every_order;
use super::*;
use crate::error::Code;
use crate::repository::schedule::Runner;

/// What a host claims whose database has that key, or one of its own.
fn draft(host: &str, lineage: Option<Uuid>) -> Claim {
    let tick = Timestamp::from_second(1_700_000_000).unwrap();
    Claim {
        id: Uuid::new_v4(),
        database: "dev.db".to_owned(),
        lineage: lineage.unwrap_or_else(Uuid::new_v4),
        schedule: "0 * * * *".to_owned(),
        tick,
        by: Runner {
            pid: 1,
            host: host.to_owned(),
            started: None,
        },
        at: tick,
        attempt: 1,
        finished: false,
    }
}

/// Hosts claim at the same time, in every order, in an unused bucket and in one where another
/// database's run was claimed. `check` is shown the outcomes.
fn race(hosts: &[(&str, Option<Uuid>)], check: impl Fn(&[(Claim, Option<Claim>)], &str)) {
    let outcomes = Mutex::new(Vec::new());
    let work = hosts.iter().map(|(host, lineage)| {
        let outcomes = &outcomes;
        move |store: Memory| {
            let draft = draft(host, *lineage);
            let holder = claim(&store, &draft, None).unwrap();
            outcomes.lock().unwrap().push((draft, holder));
        }
    });
    let work: Vec<_> = work.collect();
    let work: Vec<&(dyn Fn(Memory) + Sync)> = work.iter().map(|work| work as _).collect();
    let used = Memory::new();
    let of_another = Claim {
        database: "another.db".to_owned(),
        ..draft("elsewhere", None)
    };
    claim(&used, &of_another, None).unwrap();
    for bucket in [Memory::new(), used] {
        in_every_order(&bucket, &work, |_, order| {
            let mut outcomes = outcomes.lock().unwrap();
            assert_eq!(outcomes.len(), hosts.len(), "{order}");
            check(&outcomes, order);
            outcomes.clear();
        });
    }
}

#[test]
fn of_several_hosts_with_one_database_one_claims_the_tick() {
    let lineage = Some(Uuid::nil());
    race(&[("a", lineage), ("b", lineage), ("c", lineage)], |outcomes, order| {
        let winners: Vec<_> = outcomes.iter().filter(|(_, holder)| holder.is_none()).collect();
        assert_eq!(winners.len(), 1, "{order}");
        for (_, holder) in outcomes {
            assert!(holder.as_ref().is_none_or(|holder| *holder == winners[0].0), "{order}");
        }
    });
}

#[test]
fn hosts_with_databases_of_their_own_all_claim_the_tick() {
    let own = || Some(Uuid::new_v4());
    race(&[("a", own()), ("b", own())], |outcomes, order| {
        assert!(outcomes.iter().all(|(_, holder)| holder.is_none()), "{order}");
    });
}

/// The answer to a write was lost, and somebody else wrote before it was repeated.
#[test]
fn a_claim_that_is_there_already_is_ours() {
    let bucket = Memory::new();
    let ours = draft("a", None);
    assert_eq!(claim(&bucket, &ours, None).unwrap(), None);
    let of_another = Claim {
        database: "another.db".to_owned(),
        ..draft("b", None)
    };
    assert_eq!(claim(&bucket, &of_another, None).unwrap(), None);
    let known = ours.clone();
    assert_eq!(claim(&bucket, &ours, None).unwrap(), None);
    assert_eq!(ours, known);
    assert_eq!(
        claim(&bucket, &draft("c", Some(known.lineage)), None).unwrap(),
        Some(known)
    );
}

#[test]
fn what_cannot_be_understood_is_not_overwritten() {
    let bucket = Memory::new();
    bucket.put(KEY, b"rubbish").unwrap();
    let refused = claim(&bucket, &draft("a", None), None).unwrap_err();
    assert_eq!(refused.code, Code::RepositoryIo);
    assert_eq!(bucket.get(KEY).unwrap().unwrap().bytes, b"rubbish");
}

#[test]
fn a_run_that_is_known_to_be_cut_off_is_made_again_by_whoever_knows() {
    let bucket = Memory::new();
    let lineage = Some(Uuid::nil());
    let killed = draft("a", lineage);
    let again = draft("a", lineage);
    assert_eq!(claim(&bucket, &killed, None).unwrap(), None);
    assert_eq!(claim(&bucket, &again, None).unwrap(), Some(killed.clone()));
    assert_eq!(claim(&bucket, &again, Some(killed.id)).unwrap(), None);
    // Somebody else was faster with it.
    let late = draft("a", lineage);
    let holder = claim(&bucket, &late, Some(killed.id)).unwrap().unwrap();
    assert_eq!((holder.id, holder.attempt), (again.id, 2));
}
