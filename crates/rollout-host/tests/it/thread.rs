//! A rollout from its creation to its end.

use hotswap_core::Revision;
use hotswap_rollout::{Exposure, Millis};
use hotswap_rollout_host::Error;

use crate::harness::{Home, Place, canary, counts, create, ctx, direct, share};

#[tokio::test]
async fn a_direct_rollout_ends_with_the_candidate_live() {
    let place = Place::new();
    let home = Home::with_table(&place).await;
    let view = home.rollouts.create(&ctx("ann"), create(direct())).await.expect("created");
    assert_eq!((view.rollout.from, view.record.state.word()), (Some(Revision(1)), "running"));
    home.settle().await;
    assert_eq!(home.word(&view).await, "promoted");
    assert_eq!(home.table.standing("tables/t").await, (2, Exposure::Full));
    let view = home.get(&view).await;
    assert!(view.ended_at.is_some());
    assert_eq!(view.step_times.len(), 3);
    assert!(view.step_times.iter().all(|t| t.began.is_some() && t.ended.is_some()));
    let acts: Vec<_> = home.table.acts("tables/t").await.into_iter().map(|(_, act)| act).collect();
    assert_eq!(
        acts,
        [
            "making the candidate ready",
            "exposing the candidate to everybody",
            "making the candidate the new baseline"
        ]
    );
}

#[tokio::test]
async fn a_good_canary_promotes_itself_after_its_bakes() {
    let place = Place::new();
    let home = Home::with_table(&place).await;
    let view = home.rollouts.create(&ctx("ann"), create(canary())).await.expect("created");
    home.settle().await;
    assert_eq!((home.word(&view).await, home.out().await), ("running", share(1_000)));
    home.measure(counts(5_000, 50), 20).await;
    assert_eq!(home.out().await, share(1_000), "the bake is kept");
    home.pass(Millis(40_000));
    home.measure(counts(6_000, 60), 1).await;
    assert_eq!(home.out().await, Exposure::Full);
    home.pass(Millis::minutes(1));
    home.settle().await;
    assert_eq!((home.word(&view).await, home.out().await), ("promoted", Exposure::Full));
    // With everybody on it nothing was compared any more, which takes nothing back of what was found.
    let (verdict, words) = home.get(&view).await.verdict.expect("judged");
    assert_eq!(format!("{verdict:?}"), "Pass", "{words}");
}

#[tokio::test]
async fn a_bad_canary_rolls_itself_back_and_says_why() {
    let place = Place::new();
    let home = Home::with_table(&place).await;
    let view = home.rollouts.create(&ctx("ann"), create(canary())).await.expect("created");
    home.settle().await;
    home.measure(counts(1_000, 300), 2).await;
    assert_eq!((home.word(&view).await, home.out().await), ("rolled_back", Exposure::None));
    assert_eq!(home.table.standing("tables/t").await.0, 1);
    let tale = home.tale(&view).await;
    assert!(tale.last().expect("an end").starts_with("rolled back: "), "{tale:?}");
    assert!(tale.iter().any(|t| t == "started"), "{tale:?}");
}

#[tokio::test]
async fn a_subject_has_one_active_rollout() {
    let place = Place::new();
    let home = Home::with_table(&place).await;
    let view = home.rollouts.create(&ctx("ann"), create(canary())).await.expect("created");
    let refused = home.rollouts.create(&ctx("bob"), create(direct())).await.expect_err("one is active");
    assert!(matches!(refused, Error::Active { rollout, .. } if rollout == view.rollout.id), "{refused}");
}
