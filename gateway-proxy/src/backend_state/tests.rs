use std::rc::Rc;
use std::sync::Arc;

use hotswap_matcher::{BackendDraft, Backends, PoolDraft, PoolSpec};

use super::*;

fn backends(addresses: &[&str]) -> Backends {
    let backends = addresses.iter().map(|a| BackendDraft { address: (*a).into(), ..Default::default() });
    let draft = PoolDraft { backends: backends.collect(), ..PoolDraft::default() };
    PoolSpec::parse(&draft).expect("valid").backends().clone()
}

#[test]
fn an_address_keeps_its_state_while_its_pool_changes() {
    let states = States::default();
    let before = states.put("pools/p", &backends(&["a:1", "b:1"]));
    let other = states.put("pools/q", &backends(&["b:1"]));
    let after = states.put("pools/p", &backends(&["c:1", "b:1"]));
    assert!(Arc::ptr_eq(&before.members()[1], &after.members()[1]));
    assert!(!Arc::ptr_eq(&before.members()[1], &other.members()[0]), "another pool has its own");
}

#[test]
fn requests_in_flight_are_counted_and_let_go() {
    let pool = States::default().put("pools/p", &backends(&["a:1"]));
    let handle: Handle = Rc::new(Arc::clone(&pool.members()[0]));
    let first = BackendState::begin(&handle, 1).expect("usable");
    let second = BackendState::begin(&handle, 1).expect("usable");
    assert_eq!(handle.active(), 2);
    drop(first);
    second.report(Outcome::Status(200), 2);
    drop(second);
    assert_eq!(handle.active(), 0);
}
