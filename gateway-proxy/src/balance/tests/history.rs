//! Pools that change while they serve.

use super::*;

fn named(names: &[&str]) -> Vec<BackendDraft> {
    names.iter().map(|n| BackendDraft { address: format!("{n}:80"), ..BackendDraft::default() }).collect()
}

#[test]
fn a_change_of_the_pool_goes_on_with_the_backend_that_was_next() {
    let rr = LoadBalancingDraft::RoundRobin;
    let mut subject = Subject::with(named(&["a", "b", "c"]), rr, BalancingDraft::default());
    assert_eq!(subject.pick(), Some(0));
    subject.change(named(&["x", "a", "c"]), rr);
    assert_eq!(subject.picks(3), [2, 0, 1], "b is gone, so c is next");
}

#[test]
fn a_backend_that_comes_new_into_a_pool_is_led_up_and_the_others_are_not() {
    let rr = LoadBalancingDraft::RoundRobin;
    let options = BalancingDraft { slow_start_ms: 10_000, ..BalancingDraft::default() };
    let mut subject = Subject::with(weights(&[1, 1, 1]), rr, options);
    subject.picks(7);
    subject.now = 5_000;
    subject.change(weights(&[1, 1, 1, 1]), rr);
    let counts = subject.counts(3_100);
    assert!(counts[3].abs_diff(100) <= 3, "{counts:?}");
    subject.now = 15_000;
    assert_eq!(subject.counts(400), [100; 4]);
}

#[test]
fn a_pool_may_change_its_strategy_while_it_serves() {
    let mut subject = Subject::of(LoadBalancingDraft::RoundRobin, &[1, 3]);
    for lb in PLAIN.into_iter().chain(PLAIN) {
        subject.picks(3);
        subject.change(weights(&[1, 3]), lb);
        subject.now += 25;
        assert!(subject.pick().is_some(), "{lb:?}");
    }
}

proptest! {
    #[test]
    fn however_often_the_weights_change_no_backend_starves_or_floods(
        rounds in prop::collection::vec(prop::collection::vec(1u32..100, 3), 1..20),
    ) {
        let wrr = LoadBalancingDraft::WeightedRoundRobin;
        let mut subject = Subject::of(wrr, &rounds[0]);
        for next in &rounds[1..] {
            subject.picks(7);
            subject.change(weights(next), wrr);
        }
        let last = rounds.last().expect("one");
        let sum = last.iter().sum::<u32>() as usize;
        let counts = subject.counts(sum * 3);
        for (got, w) in counts.iter().zip(last) {
            prop_assert!((*got as i64 - 3 * i64::from(*w)).abs() <= 2 + i64::from(*w), "{} of {}", got, w);
        }
    }

    /// Whatever comes, goes, fails and is tried: who is chosen takes requests, and someone is while someone does.
    #[test]
    fn who_is_chosen_takes_requests_and_someone_is_chosen_while_someone_does(
        lb in prop::sample::select(PLAIN.to_vec()),
        steps in prop::collection::vec(
            (prop::collection::vec((0u32..3, 0u32..3, any::<bool>(), 0u32..50), 0..8), any::<u64>(), any::<bool>()),
            1..30,
        ),
    ) {
        let mut subject = Subject::of(lb, &[1, 1]);
        for (all, key, tick) in steps {
            let mut backends = weights(&all.iter().map(|(w, ..)| *w).collect::<Vec<_>>());
            backends.iter_mut().zip(&all).for_each(|(b, (_, priority, ..))| b.priority = *priority);
            subject.change(backends, lb);
            let down = |(i, (_, _, up, _)): (usize, &(u32, u32, bool, u32))| (!up).then_some(i);
            subject.world.down = all.iter().enumerate().filter_map(down).collect();
            subject.world.active = all.iter().map(|(.., active)| *active).collect();
            subject.now += if tick { 25 } else { 0 };
            let able = |i: &usize| all[*i].0 > 0 && all[*i].2;
            let anyone = (0..all.len()).any(|i| able(&i));
            let chosen = subject.by_key(key);
            prop_assert_eq!(chosen.is_some(), anyone);
            prop_assert!(chosen.is_none_or(|i| able(&i)), "{:?}", chosen);
        }
    }
}
