use hotswap_matcher::{BackendDraft, LoadBalancingDraft, PoolDraft, PoolSpec};
use proptest::prelude::*;

use super::*;

fn pool(load_balancing: LoadBalancingDraft, weights: &[(&str, u32)]) -> Backends {
    let backends =
        weights.iter().map(|(a, w)| BackendDraft { address: format!("{a}:80"), weight: Some(*w), ..BackendDraft::default() }).collect();
    let draft = PoolDraft { backends, load_balancing, ..PoolDraft::default() };
    PoolSpec::parse(&draft).expect("valid").backends().clone()
}

fn picks(picker: &mut Picker, n: usize) -> Vec<usize> {
    (0..n).map(|_| picker.pick(|_| true).expect("someone")).collect()
}

#[test]
fn round_robin_goes_in_turn_and_leaves_out_weight_0() {
    let backends = pool(LoadBalancingDraft::RoundRobin, &[("a", 5), ("b", 0), ("c", 1)]);
    assert_eq!(picks(&mut Picker::new(&backends, 0), 4), [0, 2, 0, 2]);
    assert_eq!(picks(&mut Picker::new(&backends, 1), 2), [2, 0], "another core starts elsewhere");
}

#[test]
fn weights_are_spread_as_nginx_spreads_them() {
    let backends = pool(LoadBalancingDraft::WeightedRoundRobin, &[("a", 5), ("b", 1), ("c", 1)]);
    assert_eq!(picks(&mut Picker::new(&backends, 0), 7), [0, 0, 1, 0, 2, 0, 0]);
}

#[test]
fn a_pool_without_a_backend_that_takes_requests_gives_none() {
    for lb in [LoadBalancingDraft::RoundRobin, LoadBalancingDraft::WeightedRoundRobin] {
        assert_eq!(Picker::new(&pool(lb, &[("a", 0)]), 3).pick(|_| true), None);
        assert_eq!(Picker::new(&pool(lb, &[]), 0).pick(|_| true), None);
    }
}

#[test]
fn a_change_of_the_pool_goes_on_with_the_backend_that_was_next() {
    let lb = LoadBalancingDraft::RoundRobin;
    let (old, new) = (pool(lb, &[("a", 1), ("b", 1), ("c", 1)]), pool(lb, &[("x", 1), ("a", 1), ("c", 1)]));
    let mut picker = Picker::new(&old, 0);
    assert_eq!(picker.pick(|_| true), Some(0));
    let mut carried = Picker::carry(&picker, &old, &new);
    assert_eq!(picks(&mut carried, 3), [2, 0, 1], "b is gone, so c is next");
}

proptest! {
    #[test]
    fn over_a_full_round_each_backend_gets_its_share_and_no_run_is_longer_than_it_must_be(
        weights in prop::collection::vec(0u32..20, 1..8),
        core in 0usize..5,
    ) {
        let named: Vec<(String, u32)> =
            weights.iter().enumerate().map(|(i, w)| (format!("b{i}"), *w)).collect();
        let named: Vec<(&str, u32)> = named.iter().map(|(n, w)| (n.as_str(), *w)).collect();
        let backends = pool(LoadBalancingDraft::WeightedRoundRobin, &named);
        let sum: usize = weights.iter().map(|w| *w as usize).sum();
        prop_assume!(sum > 0);
        let mut picker = Picker::new(&backends, core);
        let chosen = picks(&mut picker, sum * 2);
        for (i, w) in weights.iter().enumerate() {
            prop_assert_eq!(chosen.iter().filter(|c| **c == i).count(), 2 * *w as usize);
        }
    }

    #[test]
    fn however_often_the_weights_change_no_backend_starves_or_floods(
        rounds in prop::collection::vec(prop::collection::vec(1u32..100, 3), 1..20),
    ) {
        let of = |w: &[u32]| pool(
            LoadBalancingDraft::WeightedRoundRobin,
            &[("a", w[0]), ("b", w[1]), ("c", w[2])],
        );
        let mut backends = of(&rounds[0]);
        let mut picker = Picker::new(&backends, 0);
        for weights in &rounds[1..] {
            picks(&mut picker, 7);
            let next = of(weights);
            picker = Picker::carry(&picker, &backends, &next);
            backends = next;
        }
        let last = rounds.last().expect("one");
        let sum = last.iter().sum::<u32>() as usize;
        let chosen = picks(&mut picker, sum * 3);
        for (i, w) in last.iter().enumerate() {
            let got = chosen.iter().filter(|c| **c == i).count() as i64;
            prop_assert!((got - 3 * i64::from(*w)).abs() <= 2 + i64::from(*w), "{got} of {w}");
        }
    }
}
