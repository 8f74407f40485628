//! What each backend gets over many requests.

use super::*;

#[test]
fn round_robin_goes_in_turn_and_leaves_out_weight_0() {
    let mut subject = Subject::of(LoadBalancingDraft::RoundRobin, &[5, 0, 1]);
    assert_eq!(subject.picks(4), [0, 2, 0, 2]);
    subject.picker = Picker::new(&subject.backends, 1);
    assert_eq!(subject.picks(2), [2, 0], "another core starts elsewhere");
}

#[test]
fn weights_are_spread_as_nginx_spreads_them() {
    let mut subject = Subject::of(LoadBalancingDraft::WeightedRoundRobin, &[5, 1, 1]);
    assert_eq!(subject.picks(7), [0, 0, 1, 0, 2, 0, 0]);
}

#[test]
fn the_fewest_in_flight_for_the_weight_and_ties_in_turn() {
    let mut subject = Subject::of(LoadBalancingDraft::LeastConnections, &[1, 1, 1]);
    assert_eq!(subject.picks(5), [0, 1, 2, 0, 1], "all are idle");
    subject.world.active = vec![3, 1, 2];
    assert_eq!(subject.picks(2), [1, 1]);
    subject.world.active = vec![2, 2, 5];
    assert_eq!(subject.picks(4), [0, 1, 0, 1]);
    let mut weighted = Subject::of(LoadBalancingDraft::LeastConnections, &[1, 3]);
    weighted.world.active = vec![1, 4];
    assert_eq!(weighted.pick(), Some(1), "5 of 3 is less than 2 of 1");
    weighted.world.active = vec![1, 5];
    assert_eq!(weighted.pick(), Some(0), "both have as much; the turn decides");
    weighted.world.active = vec![0, 5];
    assert_eq!(weighted.picks(2), [0, 0]);
}

#[test]
fn requests_that_last_are_spread_by_least_connections_in_proportion_to_the_weights() {
    let mut subject = Subject::of(LoadBalancingDraft::LeastConnections, &[1, 2, 4]);
    subject.world.active = vec![0; 3];
    for _ in 0..700 {
        let place = subject.pick().expect("someone");
        subject.world.active[place] += 1;
    }
    for (active, weight) in subject.world.active.iter().zip([100_u32, 200, 400]) {
        assert!(active.abs_diff(weight) <= 1, "{:?}", subject.world.active);
    }
}

#[test]
fn of_two_the_cheaper_one_is_chosen_and_the_slow_one_starves_without_being_alone() {
    let mut subject = Subject::of(LoadBalancingDraft::PowerOfTwo, &[1; 5]);
    subject.world.latency = vec![Some(1_000.0); 5];
    let even = subject.counts(10_000);
    assert!(even.iter().all(|n| (1_800..2_200).contains(n)), "{even:?}");
    subject.world.latency[4] = Some(50_000.0);
    let uneven = subject.counts(10_000);
    assert_eq!(uneven[4], 0, "{uneven:?}: it is always one of two");
    subject.world.active = vec![60, 60, 60, 60, 0];
    assert!(subject.counts(1_000)[4] > 300, "the others are fuller now than it is slow");
}

#[test]
fn one_whose_time_nobody_knows_gets_one_request_at_a_time() {
    let mut subject = Subject::of(LoadBalancingDraft::PowerOfTwo, &[1; 3]);
    subject.world.latency = vec![Some(1_000.0), Some(1_000.0), None];
    subject.world.active = vec![1, 1, 0];
    assert!(subject.counts(1_000)[2] > 500, "an idle one is tried");
    subject.world.active = vec![1, 1, 1];
    assert_eq!(subject.counts(1_000)[2], 0, "one is under way there");
}

#[test]
fn hashing_gives_each_its_share_of_the_keys() {
    let mut subject = Subject::hashing(&[1, 2, 5, 0], 0);
    let mut counts = [0_i32; 4];
    for key in 0..80_000 {
        counts[subject.by_key(key).expect("someone")] += 1;
    }
    for (got, want) in counts.iter().zip([10_000, 20_000, 50_000, 0]) {
        assert!((got - want).abs() <= want / 20, "{counts:?}");
    }
}

