use std::cell::RefCell;

use hotswap_matcher::{CandidateDraft, CandidateSpec, CohortDraft, ExposureDraft, RequestKeyDraft};
use proptest::prelude::*;

use super::*;
use crate::balance::client::TrustedProxies;
use crate::balance::wish::tests::Head;
use crate::dice::Dice;

fn rollout(name: &str, exposure: ExposureDraft, sticky_key: Option<RequestKeyDraft>) -> Rollout {
    let exposure = Some(exposure);
    let draft =
        CandidateDraft { rollout: format!("rollouts/{name}"), epoch: 1, exposure, sticky_key, check: None };
    let spec = CandidateSpec::parse(&draft).expect("valid");
    Rollout::new(0, "routes/r", Subject::Route(1), spec, None)
}

fn share(name: &str, bps: u32, sticky: bool) -> Rollout {
    let key = RequestKeyDraft::Header("user".into());
    rollout(name, ExposureDraft::ShareBps(bps), sticky.then_some(key))
}

fn draw(rollout: &Rollout, head: &Head, random: u64) -> Drawn {
    let trusted = TrustedProxies::default();
    let sender = Sender { peer: [192, 0, 2, 1].into(), trusted: &trusted };
    rollout.draw(head, sender, || random)
}

fn user(n: u64) -> Head {
    Head(vec![("user", Box::leak(format!("user-{n}").into_boxed_str()))])
}

fn is_candidate(drawn: Drawn) -> bool {
    drawn.arm == Arm::Candidate
}

/// Whether `hits` of `all` are as a coin of this share would have them, within 5 standard deviations.
fn is_about(hits: u64, all: u64, bps: u32) -> bool {
    let (n, p) = (all as f64, f64::from(bps) / 10_000.0);
    (hits as f64 - n * p).abs() <= 5.0 * (n * p * (1.0 - p)).sqrt()
}

#[test]
fn shares_of_drawn_requests_and_of_users_are_as_said() {
    const ALL: u64 = 20_000;
    for bps in [0, 1, 100, 1_000, 3_333, 5_000, 9_999, 10_000] {
        for sticky in [false, true] {
            let rollout = share("a", bps, sticky);
            let dice = RefCell::new(Dice::seeded(7));
            let heads = |n| if sticky { user(n) } else { Head(vec![]) };
            let one = |n| is_candidate(draw(&rollout, &heads(n), dice.borrow_mut().next()));
            let hits = (0..ALL).filter(|n| one(*n)).count() as u64;
            assert!(is_about(hits, ALL, bps), "{hits} of {ALL} at {bps} bp, sticky: {sticky}");
        }
    }
}

#[test]
fn a_share_splits_each_bucket_of_users_alike() {
    let rollout = share("a", 5_000, true);
    let mut counts = [[0_u64; 2]; BUCKETS];
    for n in 0..64_000 {
        let drawn = draw(&rollout, &user(n), 0);
        counts[usize::from(drawn.bucket)][usize::from(is_candidate(drawn))] += 1;
    }
    for [baseline, candidate] in counts {
        let all = baseline + candidate;
        assert!(is_about(all, 64_000, 156) && is_about(candidate, all, 5_000), "{baseline} and {candidate}");
    }
}

#[test]
fn rollouts_draw_independently_of_each_other() {
    let (a, b) = (share("a", 5_000, true), share("b", 5_000, true));
    let both = |n: &u64| is_candidate(draw(&a, &user(*n), 0)) && is_candidate(draw(&b, &user(*n), 0));
    assert!(is_about((0..20_000).filter(both).count() as u64, 20_000, 2_500));
    let dice = RefCell::new(Dice::seeded(3));
    let (a, b) = (share("a", 5_000, false), share("b", 5_000, false));
    let both = |_: &u64| {
        let number = dice.borrow_mut().next();
        is_candidate(draw(&a, &Head(vec![]), number)) && is_candidate(draw(&b, &Head(vec![]), number))
    };
    assert!(is_about((0..20_000).filter(both).count() as u64, 20_000, 2_500), "from one number of a request");
}

#[test]
fn a_cohort_is_who_has_one_of_its_values() {
    let of = |key| {
        let values = vec!["1".to_owned(), "yes".to_owned()];
        rollout("a", ExposureDraft::Cohort(CohortDraft { key, values }), None)
    };
    let by_header = of(RequestKeyDraft::Header("x-beta".into()));
    let by_cookie = of(RequestKeyDraft::Cookie("beta".into()));
    let gets = |rollout, name, value| is_candidate(draw(rollout, &Head(vec![(name, value)]), 0));
    assert!(gets(&by_header, "x-beta", "1") && gets(&by_header, "x-beta", "yes"));
    assert!(!gets(&by_header, "x-beta", "no") && !gets(&by_header, "x-other", "1"));
    assert!(gets(&by_cookie, "cookie", "a=b; beta=yes") && !gets(&by_cookie, "cookie", "beta=no; a=yes"));
    assert!(!gets(&by_cookie, "cookie", "xbeta=yes") && !gets(&by_cookie, "x-beta", "yes"));
}

#[test]
fn who_has_no_key_is_drawn_and_the_address_is_a_key_of_everybody() {
    let sticky = share("a", 5_000, true);
    let dice = RefCell::new(Dice::seeded(5));
    let drawn = |_: &u64| is_candidate(draw(&sticky, &Head(vec![]), dice.borrow_mut().next()));
    assert!(is_about((0..10_000).filter(drawn).count() as u64, 10_000, 5_000));
    let by_address = rollout("a", ExposureDraft::ShareBps(5_000), Some(RequestKeyDraft::ClientAddress));
    let first = draw(&by_address, &Head(vec![]), 1);
    assert!((0..100).all(|n| draw(&by_address, &Head(vec![]), n) == first));
}

#[test]
fn the_draw_of_a_key_is_the_one_that_every_release_makes() {
    // Gateways of two releases serve one user alike.
    let drawn = |n| draw(&share("0198c2a4", 5_000, true), &user(n), 0);
    let arms: String = (0..16).map(|n| if is_candidate(drawn(n)) { 'c' } else { 'b' }).collect();
    let buckets: Vec<u8> = (0..4).map(|n| drawn(n).bucket).collect();
    assert_eq!((arms.as_str(), buckets), ("ccbcbcbccbbccbbb", vec![43, 16, 15, 63]));
}

proptest! {
    #[test]
    fn a_larger_share_only_adds_users(n in any::<u64>(), low in 0_u32..=10_000, high in 0_u32..=10_000) {
        let (low, high) = (low.min(high), low.max(high));
        let (before, after) = (draw(&share("a", low, true), &user(n), 0), draw(&share("a", high, true), &user(n), 0));
        prop_assert!(!is_candidate(before) || is_candidate(after));
        prop_assert_eq!(before.bucket, after.bucket);
    }

    #[test]
    fn a_user_is_drawn_once_for_all(n in any::<u64>(), bps in 0_u32..=10_000, numbers in prop::array::uniform2(any::<u64>())) {
        let rollout = share("a", bps, true);
        prop_assert_eq!(draw(&rollout, &user(n), numbers[0]), draw(&rollout, &user(n), numbers[1]));
    }

    #[test]
    fn a_request_is_drawn_alike_however_often_it_is_asked_for(bps in 0_u32..=10_000, number in any::<u64>()) {
        let rollout = share("a", bps, false);
        prop_assert_eq!(draw(&rollout, &Head(vec![]), number), draw(&rollout, &Head(vec![]), number));
    }
}
