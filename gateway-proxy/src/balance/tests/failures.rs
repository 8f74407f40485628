//! Backends that fail, are drained, come back; priorities and panic.

use super::*;

#[test]
fn every_strategy_skips_what_does_not_take_requests_and_what_was_tried() {
    for lb in PLAIN {
        let mut subject = Subject::of(lb, &[1, 1, 1, 1]);
        subject.world.down = vec![1];
        subject.world.tried = vec![2];
        for key in 0..200 {
            let place = subject.by_key(key).expect("someone");
            assert!(place == 0 || place == 3, "{lb:?} chose {place}");
        }
        subject.world.tried = vec![0, 2, 3];
        assert_eq!(subject.by_key(1), None, "{lb:?}");
    }
}

#[test]
fn one_that_goes_out_between_two_looks_is_not_chosen() {
    for lb in PLAIN {
        let mut subject = Subject::of(lb, &[1, 1, 1]);
        assert!(subject.pick().is_some());
        subject.world.down = vec![0, 2];
        // The clock has not moved.
        assert!((0..20).all(|key| subject.by_key(key) == Some(1)), "{lb:?}");
        subject.world.down = vec![0, 1, 2];
        assert_eq!(subject.pick(), None, "{lb:?}");
        subject.world.down = vec![1, 2];
        subject.now += 25;
        assert_eq!(subject.pick(), Some(0), "{lb:?}: it came back");
    }
}

#[test]
fn a_lost_backend_moves_its_own_keys_alone_and_each_to_the_next_of_its_order() {
    let mut subject = Subject::hashing(&[1, 2, 3, 1, 1], 0);
    let before: Vec<_> = (0..5_000).map(|key| subject.by_key(key)).collect();
    subject.world.tried = vec![2];
    let next: Vec<_> = (0..5_000).map(|key| subject.by_key(key)).collect();
    subject.world = World { down: vec![2], ..World::default() };
    subject.now += 25;
    for key in 0..5_000_usize {
        let after = subject.by_key(key as u64);
        if before[key] == Some(2) {
            assert!(after != Some(2) && after == next[key], "a retry goes where the key goes when it fails");
        } else {
            assert_eq!(after, before[key]);
        }
    }
    subject.world.down.clear();
    subject.now += 25;
    assert!((0..5_000).all(|key| subject.by_key(key) == before[key as usize]), "they come back");
}

#[test]
fn a_backend_that_is_added_takes_its_share_and_moves_nothing_else() {
    let mut subject = Subject::of(LoadBalancingDraft::IpHash, &[1; 9]);
    let before: Vec<_> = (0..10_000).map(|key| subject.by_key(key)).collect();
    subject.change(weights(&[1; 10]), LoadBalancingDraft::IpHash);
    let mut moved = 0;
    for (key, was) in before.iter().enumerate() {
        let now = subject.by_key(key as u64);
        if now != *was {
            assert_eq!(now, Some(9));
            moved += 1;
        }
    }
    assert!((900..1_100).contains(&moved), "{moved} of 10,000 moved");
}

#[test]
fn more_weight_draws_keys_to_a_backend_and_moves_no_others() {
    let mut subject = Subject::hashing(&[2, 2, 2, 2], 0);
    let before: Vec<_> = (0..8_000).map(|key| subject.by_key(key)).collect();
    let mut heavier = Subject::hashing(&[2, 2, 4, 2], 0);
    let mut drawn = 0;
    for (key, was) in before.iter().enumerate() {
        let now = heavier.by_key(key as u64);
        assert!(now == *was || now == Some(2), "key {key} moved from {was:?} to {now:?}");
        drawn += usize::from(now != *was);
    }
    // Its share grows from 1 of 4 to 2 of 5.
    assert!(drawn.abs_diff(1_200) < 120, "{drawn}");
}

#[test]
fn a_cookie_leads_to_its_backend_while_that_takes_requests() {
    let mut subject = Subject::of(LoadBalancingDraft::RoundRobin, &[1, 1, 1]);
    let sticky = Wish { sticky: Some(2), ..Wish::default() };
    let place = |subject: &mut Subject| subject.picked(sticky).map(|p| p.place);
    assert!((0..5).all(|_| place(&mut subject) == Some(2)));
    subject.world.tried = vec![2];
    assert_ne!(place(&mut subject), Some(2), "a retry goes elsewhere");
    subject.world = World { down: vec![2], ..World::default() };
    assert!(place(&mut subject).is_some_and(|p| p != 2));
    let mut drained = weights(&[1, 1, 1]);
    drained[2].state = BackendState::Drained;
    let mut subject = Subject::with(drained, LoadBalancingDraft::RoundRobin, BalancingDraft::default());
    assert!(place(&mut subject).is_some_and(|p| p != 2), "drained");
}

fn panicking(threshold: u32, all: Vec<BackendDraft>) -> Subject {
    let options = BalancingDraft { panic_threshold_percent: threshold, ..BalancingDraft::default() };
    Subject::with(all, LoadBalancingDraft::RoundRobin, options)
}