#[test]
fn neighbouring_addresses_are_spread_evenly() {
    let mut subject = Subject::of(LoadBalancingDraft::IpHash, &[1; 5]);
    let mut counts = [0_u32; 5];
    for host in 0..=255_u8 {
        for net in 0..40_u8 {
            let wish = Wish { hash: Some(hash::of(&[10, 0, net, host])), ..Wish::default() };
            counts[subject.picked(wish).expect("someone").place] += 1;
        }
    }
    assert!(counts.iter().all(|n| (1_900..2_200).contains(n)), "{counts:?}");
}

#[test]
fn no_backend_has_more_than_its_bounded_load() {
    let mut subject = Subject::hashing(&[1, 1, 2, 1], 125);
    subject.world.active = vec![0; 4];
    // One key is asked for by everybody, and others now and then.
    for n in 0..1_000_u64 {
        let place = subject.by_key(if n % 4 == 0 { n } else { 7 }).expect("someone");
        subject.world.active[place] += 1;
        let all: u32 = subject.world.active.iter().sum();
        for (active, weight) in subject.world.active.iter().zip([1, 1, 2, 1]) {
            assert!(*active <= (all * weight * 125).div_ceil(5 * 100), "{:?}", subject.world.active);
        }
    }
    subject.world.active = vec![0; 4];
    let home = subject.by_key(7);
    assert!((0..100).all(|_| subject.by_key(7) == home), "with room, a key stays where it is");
}

#[test]
fn header_rules_send_each_value_to_its_backends_in_turn() {
    let mut subject = Subject::with(weights(&[1; 4]), LoadBalancingDraft::Header, rules(&[]));
    let group = |g| Wish { group: g, ..Wish::default() };
    let picks = |subject: &mut Subject, g, n| {
        (0..n).map(|_| subject.picked(group(g)).expect("someone").place).collect::<Vec<_>>()
    };
    assert_eq!(picks(&mut subject, 0, 3), [0, 1, 0]);
    assert_eq!(picks(&mut subject, 1, 3), [2, 3, 2], "others go to those that no rule names");
    subject.world.down = vec![0, 1];
    assert_eq!(picks(&mut subject, 0, 2), [3, 2], "the default stands in");
    subject.world.down = vec![2, 3];
    assert_eq!(picks(&mut subject, 1, 2).len(), 2, "any stands in for the default");
    subject.world.down = vec![0, 1, 2, 3];
    subject.now += 25;
    assert_eq!(subject.picked(group(0)), None);
}

#[test]
fn a_pool_without_a_backend_that_may_take_requests_gives_none() {
    for lb in PLAIN {
        let mut subject = Subject::of(lb, &[0]);
        assert!(subject.pick().is_none() && !subject.picker.has_enabled());
        assert_eq!(Subject::of(lb, &[]).by_key(1), None);
        let mut drained = weights(&[1, 1]);
        drained[0].state = BackendState::Drained;
        drained[1].state = BackendState::ForcedOpen;
        assert_eq!(Subject::with(drained, lb, BalancingDraft::default()).by_key(1), None);
    }
}

proptest! {
    #[test]
    fn over_a_full_round_each_backend_gets_exactly_its_share(
        weights in prop::collection::vec(0u32..20, 1..8),
        core in 0usize..5,
    ) {
        let mut subject = Subject::of(LoadBalancingDraft::WeightedRoundRobin, &weights);
        subject.picker = Picker::new(&subject.backends, core);
        let sum: usize = weights.iter().map(|w| *w as usize).sum();
        prop_assume!(sum > 0);
        let counts = subject.counts(sum * 2);
        for (got, weight) in counts.iter().zip(&weights) {
            prop_assert_eq!(*got, 2 * *weight as usize);
        }
    }

    #[test]
    fn many_cores_together_spread_evenly(cores in 1usize..9, backends in 1usize..7) {
        let subject = Subject::of(LoadBalancingDraft::RoundRobin, &vec![1; backends]);
        let mut counts = vec![0; backends];
        for core in 0..cores * backends {
            let mut one = Picker::new(&subject.backends, core);
            let strategy = &subject.backends.balancing.strategy;
            let first = one.pick(&Wish::default(), strategy, &subject.world, 1).expect("someone");
            counts[first.place] += 1;
        }
        prop_assert!(counts.iter().all(|n| *n == cores), "{:?}", counts);
    }
}
