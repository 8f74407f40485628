use hotswap_matcher::{
    BackendDraft, BackendState, BalancingDraft, HashKeyDraft, HeaderRuleDraft, HeaderRulesDraft,
    LoadBalancingDraft, PoolDraft, PoolSpec,
};
use proptest::prelude::*;

use super::*;

mod distribution;
mod failures;
mod history;

/// Backends as a test sets them.
#[derive(Clone, Debug, Default)]
struct World {
    down: Vec<usize>,
    tried: Vec<usize>,
    active: Vec<u32>,
    latency: Vec<Option<f64>>,
}

impl View for World {
    fn usable(&self, place: usize) -> bool {
        !self.down.contains(&place)
    }
    fn tried(&self, place: usize) -> bool {
        self.tried.contains(&place)
    }
    fn active(&self, place: usize) -> u32 {
        self.active.get(place).copied().unwrap_or(0)
    }
    fn latency(&self, place: usize) -> Option<f64> {
        self.latency.get(place).copied().flatten()
    }
}

/// A pool, its picker, and the time.
struct Subject {
    backends: Backends,
    picker: Picker,
    world: World,
    now: u64,
}

fn weights(all: &[u32]) -> Vec<BackendDraft> {
    let backend = |(i, w): (usize, &u32)| BackendDraft {
        address: format!("b{i}:80"),
        weight: Some(*w),
        ..BackendDraft::default()
    };
    all.iter().enumerate().map(backend).collect()
}

fn parsed(backends: Vec<BackendDraft>, load_balancing: LoadBalancingDraft, b: BalancingDraft) -> Backends {
    let draft = PoolDraft { backends, load_balancing, balancing: Some(b), ..PoolDraft::default() };
    PoolSpec::parse(&draft).expect("valid").backends().clone()
}

impl Subject {
    fn with(backends: Vec<BackendDraft>, strategy: LoadBalancingDraft, options: BalancingDraft) -> Self {
        let backends = parsed(backends, strategy, options);
        let picker = Picker::new(&backends, 0);
        Self { backends, picker, world: World::default(), now: 1 }
    }

    fn of(strategy: LoadBalancingDraft, all: &[u32]) -> Self {
        Self::with(weights(all), strategy, BalancingDraft::default())
    }

    /// By a hash of a header, with a limit or without.
    fn hashing(all: &[u32], load_limit_percent: u32) -> Self {
        let hash = HashKeyDraft { header: Some("x".into()), load_limit_percent, ..HashKeyDraft::default() };
        Self::with(
            weights(all),
            LoadBalancingDraft::Hash,
            BalancingDraft { hash: Some(hash), ..BalancingDraft::default() },
        )
    }

    fn picked(&mut self, wish: Wish) -> Option<Picked> {
        self.picker.pick(&wish, &self.backends.balancing.strategy, &self.world, self.now)
    }

    fn pick(&mut self) -> Option<usize> {
        self.picked(Wish::default()).map(|p| p.place)
    }

    fn by_key(&mut self, key: u64) -> Option<usize> {
        self.picked(Wish { hash: Some(hash::of(&key.to_be_bytes())), ..Wish::default() }).map(|p| p.place)
    }

    fn picks(&mut self, n: usize) -> Vec<usize> {
        (0..n).map(|_| self.pick().expect("someone")).collect()
    }

    /// How often each place was chosen.
    fn counts(&mut self, n: usize) -> Vec<usize> {
        let mut counts = vec![0; self.backends.backends.len()];
        for place in self.picks(n) {
            counts[place] += 1;
        }
        counts
    }

    /// The pool has another content now.
    fn change(&mut self, backends: Vec<BackendDraft>, strategy: LoadBalancingDraft) {
        let next = parsed(
            backends,
            strategy,
            BalancingDraft {
                slow_start_ms: u32::try_from(self.picker.slow_start_ms).expect("fits"),
                ..BalancingDraft::default()
            },
        );
        self.picker = Picker::carry(&self.picker, &self.backends, &next);
        self.backends = next;
    }
}

/// Every strategy that needs nothing of the request.
const PLAIN: [LoadBalancingDraft; 5] = [
    LoadBalancingDraft::RoundRobin,
    LoadBalancingDraft::WeightedRoundRobin,
    LoadBalancingDraft::LeastConnections,
    LoadBalancingDraft::PowerOfTwo,
    LoadBalancingDraft::IpHash,
];

fn rules(default: &[&str]) -> BalancingDraft {
    let texts = |list: &[&str]| list.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>();
    let rule = HeaderRuleDraft { value: "beta".into(), addresses: texts(&["b0:80", "b1:80"]) };
    let rules = HeaderRulesDraft { header: "x".into(), rules: vec![rule], default_addresses: texts(default) };
    BalancingDraft { header_rules: Some(rules), ..BalancingDraft::default() }
}
