//! Commands: rows that are answered.

use hotswap_rollout::{Exposure, Millis, Order};
use hotswap_rollout_host::{Error, View};
use uuid::Uuid;

use crate::harness::{Home, Place, canary, command, counts, create, ctx, direct, share};

fn promote(full: bool) -> Order {
    Order::Promote { step: None, full }
}

fn pause() -> Order {
    Order::Pause { why: "lunch".into() }
}

fn rollback() -> Order {
    Order::Rollback { why: "it smells".into(), instant: false }
}

async fn at_a_tenth(home: &Home) -> View {
    let view = home.rollouts.create(&ctx("ann"), create(canary())).await.expect("created");
    home.settle().await;
    assert_eq!(home.out().await, share(1_000));
    view
}

#[tokio::test]
async fn a_command_gives_the_new_state() {
    let place = Place::new();
    let home = Home::with_table(&place).await;
    let view = at_a_tenth(&home).await;
    let paused = home.say("bob", &view, pause()).await.expect("paused");
    assert_eq!(paused.record.state.word(), "paused");
    assert_ne!(paused.etag(), view.etag());
    let resumed = home.say("bob", &view, Order::Resume).await.expect("resumed");
    assert_eq!(resumed.record.state.word(), "running");
    let back = home.say("bob", &view, rollback()).await.expect("taken");
    assert!(["rolling_back", "rolled_back"].contains(&back.record.state.word()));
    home.settle().await;
    assert_eq!((home.word(&view).await, home.out().await), ("rolled_back", Exposure::None));
    assert!(home.tale(&view).await.iter().any(|t| t == "bob paused it: lunch"));
}

#[tokio::test]
async fn a_refused_command_says_why() {
    let place = Place::new();
    let home = Home::with_table(&place).await;
    let view = home.rollouts.create(&ctx("ann"), create(direct())).await.expect("created");
    home.settle().await;
    let refused = home.say("bob", &view, rollback()).await.expect_err("it has ended");
    assert!(matches!(&refused, Error::Refused { why, .. } if why.contains("it has ended")), "{refused}");
    assert_eq!(home.say("bob", &view, promote(false)).await.expect("it is").record.state.word(), "promoted");
}

#[tokio::test]
async fn full_promotion_goes_all_the_way() {
    let place = Place::new();
    let home = Home::with_table(&place).await;
    let view = at_a_tenth(&home).await;
    home.say("bob", &view, promote(true)).await.expect("promoted");
    home.settle().await;
    assert_eq!(home.out().await, Exposure::Full);
    home.pass(Millis::minutes(1));
    home.settle().await;
    assert_eq!(home.word(&view).await, "promoted");
}

#[tokio::test]
async fn a_stale_etag_is_aborted_and_changes_nothing() {
    let place = Place::new();
    let home = Home::with_table(&place).await;
    let view = at_a_tenth(&home).await;
    let mut input = command(&view, pause());
    input.etag = view.etag().as_str().to_owned();
    let stale = home.rollouts.send(&ctx("bob"), input.clone()).await.expect_err("it has moved on");
    let Error::StaleEtag { current, .. } = stale else { panic!("{stale}") };
    assert_eq!(current, home.get(&view).await.etag().as_str());
    home.settle().await;
    assert_eq!(home.word(&view).await, "running");
}

#[tokio::test]
async fn a_judged_second_is_no_transition_and_leaves_the_etag() {
    let place = Place::new();
    let home = Home::with_table(&place).await;
    let view = at_a_tenth(&home).await;
    home.measure(counts(5_000, 50), 3).await;
    let etag = home.get(&view).await.etag();
    home.measure(counts(5_500, 55), 2).await;
    assert_eq!(home.get(&view).await.etag(), etag);
}

#[tokio::test]
async fn a_repeated_command_is_done_once() {
    let place = Place::new();
    let home = Home::with_table(&place).await;
    let view = at_a_tenth(&home).await;
    let mut input = command(&view, pause());
    input.request_id = Some(Uuid::from_u128(7));
    // Nobody drives: it is taken, and the rollout given as it is.
    let first = home.rollouts.send(&ctx("bob"), input.clone()).await.expect("taken");
    assert_eq!(first.record.state.word(), "running");
    home.settle().await;
    home.say("bob", &view, Order::Resume).await.expect("resumed");
    let again = home.rollouts.send(&ctx("bob"), input.clone()).await.expect("answered already");
    assert_eq!(again.record.state.word(), "running", "it was not paused again");
    input.order = rollback();
    let reused = home.rollouts.send(&ctx("bob"), input.clone()).await.expect_err("another command");
    assert!(matches!(reused, Error::RequestIdReused { .. }), "{reused}");
    input.order = pause();
    let other = home.rollouts.send(&ctx("eve"), input).await.expect("another caller's key");
    assert_eq!(other.record.state.word(), "running");
}

#[tokio::test]
async fn a_repeated_creation_gives_the_rollout_that_it_made() {
    let place = Place::new();
    let home = Home::with_table(&place).await;
    let mut input = create(direct());
    input.options.request_id = Some(Uuid::from_u128(9));
    input.options.fingerprint = "f".into();
    let made = home.rollouts.create(&ctx("ann"), input.clone()).await.expect("created");
    let again = home.rollouts.create(&ctx("ann"), input.clone()).await.expect("the same");
    assert_eq!(made.rollout.id, again.rollout.id);
    input.options.fingerprint = "g".into();
    let reused = home.rollouts.create(&ctx("ann"), input).await.expect_err("another request");
    assert!(matches!(reused, Error::RequestIdReused { .. }), "{reused}");
}

#[tokio::test]
async fn a_command_to_nothing_is_not_found_and_a_bad_name_named() {
    let place = Place::new();
    let home = Home::with_table(&place).await;
    let view = home.rollouts.create(&ctx("ann"), create(direct())).await.expect("created");
    let mut input = command(&view, pause());
    input.name = Uuid::from_u128(1).to_string();
    let none = home.rollouts.send(&ctx("bob"), input.clone()).await.expect_err("nothing there");
    assert!(matches!(none, Error::NotFound { .. }), "{none}");
    input.name = "rollouts/x".into();
    input.why = "x".repeat(1_001);
    let bad = home.rollouts.send(&ctx("bob"), input).await.expect_err("faults");
    let Error::Invalid(faults) = bad else { panic!("{bad}") };
    let fields: Vec<_> = faults.iter().map(|v| v.field.as_str()).collect();
    assert_eq!(fields, ["reason", "name"]);
}

#[tokio::test]
async fn commands_and_what_became_of_them_stand_in_the_audit_log() {
    let place = Place::new();
    let home = Home::with_table(&place).await;
    let view = at_a_tenth(&home).await;
    home.say("bob", &view, pause()).await.expect("paused");
    let approve = Order::Approve { content: hotswap_rollout::ContentHash("h2".into()) };
    home.say("eve", &view, approve).await.expect_err("it is running");
    let told = home.audited(&view).await;
    let has = |actor: &str, outcome: &str, text: &str| {
        told.iter().any(|(a, o, t)| a == actor && o == outcome && t.contains(text))
    };
    assert!(has("ann", "done", "a better one"), "{told:#?}");
    assert!(has("bob", "done", "lunch"), "{told:#?}");
    assert!(has("bob", "done", "bob paused it"), "{told:#?}");
    assert!(has("eve", "failed", "COMMAND_REFUSED"), "{told:#?}");
    assert!(has("hotswap", "done", "step 2"), "{told:#?}");
}
