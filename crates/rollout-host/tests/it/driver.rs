//! Several drivers, slow targets, and targets that are found otherwise than they were set.

use std::sync::Arc;

use hotswap_rollout::{Exposure, Facts, Millis, Order, PortError, Store as _, decide};
use hotswap_rollout_host::{DriverOptions, Error, Subjects, View};
use hotswap_runtime::Supervisor;

use crate::harness::{Extras, Home, Place, canary, command, counts, create, ctx, direct, rollout_of, share};

/// Waits until it has ended.
async fn ended(home: &Home, view: &View) -> &'static str {
    let mut watching = home.rollouts.watch(&ctx("eve"), &view.name()).await.expect("watched");
    let mut word = "";
    while let Some(state) = watching.next().await.expect("a state") {
        word = state.view.record.state.word();
    }
    word
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_drivers_never_act_at_once_on_one_rollout() {
    let place = Place::new();
    let home = Home::open(&place).await;
    let mut views = Vec::new();
    for i in 0..20 {
        let name = format!("tables/t{i}");
        home.table.add(&name).await;
        views.push(home.rollouts.create(&ctx("ann"), rollout_of(&name, direct())).await.expect("created"));
    }
    let supervisor = Supervisor::new();
    let (one, two) = (home.driver.clone(), home.another_driver());
    one.start(&supervisor);
    two.start(&supervisor);
    for view in &views {
        assert_eq!(ended(&home, view).await, "promoted");
        let acts = home.table.acts(&view.rollout.subject).await;
        let names: Vec<_> = acts.iter().map(|(_, act)| act.as_str()).collect();
        assert_eq!(names.len(), 3, "each is done once: {names:?}");
        assert!(acts.is_sorted_by_key(|(fence, _)| *fence), "{acts:?}");
    }
    assert_eq!(home.table.overlaps(), 0);
    supervisor.drain(std::time::Duration::from_secs(10)).await;
}

