//! Too little traffic, and traffic of one kind only.

use hotswap_rollout::judge::{Arm, Counts, JudgeDraft, Reading, Tally, Undecided};
use hotswap_rollout::{Exposure, Millis, Order, PlanDraft, StickyKey};
use hotswap_rollout_host::{Create, View};

use crate::harness::{Home, Place, canary, create, ctx, share};

fn arm(requests: u64, errors: u64) -> Arm {
    Arm { all: Tally { requests, errors, slow: 0 }, buckets: vec![] }
}

/// Counts of both arms, so many requests and errors each.
fn both(candidate: (u64, u64), baseline: (u64, u64)) -> Reading {
    let (candidate, baseline) = (arm(candidate.0, candidate.1), arm(baseline.0, baseline.1));
    Reading::Counts(Counts { candidate, baseline, share: None, timed: true })
}

/// All requests of an arm in one of 64 parts of the users, as where one address asks.
fn alone(bucket: usize, (requests, errors): (u64, u64)) -> Arm {
    let mut arm = arm(requests, errors);
    arm.buckets = vec![Tally::default(); 64];
    arm.buckets[bucket] = arm.all;
    arm
}

/// A canary that was measured like this for as long as it may be: its bake, and the judge's half an hour.
async fn waited_out(input: Create, reading: Reading) -> (Home, View, Place) {
    let place = Place::new();
    let home = Home::with_table(&place).await;
    let view = home.rollouts.create(&ctx("ann"), input).await.expect("created");
    home.settle().await;
    home.measure(reading, 3).await;
    for span in [Millis::minutes(1), Millis::minutes(29), Millis::minutes(2)] {
        home.pass(span);
        home.settle().await;
    }
    (home, view, place)
}

/// It stands where it stood, and a person is asked.
async fn stands_and_asks(home: &Home, view: &View, why: &str) {
    assert_eq!((home.word(view).await, home.out().await), ("paused", share(1_000)), "{why}");
    let tale = home.tale(view).await;
    let paused = format!("could not decide in time: {why}");
    assert!(tale.iter().any(|told| told.contains(&paused)), "{paused}: {tale:?}");
}

fn undecided(undecided: Undecided) -> Create {
    let judge = JudgeDraft { undecided, ..JudgeDraft::default() };
    create(PlanDraft { judge: Some(judge), ..canary() })
}

#[tokio::test]
async fn without_any_traffic_it_is_never_promoted_and_a_person_is_asked() {
    for policy in [Undecided::Pause, Undecided::Promote] {
        let (home, view, _place) = waited_out(undecided(policy), Reading::NoData).await;
        stands_and_asks(&home, &view, "no data").await;
        let back = Order::Rollback { why: "nobody comes".into(), instant: false };
        home.say("bob", &view, back).await.expect("taken");
        home.settle().await;
        assert_eq!((home.word(&view).await, home.out().await), ("rolled_back", Exposure::None));
    }
    let (home, view, _place) = waited_out(undecided(Undecided::Rollback), Reading::NoData).await;
    assert_eq!(home.word(&view).await, "rolled_back");
}

#[tokio::test]
async fn with_traffic_of_one_arm_only_it_is_never_promoted() {
    for (candidate, baseline, why) in [
        ((0, 0), (9_000, 90), "no data: the candidate had no request"),
        ((9_000, 90), (0, 0), "no data: the baseline had no request"),
    ] {
        let input = undecided(Undecided::Promote);
        let (home, view, _place) = waited_out(input, both(candidate, baseline)).await;
        stands_and_asks(&home, &view, why).await;
    }
}

#[tokio::test]
async fn a_candidate_that_fails_everything_goes_back_though_nobody_has_the_baseline() {
    let (home, view, _place) = waited_out(create(canary()), both((500, 500), (0, 0))).await;
    assert_eq!((home.word(&view).await, home.out().await), ("rolled_back", Exposure::None));
}

#[tokio::test]
async fn one_client_address_alone_is_no_evidence_for_either_side() {
    let sticky = || Create { sticky: Some(StickyKey::ClientAddress), ..undecided(Undecided::Pause) };
    let counted = |candidate, baseline| {
        let (candidate, baseline) = (alone(3, candidate), alone(9, baseline));
        Reading::Counts(Counts { candidate, baseline, share: None, timed: true })
    };
    // Two addresses, one on each arm: a tenth more of one's requests fail.
    let (home, view, _place) = waited_out(sticky(), counted((5_000, 550), (5_000, 50))).await;
    stands_and_asks(&home, &view, "too few clients").await;
    // One address: it is on one arm, and the other has nobody.
    for (candidate, baseline) in [((5_000, 50), (0, 0)), ((0, 0), (5_000, 50))] {
        let (home, view, _place) = waited_out(sticky(), counted(candidate, baseline)).await;
        stands_and_asks(&home, &view, "no data").await;
    }
}
