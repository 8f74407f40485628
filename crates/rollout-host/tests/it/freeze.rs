//! The global switch.

use hotswap_rollout::{Exposure, Millis, Order};
use hotswap_rollout_host::Error;

use crate::harness::{Home, Place, canary, counts, create, ctx, direct, share};

#[tokio::test]
async fn it_stops_growth_and_not_the_way_back() {
    let place = Place::new();
    let home = Home::with_table(&place).await;
    let view = home.rollouts.create(&ctx("ann"), create(canary())).await.expect("created");
    home.settle().await;
    let freeze = home.rollouts.set_freeze(&ctx("bob"), true, "an audit").await.expect("on");
    assert!(freeze.on && freeze.actor == "bob");
    home.measure(counts(5_000, 50), 5).await;
    home.pass(Millis::minutes(5));
    home.settle().await;
    assert_eq!((home.word(&view).await, home.out().await), ("running", share(1_000)));
    let back = Order::Rollback { why: String::new(), instant: false };
    home.say("bob", &view, back).await.expect("taken");
    home.settle().await;
    assert_eq!((home.word(&view).await, home.out().await), ("rolled_back", Exposure::None));
}

#[tokio::test]
async fn what_it_held_up_goes_on_when_it_is_off() {
    let place = Place::new();
    let home = Home::with_table(&place).await;
    let view = home.rollouts.create(&ctx("ann"), create(direct())).await.expect("created");
    home.rollouts.set_freeze(&ctx("bob"), true, "").await.expect("on");
    home.settle().await;
    assert!(home.table.acts("tables/t").await.is_empty());
    home.rollouts.set_freeze(&ctx("bob"), false, "").await.expect("off");
    home.settle().await;
    assert_eq!(home.word(&view).await, "promoted");
}

#[tokio::test]
async fn nothing_is_created_while_it_is_on() {
    let place = Place::new();
    let home = Home::with_table(&place).await;
    home.rollouts.set_freeze(&ctx("bob"), true, "an audit").await.expect("on");
    let frozen = home.rollouts.create(&ctx("ann"), create(direct())).await.expect_err("frozen");
    assert!(matches!(&frozen, Error::Frozen { why } if why == "an audit"), "{frozen}");
    let freeze = home.rollouts.freeze(&ctx("eve")).await.expect("read");
    assert!(freeze.on && freeze.reason == "an audit");
}
