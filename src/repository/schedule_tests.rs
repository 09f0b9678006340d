#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use super::*;

/// A process that ended a moment ago.
fn dead() -> Runner {
    let mut child = std::process::Command::new("true").spawn().unwrap();
    let pid = child.id() as i32;
    child.wait().unwrap();
    Runner { pid, ..Runner::ours() }
}

fn tick(hour: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 - 1_700_000_000 % 3600 + 3600 * hour).unwrap()
}

fn claim(at: Timestamp) -> Claim {
    Claim {
        id: Uuid::new_v4(),
        database: "dev.db".to_owned(),
        lineage: Uuid::nil(),
        schedule: "0 * * * *".to_owned(),
        tick: at,
        by: Runner::ours(),
        at,
        attempt: 1,
        finished: false,
    }
}

/// What is left when these were entered one after the other.
fn claims(entered: impl IntoIterator<Item = Claim>) -> Claims {
    let mut claims = Claims::default();
    entered.into_iter().for_each(|claim| claims.enter(claim));
    claims
}

fn may_claim(claims: &Claims, at: Timestamp) -> bool {
    let claim = claim(at);
    claims.holder(&claim, claims.cut_off(&claim)).is_none()
}

#[test]
fn a_tick_is_claimed_once_and_an_earlier_one_not_at_all() {
    assert!(may_claim(&Claims::default(), tick(3)));
    let claims = claims([claim(tick(2)), claim(tick(3))]);
    assert!(!may_claim(&claims, tick(3)));
    assert!(!may_claim(&claims, tick(2)));
    assert!(may_claim(&claims, tick(4)));
}

#[test]
fn databases_do_not_keep_each_other_out() {
    let claims = claims([claim(tick(3))]);
    let renamed = Claim {
        database: "prod.db".to_owned(),
        ..claim(tick(3))
    };
    let of_its_own = Claim {
        lineage: Uuid::max(),
        ..claim(tick(3))
    };
    assert_eq!(claims.holder(&renamed, None), None);
    assert_eq!(claims.holder(&of_its_own, None), None);
}

#[test]
fn a_run_whose_process_was_killed_is_made_again_once() {
    let killed = Claim {
        by: dead(),
        ..claim(tick(3))
    };
    let mut claims = claims([killed.clone()]);
    assert!(may_claim(&claims, tick(3)));
    claims.enter(killed);
    assert!(!may_claim(&claims, tick(3)));
    // The next tick counts from one again.
    claims.enter(Claim {
        by: dead(),
        ..claim(tick(4))
    });
    assert!(may_claim(&claims, tick(4)));
}

#[test]
fn a_run_that_was_given_back_is_made_as_if_nobody_had_claimed_it() {
    let mut claims = Claims::default();
    for _ in 0..3 {
        assert!(may_claim(&claims, tick(3)));
        claims.enter(claim(tick(3)));
        assert!(!may_claim(&claims, tick(3)));
        claims.give_back("dev.db", tick(2), &Runner::ours());
        assert!(!may_claim(&claims, tick(3)), "another tick's run");
        claims.give_back("dev.db", tick(3), &Runner::ours());
    }
    // Being killed still counts, and no more than once.
    let killed = Claim {
        by: dead(),
        ..claim(tick(3))
    };
    claims.enter(killed.clone());
    assert!(may_claim(&claims, tick(3)));
    claims.enter(claim(tick(3)));
    claims.give_back("dev.db", tick(3), &Runner::ours());
    assert!(may_claim(&claims, tick(3)));
    claims.enter(killed);
    assert!(!may_claim(&claims, tick(3)));
}

#[test]
fn a_claim_is_corrected_when_more_is_known_about_it() {
    let ours = claim(tick(3));
    let mut claims = claims([claim(tick(2)), ours.clone()]);
    let adopted = Claim {
        lineage: Uuid::max(),
        ..claim(tick(3))
    };
    claims.correct(Uuid::max(), |_| panic!("there is no such claim"));
    claims.correct(ours.id, |noted| noted.lineage = adopted.lineage);
    assert!(claims.holder(&adopted, None).is_some());
    assert_eq!(claims.holder(&ours, None), None);
    assert_eq!(claims.claims.len(), 1);
}

#[test]
fn a_finished_run_is_not_made_again() {
    let by = dead();
    let mut claims = claims([Claim {
        by: by.clone(),
        ..claim(tick(3))
    }]);
    claims.finish("dev.db", tick(3), &Runner::ours());
    assert!(may_claim(&claims, tick(3)), "another process's run");
    claims.finish("dev.db", tick(2), &by);
    assert!(may_claim(&claims, tick(3)), "another tick's run");
    claims.finish("dev.db", tick(3), &by);
    assert!(!may_claim(&claims, tick(3)));
}

#[test]
fn nobody_knows_whether_a_process_of_another_host_lives() {
    let elsewhere = Runner {
        host: "elsewhere".to_owned(),
        ..dead()
    };
    let claims = claims([Claim {
        by: elsewhere,
        ..claim(tick(3))
    }]);
    assert!(!may_claim(&claims, tick(3)));
}

#[test]
fn a_claim_of_a_clock_that_was_far_ahead_keeps_nobody_out() {
    let now = Timestamp::now();
    let ahead = |minutes| claims([claim(now + jiff::SignedDuration::from_mins(minutes))]);
    assert!(!may_claim(&ahead(10), now));
    assert!(may_claim(&ahead(20), now));
}

#[test]
fn the_databases_that_claimed_last_are_remembered() {
    let named = |number: usize| Claim {
        database: format!("{number}.db"),
        ..claim(tick(3))
    };
    let mut claims = claims((0..KEPT).map(named));
    claims.enter(named(0));
    claims.enter(named(KEPT));
    assert!(claims.holder(&named(0), None).is_some());
    assert!(
        claims.holder(&named(1), None).is_none(),
        "the one that was silent for longest"
    );
    assert!(claims.holder(&named(2), None).is_some());
}

#[test]
fn claims_of_a_later_version_and_rubbish_are_refused() {
    let entered = claim(tick(3));
    let bytes = claims([entered.clone()]).encode().unwrap();
    let read = Claims::decode(&bytes, "schedule.json").unwrap();
    assert_eq!(read.claims, [entered]);

    let newer = String::from_utf8(bytes)
        .unwrap()
        .replace("\"version\": 1", "\"version\": 2");
    let refused = Claims::decode(newer.as_bytes(), "schedule.json").unwrap_err();
    assert_eq!(refused.code, Code::RepositoryNewer);
    for rubbish in ["", "{}", "[1]", "{\"version\":1,\"claims\":[{}]}"] {
        let refused = Claims::decode(rubbish.as_bytes(), "schedule.json").unwrap_err();
        assert_eq!(refused.code, Code::RepositoryIo, "{rubbish}");
        assert!(refused.to_string().contains("schedule.json"), "{refused}");
    }
}
