//! What a domain's own service asks and tells.

use hotswap_core::Revision;
use hotswap_rollout::RolloutPolicy;
use hotswap_rollout_host::{Error, List, Live, PutPolicy};

use crate::harness::{Home, Place, canary, create, ctx};

#[tokio::test]
async fn a_live_write_stands_as_an_ended_rollout() {
    let place = Place::new();
    let home = Home::with_table(&place).await;
    let mut tx = home.db.write("table").await.expect("a transaction");
    home.rollouts.check_live(&mut tx, "tables/t").await.expect("allowed");
    let live = Live { domain: "table", subject: "tables/t", from: Some(Revision(1)), to: Revision(2) };
    let id = home.rollouts.record_live(&mut tx, &ctx("ann"), live).await.expect("recorded");
    tx.commit().await.expect("commits");
    let view = home.rollouts.get(&ctx("eve"), &id.to_string()).await.expect("there");
    assert_eq!((view.strategy.as_str(), view.record.state.word()), ("live", "promoted"));
    assert!(view.ended_at.is_some());
    let filter = List { filter: "strategy = live AND state = PROMOTED".into(), ..List::default() };
    assert_eq!(home.rollouts.list(&ctx("eve"), &filter).await.expect("a list").0.len(), 1);
    assert!(!home.driver.turn().await.expect("a turn"), "nothing is due");
}

#[tokio::test]
async fn a_live_write_is_refused_under_a_rollout_a_freeze_or_a_policy() {
    let place = Place::new();
    let home = Home::with_table(&place).await;
    let check = async |subject: &str| {
        let mut tx = home.db.write("table").await.expect("a transaction");
        home.rollouts.check_live(&mut tx, subject).await
    };
    let policy = RolloutPolicy { gradual: true, ..RolloutPolicy::default() };
    let (name, subject) = ("strict".to_owned(), "tables/s".to_owned());
    let put = PutPolicy { name, subject, policy, etag: String::new(), validate_only: false };
    home.rollouts.put_policy(&ctx("bob"), put).await.expect("put");
    let not_allowed = check("tables/s").await.expect_err("the policy asks for steps");
    assert!(
        matches!(&not_allowed, Error::LiveNotAllowed { policy, .. } if policy == "rolloutPolicies/strict")
    );
    home.rollouts.create(&ctx("ann"), create(canary())).await.expect("created");
    assert!(matches!(check("tables/t").await, Err(Error::Active { .. })));
    let mut tx = home.db.write("table").await.expect("a transaction");
    let kept = home.rollouts.check_delete(&mut tx, "tables/t").await;
    assert!(matches!(kept, Err(Error::Active { .. })));
    assert!(home.rollouts.active(&mut tx, "tables/t").await.expect("read").is_some());
    drop(tx);
    home.rollouts.set_freeze(&ctx("bob"), true, "").await.expect("on");
    assert!(matches!(check("tables/u").await, Err(Error::Frozen { .. })));
}