#[tokio::test]
async fn a_fenced_writer_changes_nothing() {
    let place = Place::new();
    let home = Home::with_table(&place).await;
    let view = home.rollouts.create(&ctx("ann"), create(canary())).await.expect("created");
    let subjects: Arc<dyn Subjects> = Arc::new(home.table.clone());
    let (old, new) = (home.rollouts.store(Arc::clone(&subjects)), home.rollouts.store(subjects));
    let lease = Millis(15_000);
    let (claim, rollout, record) = old.claim("table", lease).await.expect("claims").expect("one is due");
    assert!(new.claim("table", lease).await.expect("claims").is_none(), "it is leased");
    let (facts, now) = old.facts(&claim).await.expect("facts");
    let (next, effects) = decide(&rollout.plan, record.clone(), &facts, now);
    assert!(effects.request.is_some());
    // It stands still for longer than its lease; another one takes over and goes on.
    home.pass(Millis(20_000));
    let (later, _, _) = new.claim("table", lease).await.expect("claims").expect("the lease has run out");
    assert!(later.fence() > claim.fence());
    let before = home.get(&view).await;
    let saved = old.save(&claim, record.generation, &next, &facts, &effects).await;
    assert_eq!(saved, Err(PortError::Fenced));
    assert!(matches!(old.facts(&claim).await, Err(PortError::Fenced)));
    assert_eq!(home.get(&view).await, before);
    assert_eq!(home.tale(&view).await, ["started"]);
    // What comes too late over a generation that has passed is refused the same way.
    new.save(&later, record.generation, &next, &facts, &effects).await.expect("saved");
    let stale = new.save(&later, record.generation, &next, &Facts::default(), &effects).await;
    assert_eq!(stale, Err(PortError::Fenced));
    // Giving back what one no longer has takes it from nobody.
    old.release(claim).await.expect("nothing to do");
    assert!(old.claim("table", lease).await.expect("claims").is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_several_creations_at_once_one_is_made() {
    let place = Place::new();
    let home = Home::with_table(&place).await;
    let many: Vec<_> = (0..8)
        .map(|_| {
            let rollouts = home.rollouts.clone();
            tokio::spawn(async move { rollouts.create(&ctx("ann"), create(canary())).await })
        })
        .collect();
    let mut made = 0;
    for one in many {
        match one.await.expect("no panic") {
            Ok(_) => made += 1,
            Err(refused) => assert!(matches!(refused, Error::Active { .. }), "{refused}"),
        }
    }
    assert_eq!(made, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_hangs_holds_up_neither_others_nor_its_own_way_back() {
    let place = Place::new();
    let home = Home::open(&place).await;
    home.table.add("tables/slow").await;
    home.table.add("tables/t").await;
    let slow = home.rollouts.create(&ctx("ann"), rollout_of("tables/slow", direct())).await.expect("created");
    let supervisor = Supervisor::new();
    home.driver.start(&supervisor);
    let view = home.rollouts.create(&ctx("ann"), create(direct())).await.expect("created");
    assert_eq!(ended(&home, &view).await, "promoted");
    let back = Order::Rollback { why: String::new(), instant: false };
    home.rollouts.send(&ctx("bob"), command(&slow, back)).await.expect("taken");
    assert_eq!(ended(&home, &slow).await, "rolled_back");
    assert_eq!(home.table.standing("tables/slow").await, (1, Exposure::None));
    supervisor.drain(std::time::Duration::from_secs(10)).await;
}

#[tokio::test]
async fn an_act_that_takes_too_long_is_asked_for_again_until_its_deadline() {
    let place = Place::new();
    let options = DriverOptions { act_timeout: Millis(300), ..DriverOptions::default() };
    let extras = Extras { options, ..Extras::default() };
    let home = Home::with(place.path(), place.open().await, extras).await;
    home.table.add("tables/slow").await;
    let view = home.rollouts.create(&ctx("ann"), rollout_of("tables/slow", direct())).await.expect("created");
    home.settle().await;
    let tale = home.tale(&view).await;
    assert!(tale.iter().any(|t| t.contains("did not do it within 300 ms")), "{tale:?}");
    assert_eq!(home.word(&view).await, "running");
    home.pass(Millis::minutes(11));
    home.settle().await;
    assert_eq!(home.word(&view).await, "rolled_back");
    assert!(home.tale(&view).await.last().expect("an end").contains("took too long"));
}

#[tokio::test]
async fn what_is_found_otherwise_is_set_again() {
    let place = Place::new();
    let home = Home::with_table(&place).await;
    let view = home.rollouts.create(&ctx("ann"), create(canary())).await.expect("created");
    home.settle().await;
    home.table.meddle("tables/t", &share(9_000)).await;
    *home.gauge.0.lock().expect("not poisoned") = counts(100, 1);
    home.pass(Millis(31_000));
    home.settle().await;
    assert_eq!(home.out().await, share(1_000));
    let tale = home.tale(&view).await;
    assert!(tale.iter().any(|t| t == "found at 90 % of requests; set to 10 % of requests again"), "{tale:?}");
}

#[tokio::test]
async fn one_that_cannot_be_read_does_not_stand_in_the_way_of_others() {
    let place = Place::new();
    let home = Home::with_table(&place).await;
    home.table.add("tables/u").await;
    let odd = home.rollouts.create(&ctx("ann"), create(direct())).await.expect("created");
    let view = home.rollouts.create(&ctx("ann"), rollout_of("tables/u", direct())).await.expect("created");
    let mut tx = home.db.write_unscoped().await.expect("a transaction");
    let sql = "UPDATE rollouts SET record = '{}' WHERE id = $1";
    tx.execute(sql, &[odd.rollout.id.0.to_string().into()]).await.expect("damaged");
    tx.commit().await.expect("commits");
    assert!(home.driver.turn().await.is_err());
    home.settle().await;
    assert_eq!(home.word(&view).await, "promoted");
}
