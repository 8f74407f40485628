use std::rc::Rc;
use std::sync::Arc;

use hotswap_matcher::{
    BackendDraft, BackendState as Decided, Backends, CircuitBreakerDraft, HealthCheckDraft,
    OutlierEjectionDraft, PoolDraft, PoolSpec,
};

use super::*;

fn draft(addresses: &[&str]) -> PoolDraft {
    let backends = addresses.iter().map(|a| BackendDraft { address: (*a).into(), ..Default::default() });
    PoolDraft { backends: backends.collect(), ..PoolDraft::default() }
}

fn parsed(draft: &PoolDraft) -> Backends {
    PoolSpec::parse(draft).expect("valid").backends().clone()
}

fn backends(addresses: &[&str]) -> Backends {
    parsed(&draft(addresses))
}

fn with_breaker(addresses: &[&str], failure_threshold: u32) -> Backends {
    let circuit_breaker =
        CircuitBreakerDraft { failure_threshold, open_ms: 100, ..CircuitBreakerDraft::default() };
    parsed(&PoolDraft { circuit_breaker: Some(circuit_breaker), ..draft(addresses) })
}

fn handle(pool: &PoolStates, place: usize) -> Handle {
    Rc::new(Arc::clone(&pool.members()[place]))
}

/// A request that ends so, at `now`.
fn request(handle: &Handle, outcome: Outcome, now: u64) {
    BackendState::begin(handle, now).expect("usable").report(outcome, now);
}

#[test]
fn an_address_keeps_its_state_while_its_pool_changes() {
    let states = States::default();
    let before = states.put("pools/p", &backends(&["a:1", "b:1"]));
    let other = states.put("pools/q", &backends(&["b:1"]));
    let after = states.put("pools/p", &backends(&["c:1", "b:1"]));
    assert!(Arc::ptr_eq(&before.members()[1], &after.members()[1]));
    assert!(!Arc::ptr_eq(&before.members()[1], &other.members()[0]), "another pool has its own");
    states.remove("pools/p");
    assert!(states.pool("pools/p").is_none());
}

#[test]
fn requests_in_flight_are_counted_and_let_go() {
    let pool = States::default().put("pools/p", &backends(&["a:1"]));
    let handle = handle(&pool, 0);
    let first = BackendState::begin(&handle, 1).expect("usable");
    let second = BackendState::begin(&handle, 1).expect("usable");
    assert_eq!((handle.active(), handle.requests()), (2, 2));
    drop(first);
    second.report(Outcome::Status(200), 2);
    drop(second);
    assert_eq!((handle.active(), handle.requests()), (0, 2));
}

#[test]
fn an_open_breaker_stays_open_over_a_change_and_half_open_lets_one_try() {
    let states = States::default();
    let pool = states.put("pools/p", &with_breaker(&["a:1"], 2));
    let a = handle(&pool, 0);
    request(&a, Outcome::Status(503), 10);
    assert!(a.usable(10));
    request(&a, Outcome::Unreachable, 10);
    assert!(!a.usable(10) && !a.usable(109));
    let pool = states.put("pools/p", &with_breaker(&["b:1", "a:1"], 2));
    let a = handle(&pool, 1);
    assert!(!a.usable(109) && a.usable(110));
    let trial = BackendState::begin(&a, 110).expect("a trial");
    assert!(!a.usable(110), "the only trial is under way");
    assert!(BackendState::begin(&a, 110).is_none());
    trial.report(Outcome::Status(429), 111);
    assert!(a.usable(111), "a 429 makes room, and does not close it");
    assert_eq!(a.view(111).breaker, Some(BreakerState::HalfOpen));
    request(&a, Outcome::Status(200), 112);
    assert_eq!(a.view(112).breaker, Some(BreakerState::Closed));
}

#[test]
fn cores_share_one_breaker() {
    let pool = States::default().put("pools/p", &with_breaker(&["a:1"], 5));
    let threads: Vec<_> = (0..5)
        .map(|_| {
            let state = Arc::clone(&pool.members()[0]);
            std::thread::spawn(move || request(&Rc::new(state), Outcome::NoAnswer, 1))
        })
        .collect();
    threads.into_iter().for_each(|t| t.join().expect("ends"));
    assert!(!pool.members()[0].usable(1));
    let trials: Vec<_> = (0..8)
        .map(|_| {
            let state = Arc::clone(&pool.members()[0]);
            std::thread::spawn(move || match BackendState::begin(&Rc::new(state), 101) {
                // Kept under way, as a slow backend would.
                Some(trial) => {
                    std::mem::forget(trial);
                    1
                }
                None => 0,
            })
        })
        .collect();
    assert_eq!(trials.into_iter().map(|t| t.join().expect("ends")).sum::<u32>(), 1, "trials in all");
}

