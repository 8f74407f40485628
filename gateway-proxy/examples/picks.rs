//! What a pick costs, strategy by strategy, for small and large pools; `cargo xtask bench picks` runs it. Each line is
//! a figure as JSON. The backends' states are the real ones, with some requests in flight; one core picks.
#![expect(clippy::print_stdout, reason = "the figures are what it is for")]

use std::hint::black_box;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use hotswap_gateway::backend_state::{BackendState, Handle, Outcome, States};
use hotswap_gateway::balance::{Picker, View, Wish};
use hotswap_matcher::{
    BackendDraft, BalancingDraft, HashKeyDraft, HeaderRuleDraft, HeaderRulesDraft, LoadBalancingDraft,
    PoolDraft, PoolSpec,
};

const ROUNDS: usize = 9;
const SIZES: [usize; 3] = [5, 100, 1_000];

struct Seen(Vec<Handle>);

/// As the gateway looks at them.
impl View for Seen {
    fn usable(&self, place: usize) -> bool {
        self.0.get(place).is_some_and(|s| s.usable(1_000))
    }
    fn tried(&self, _: usize) -> bool {
        false
    }
    fn active(&self, place: usize) -> u32 {
        self.0.get(place).map_or(0, |s| s.active())
    }
    fn latency(&self, place: usize) -> Option<f64> {
        self.0.get(place).and_then(|s| s.observed().latency(1_000))
    }
}

fn main() {
    let hash = |load_limit_percent| {
        let hash = HashKeyDraft { header: Some("x".into()), load_limit_percent, ..HashKeyDraft::default() };
        BalancingDraft { hash: Some(hash), ..BalancingDraft::default() }
    };
    let plain = BalancingDraft::default;
    let cases = [
        ("round robin", LoadBalancingDraft::RoundRobin, plain()),
        ("weighted round robin", LoadBalancingDraft::WeightedRoundRobin, plain()),
        ("least connections", LoadBalancingDraft::LeastConnections, plain()),
        ("power of two", LoadBalancingDraft::PowerOfTwo, plain()),
        ("ip hash", LoadBalancingDraft::IpHash, plain()),
        ("hash with bounded load", LoadBalancingDraft::Hash, hash(125)),
        ("by header", LoadBalancingDraft::Header, rules()),
    ];
    for (name, strategy, balancing) in cases {
        for size in SIZES {
            let values = measured(size, strategy, &balancing);
            let line = serde_json::json!({ "name": format!("{name}, {size} backends"), "unit": "ns", "values": values });
            println!("{line}");
        }
    }
}

fn rules() -> BalancingDraft {
    let rule = HeaderRuleDraft { value: "beta".into(), addresses: vec!["b0:80".into()] };
    let rules = HeaderRulesDraft { header: "x".into(), rules: vec![rule], default_addresses: Vec::new() };
    BalancingDraft { header_rules: Some(rules), ..BalancingDraft::default() }
}

/// ns a pick, round by round.
fn measured(size: usize, strategy: LoadBalancingDraft, balancing: &BalancingDraft) -> Vec<f64> {
    let backend = |i| BackendDraft {
        address: format!("b{i}:80"),
        weight: Some(1 + i as u32 % 7),
        ..BackendDraft::default()
    };
    let draft = PoolDraft {
        backends: (0..size).map(backend).collect(),
        load_balancing: strategy,
        balancing: Some(balancing.clone()),
        ..PoolDraft::default()
    };
    let Ok(spec) = PoolSpec::parse(&draft) else { return Vec::new() };
    let backends = spec.backends();
    let pool = States::default().put("pools/p", backends);
    let view = Seen(pool.members().iter().map(|s| Rc::new(Arc::clone(s))).collect());
    let busy: Vec<_> = view.0.iter().step_by(3).filter_map(|s| BackendState::begin(s, 1)).collect();
    for b in &busy {
        b.report(Outcome::Status(200), 1);
    }
    let mut picker = Picker::new(backends, 0);
    let turns = 2_000_000 / size.max(50) as u64;
    let mut round = || {
        let began = Instant::now();
        for turn in 0..turns {
            let wish = Wish { hash: Some(turn.wrapping_mul(0x9e37_79b9_7f4a_7c15)), ..Wish::default() };
            // A tick for every 1,000 requests, as at 40,000 a second.
            let now = 1_000 + turn / 1_000 * 25;
            black_box(picker.pick(black_box(&wish), &backends.balancing.strategy, &view, now));
        }
        began.elapsed().as_nanos() as f64 / turns as f64
    };
    round();
    (0..ROUNDS).map(|_| round()).collect()
}