#[test]
fn below_the_panic_threshold_all_take_requests_but_those_that_are_drained() {
    let mut all = weights(&[1; 5]);
    all[4].state = BackendState::Drained;
    let mut subject = panicking(50, all);
    subject.world.down = vec![0, 1];
    assert_eq!(subject.counts(100), [0, 0, 50, 50, 0], "half of four is enough");
    subject.world.down = vec![0, 1, 2];
    subject.now += 25;
    assert_eq!(subject.counts(100), [25, 25, 25, 25, 0]);
    assert!(subject.picked(Wish::default()).is_some_and(|p| p.panic));
    subject.world.down = vec![0, 1, 2, 3];
    subject.now += 25;
    assert_eq!(subject.counts(100), [25, 25, 25, 25, 0], "none is healthy");
    let mut off = panicking(0, weights(&[1; 2]));
    off.world.down = vec![0, 1];
    assert_eq!(off.pick(), None);
}

fn prioritized(per_level: &[usize], threshold: u32) -> Subject {
    let mut all = weights(&vec![1; per_level.iter().sum()]);
    let priorities = per_level.iter().zip(0..).flat_map(|(n, p)| std::iter::repeat_n(p, *n));
    for (backend, priority) in all.iter_mut().zip(priorities) {
        backend.priority = priority;
    }
    panicking(threshold, all)
}

#[test]
fn the_next_priority_takes_what_the_one_before_it_cannot() {
    let mut subject = prioritized(&[10, 5], 0);
    let mut first = |down: usize| {
        subject.world.down = (0..down).collect();
        subject.now += 25;
        subject.counts(10_000)[..10].iter().sum::<usize>()
    };
    // As in Envoy's documentation of priority levels: 1.4 times the healthy part, at most all.
    assert_eq!(first(0), 10_000);
    assert_eq!(first(2), 10_000, "80 % healthy count as 112 %");
    for (down, percent) in [(3, 98), (5, 70), (9, 14), (10, 0)] {
        let got = first(down);
        assert!(got.abs_diff(percent * 100) < 200, "{down} down: {got} instead of {percent} %");
    }
}

#[test]
fn a_priority_panics_only_where_the_others_cannot_stand_in() {
    let mut subject = prioritized(&[4, 4], 50);
    subject.world.down = vec![0, 1, 2];
    subject.now += 25;
    let counts = subject.counts(1_000);
    assert_eq!(counts[..3], [0, 0, 0], "the second priority is whole");
    subject.world.down = vec![0, 1, 2, 4, 5, 6];
    subject.now += 25;
    assert!(subject.counts(1_000).iter().all(|n| *n > 50), "both panic");
    subject.world.down = (0..8).collect();
    subject.now += 25;
    assert!(subject.counts(1_000).iter().all(|n| *n > 50), "none is healthy anywhere");
}

#[test]
fn what_is_hashed_stays_on_its_priority() {
    let mut all = weights(&[1; 8]);
    all[4..].iter_mut().for_each(|b| b.priority = 3);
    let mut subject = Subject::with(all, LoadBalancingDraft::IpHash, BalancingDraft::default());
    subject.world.down = vec![0, 1];
    let chosen: Vec<_> = (0..2_000).map(|key| subject.by_key(key)).collect();
    assert!((0..2_000).all(|key| subject.by_key(key) == chosen[key as usize]));
    let first = chosen.iter().filter(|p| p.is_some_and(|p| p < 4)).count();
    assert!(first.abs_diff(1_400) < 80, "{first}: 70 % stay on the first");
}

fn slow(strategy: LoadBalancingDraft, all: &[u32]) -> Subject {
    let options = BalancingDraft { slow_start_ms: 10_000, ..BalancingDraft::default() };
    Subject::with(weights(all), strategy, options)
}

#[test]
fn a_backend_that_comes_back_is_led_up_to_its_share() {
    use LoadBalancingDraft::{RoundRobin, WeightedRoundRobin};
    for strategy in [RoundRobin, WeightedRoundRobin] {
        let mut subject = slow(strategy, &[1, 1, 1, 1]);
        assert_eq!(subject.counts(400), [100; 4], "the pool begins whole");
        subject.world.down = vec![3];
        subject.now = 1_000;
        assert_eq!(subject.counts(300)[3], 0);
        subject.world.down.clear();
        // Of 31 parts 1, of 35 parts 5, of 4 parts 1.
        for (now, share) in [(2_000, 0.0322), (7_000, 0.1428), (12_000, 0.25), (20_000, 0.25)] {
            subject.now = now;
            let got = subject.counts(10_000)[3] as f64 / 10_000.0;
            assert!((got - share).abs() < 0.005, "{strategy:?} at {now}: {got}");
        }
    }
}

#[test]
fn slow_start_holds_for_least_connections_and_power_of_two() {
    let mut least = slow(LoadBalancingDraft::LeastConnections, &[1, 1]);
    least.world.active = vec![9, 0];
    least.world.down = vec![1];
    assert_eq!(least.pick(), Some(0));
    least.world.down.clear();
    least.now = 1_000;
    for _ in 0..50 {
        let place = least.pick().expect("someone");
        least.world.active[place] += 1;
    }
    // 59 requests, in the proportion of 10 to 1.
    assert!((4..=7).contains(&least.world.active[1]), "{:?}", least.world.active);
    let mut two = slow(LoadBalancingDraft::PowerOfTwo, &[1, 1]);
    two.world.latency = vec![Some(1_000.0); 2];
    two.world.down = vec![1];
    assert_eq!(two.pick(), Some(0));
    two.world = World { active: vec![5, 0], latency: vec![Some(1_000.0); 2], ..World::default() };
    two.now = 1_000;
    assert_eq!(two.counts(100), [100, 0], "6 requests cost less than one at a tenth");
}
