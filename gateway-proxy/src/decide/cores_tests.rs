//! Several cores at once: each has its own picker, the states of the backends are shared.

use std::sync::{Arc, Barrier};

use hotswap_core::{PoolName, ResourceName as _};
use hotswap_matcher::{BackendDraft, BalancingDraft, HashKeyDraft, LoadBalancingDraft, PoolDraft, PoolSpec};

use super::{ByAddress, Targets};
use crate::balance::Wish;
use crate::config::{Catalog, PoolEntry};

const CORES: usize = 4;
const EACH: usize = 250;

fn entry(strategy: LoadBalancingDraft, balancing: Option<BalancingDraft>) -> Arc<PoolEntry> {
    let backend = |i| BackendDraft { address: format!("b{i}:80"), ..BackendDraft::default() };
    let draft = PoolDraft {
        backends: (0..5).map(backend).collect(),
        load_balancing: strategy,
        balancing,
        ..PoolDraft::default()
    };
    let mut catalog = Catalog::default();
    catalog.put_pool(&PoolName::from_id("p").expect("id"), &PoolSpec::parse(&draft).expect("valid"));
    Arc::clone(catalog.compile(1).pool(0).expect("there"))
}

/// Every core begins requests, and none ends, until all have begun: what each backend has then.
fn begun_on_all(entry: &Arc<PoolEntry>, wish: Wish) -> Vec<u32> {
    let full = Barrier::new(CORES + 1);
    let read = Barrier::new(CORES + 1);
    std::thread::scope(|scope| {
        for core in 0..CORES {
            let (full, read) = (&full, &read);
            scope.spawn(move || {
                let mut targets = Targets::new(core);
                let begin = |n: usize| {
                    let now = 1 + n as u64 / 50 * 25;
                    targets.pick(0, entry, &wish, &|_| false, &mut ByAddress, now).expect("takes requests")
                };
                let held: Vec<_> = (0..EACH).map(begin).collect();
                full.wait();
                read.wait();
                drop(held);
            });
        }
        full.wait();
        let active = entry.states().members().iter().map(|s| s.active()).collect();
        read.wait();
        active
    })
}

#[test]
fn cores_together_keep_the_fewest_in_flight_everywhere() {
    let entry = entry(LoadBalancingDraft::LeastConnections, None);
    let active = begun_on_all(&entry, Wish::default());
    assert_eq!(active.iter().sum::<u32>() as usize, CORES * EACH);
    // Two cores that look at once may choose the same one.
    assert!(active.iter().all(|n| n.abs_diff(200) <= CORES as u32), "{active:?}");
    assert!(entry.states().members().iter().all(|s| s.active() == 0), "all have ended");
}

#[test]
fn a_bounded_load_holds_over_all_cores() {
    let hash = HashKeyDraft { header: Some("x".into()), load_limit_percent: 150, ..HashKeyDraft::default() };
    let balancing = BalancingDraft { hash: Some(hash), ..BalancingDraft::default() };
    let entry = entry(LoadBalancingDraft::Hash, Some(balancing));
    // All ask for the same key.
    let active = begun_on_all(&entry, Wish { hash: Some(7), ..Wish::default() });
    // 1.5 times 200, and one more for each other core that looked at the same time.
    assert!(active.iter().all(|n| *n <= 300 + CORES as u32), "{active:?}");
    assert!(active.iter().any(|n| *n >= 295), "{active:?}: the key's own backend is full");
}

#[test]
fn power_of_two_on_many_cores_leaves_none_idle_and_floods_none() {
    let entry = entry(LoadBalancingDraft::PowerOfTwo, None);
    let active = begun_on_all(&entry, Wish::default());
    assert!(active.iter().all(|n| n.abs_diff(200) <= 20), "{active:?}");
}