#[test]
fn a_trial_whose_client_goes_away_makes_room() {
    let pool = States::default().put("pools/p", &with_breaker(&["a:1"], 1));
    let a = handle(&pool, 0);
    request(&a, Outcome::NoAnswer, 1);
    drop(BackendState::begin(&a, 101).expect("a trial"));
    assert!(a.usable(101));
}

#[test]
fn a_body_that_is_cut_is_no_success() {
    let pool = States::default().put("pools/p", &with_breaker(&["a:1"], 2));
    let a = handle(&pool, 0);
    for now in 1..=2 {
        let cut = BackendState::begin(&a, now).expect("usable");
        cut.report(Outcome::Status(200), now);
        cut.report(Outcome::NoAnswer, now);
    }
    assert!(!a.usable(2));
}

#[test]
fn an_operator_holds_a_breaker_open_or_closed_and_drains() {
    let states = States::default();
    let hold = |state| {
        let mut backends = with_breaker(&["a:1"], 1);
        backends.backends[0].state = state;
        handle(&states.put("pools/p", &backends), 0)
    };
    for state in [Decided::Drained, Decided::ForcedOpen] {
        let a = hold(state);
        assert!(!a.usable(u64::MAX - 1) && BackendState::begin(&a, u64::MAX - 1).is_none());
    }
    let a = hold(Decided::ForcedClosed);
    (0..10).for_each(|_| request(&a, Outcome::Status(500), 1));
    assert!(a.usable(1));
    let a = hold(Decided::Enabled);
    request(&a, Outcome::Status(500), 1);
    assert!(!a.usable(1));
}

#[test]
fn ejection_leaves_most_of_a_pool_and_what_goes_makes_room() {
    let names: Vec<String> = (0..10).map(|n| format!("b{n}:1")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let ejection = OutlierEjectionDraft {
        consecutive_failures: 1,
        base_ms: 100,
        max_ejected_percent: 30,
        ..OutlierEjectionDraft::default()
    };
    let of = |names| parsed(&PoolDraft { outlier_ejection: Some(ejection.clone()), ..draft(names) });
    let states = States::default();
    let pool = states.put("pools/p", &of(&names));
    (0..10).for_each(|n| request(&handle(&pool, n), Outcome::Status(500), 1));
    let out = |pool: &PoolStates, now| pool.members().iter().filter(|m| !m.usable(now)).count();
    assert_eq!(out(&pool, 1), 3);
    // The first three are out; two of them leave the pool.
    drop(pool);
    let pool = states.put("pools/p", &of(&names[2..]));
    assert_eq!(out(&pool, 1), 1);
    request(&handle(&pool, 1), Outcome::Status(500), 1);
    request(&handle(&pool, 2), Outcome::Status(500), 1);
    assert_eq!(out(&pool, 1), 2, "30 % of eight are two");
    assert_eq!(out(&pool, 101), 0);
}

#[test]
fn checks_need_as_many_in_a_row_as_they_say() {
    let check = HealthCheckDraft { unhealthy_threshold: 3, healthy_threshold: 2, ..Default::default() };
    let of = |check| parsed(&PoolDraft { health_check: check, ..draft(&["a:1"]) });
    let states = States::default();
    let pool = states.put("pools/p", &of(Some(check)));
    let a = handle(&pool, 0);
    for (ok, usable) in [
        (false, true),
        (false, true),
        (true, true),
        (false, true),
        (false, true),
        (false, false),
        (true, false),
        (false, false),
        (true, false),
        (true, true),
    ] {
        a.checked(ok);
        assert_eq!(a.usable(1), usable);
    }
    for _ in 0..3 {
        a.checked(false);
    }
    assert!(!a.usable(1));
    states.put("pools/p", &of(None));
    assert!(a.usable(1), "without checks nothing is unhealthy");
}
