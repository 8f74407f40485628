//! Clocks that are wrong: those of replicas, and the database's own, by which everybody goes.

use std::sync::{Arc, Mutex};

use futures_util::future::BoxFuture;
use hotswap_core::{Clock, SystemClock, Timestamp};
use hotswap_rollout::judge::JudgeDraft;
use hotswap_rollout::{
    CountSource, Exposure, Millis, Order, PlanDraft, PrometheusQueries, RollbackDraft, Store as _,
};
use hotswap_rollout_host::{Ask, Create, NoNumber, PrometheusCounts, Subjects, View};

use crate::harness::{Extras, Home, Place, canary, counts, create, ctx, share};

const HOUR: i64 = 3_600_000_000;

/// A machine whose clock is so far off, in microseconds.
#[derive(Debug)]
struct Off(i64);

impl Clock for Off {
    fn now(&self) -> Timestamp {
        SystemClock.now().plus_micros(self.0)
    }
}

/// A replica whose clock is so far off, on a store that others have too.
async fn replica(place: &Place, of: Option<&Home>, off: i64) -> Home {
    let db = match of {
        Some(other) => other.db.clone(),
        None => place.open().await,
    };
    let gauge = of.map(|other| other.gauge.clone());
    let extras = Extras { clock: Arc::new(Off(off)), gauge, ..Extras::default() };
    Home::with(place.path(), db, extras).await
}

#[tokio::test]
async fn replicas_whose_clocks_are_an_hour_off_keep_bakes_and_leases_like_all_others() {
    let place = Place::new();
    let ahead = replica(&place, None, HOUR).await;
    let behind = replica(&place, Some(&ahead), -HOUR).await;
    ahead.table.add("tables/t").await;
    let before = ahead.now().await;
    let view = ahead.rollouts.create(&ctx("ann"), create(canary())).await.expect("created");
    assert!((before..=ahead.now().await).contains(&view.rollout.created_at));
    *ahead.gauge.0.lock().expect("not poisoned") = counts(9_000, 90);
    // Half of the bake: the other half is for a machine that is slow.
    for _ in 0..30 {
        behind.settle().await;
        ahead.settle().await;
        assert_eq!(behind.out().await, share(1_000), "the bake is kept");
        ahead.pass(Millis(1_000));
    }
    ahead.pass(Millis(31_000));
    behind.settle().await;
    assert_eq!(behind.out().await, Exposure::Full);

    // What one of them holds the other has to wait for, as long as the lease lasts and no longer.
    let subjects = || -> Arc<dyn Subjects> { Arc::new(ahead.table.clone()) };
    ahead.pass(Millis(30_000));
    let (old, new) = (ahead.rollouts.store(subjects()), behind.rollouts.store(subjects()));
    let lease = Millis(15_000);
    let (claim, ..) = old.claim("table", lease).await.expect("claims").expect("one is due");
    ahead.pass(Millis(5_000));
    assert!(new.claim("table", lease).await.expect("claims").is_none());
    ahead.pass(Millis(11_000));
    let (later, ..) = new.claim("table", lease).await.expect("claims").expect("it has run out");
    assert!(later.fence() > claim.fence());
    new.release(later).await.expect("given back");

    ahead.pass(Millis::minutes(1));
    ahead.settle().await;
    let end = ahead.get(&view).await;
    assert_eq!(end.record.state.word(), "promoted");
    let took = end.ended_at.expect("ended").0 - end.rollout.created_at.0;
    assert!((120_000_000..HOUR / 6).contains(&took), "{took}");
}

/// A server that has everything, and keeps what it was asked.
#[derive(Clone, Debug, Default)]
struct Keeps(Arc<Mutex<Vec<(String, Timestamp)>>>);

impl Ask for Keeps {
    fn admits(&self, _: &str) -> Result<(), String> {
        Ok(())
    }

    fn number<'a>(
        &'a self,
        _: &'a str,
        query: &'a str,
        at: Timestamp,
    ) -> BoxFuture<'a, Result<f64, NoNumber>> {
        self.0.lock().expect("not poisoned").push((query.to_owned(), at));
        Box::pin(std::future::ready(Ok(if query.starts_with("all") { 9_000.0 } else { 90.0 })))
    }
}

#[tokio::test]
async fn prometheus_is_asked_for_the_time_of_the_database_whatever_the_clock_of_the_one_who_asks() {
    for off in [HOUR, -HOUR] {
        let place = Place::new();
        let asked = Keeps::default();
        let extras = Extras {
            clock: Arc::new(Off(off)),
            prometheus: Some(Arc::new(PrometheusCounts::new(asked.clone()))),
            ..Extras::default()
        };
        let home = Home::with(place.path(), place.open().await, extras).await;
        home.table.add("tables/t").await;
        let queries = PrometheusQueries {
            address: "http://p".into(),
            total: "all[{{window}}]".into(),
            errors: "bad".into(),
            slow: None,
            p95: None,
        };
        let judge = JudgeDraft { slow: None, ..JudgeDraft::default() };
        let plan = PlanDraft { judge: Some(judge), ..canary() };
        let input = Create { source: CountSource::Prometheus(queries), ..create(plan) };
        home.rollouts.create(&ctx("ann"), input).await.expect("created");
        home.settle().await;
        asked.0.lock().expect("not poisoned").clear();
        let before = home.now().await;
        home.pass(Millis(30_000));
        home.settle().await;
        let after = home.now().await;
        let asked = asked.0.lock().expect("not poisoned").clone();
        assert!(!asked.is_empty());
        for (query, at) in asked {
            assert!((before..=after).contains(&at), "{off}: {query} at {at:?}");
            assert!(!query.starts_with("all") || query.starts_with("all[3"), "half a minute: {query}");
        }
    }
}

async fn at_a_tenth(home: &Home, plan: PlanDraft) -> View {
    let view = home.rollouts.create(&ctx("ann"), create(plan)).await.expect("created");
    home.settle().await;
    home.measure(counts(100, 1), 3).await;
    assert_eq!(home.out().await, share(1_000));
    view
}

#[tokio::test]
async fn with_the_clock_of_the_database_set_back_an_hour_a_bad_candidate_still_goes_back_at_once() {
    let place = Place::new();
    let home = Home::with_table(&place).await;
    let view = at_a_tenth(&home, canary()).await;
    home.set_back(Millis::hours(1));
    home.measure(counts(1_000, 300), 2).await;
    assert_eq!((home.word(&view).await, home.out().await), ("rolled_back", Exposure::None));
}

#[tokio::test]
async fn with_the_clock_of_the_database_set_back_a_lease_and_an_act_that_is_tried_again_wait_no_hour() {
    let place = Place::new();
    let home = Home::with_table(&place).await;
    let gradual = RollbackDraft::Gradual { steps: 2, every_ms: Millis(5_000) };
    let view = at_a_tenth(&home, PlanDraft { rollback: gradual, ..canary() }).await;
    // A holder that never comes back, from before the clock was set back.
    home.pass(Millis(61_000));
    let subjects: Arc<dyn Subjects> = Arc::new(home.table.clone());
    let store = home.rollouts.store(subjects);
    let (lost, ..) = store.claim("table", Millis(15_000)).await.expect("claims").expect("one is due");
    home.set_back(Millis::hours(1));
    let back = Order::Rollback { why: "it smells".into(), instant: true };
    home.say("bob", &view, back).await.expect("taken");
    home.settle().await;
    assert_eq!((home.word(&view).await, home.out().await), ("rolled_back", Exposure::None));
    let fences = home.table.acts("tables/t").await.into_iter().map(|(fence, _)| fence);
    assert!(fences.max().is_some_and(|fence| fence > lost.fence()));
}

#[tokio::test]
async fn with_the_clock_of_the_database_set_back_or_ahead_nothing_is_promoted_without_a_verdict() {
    let place = Place::new();
    let home = Home::with_table(&place).await;
    let view = at_a_tenth(&home, canary()).await;
    home.set_back(Millis::hours(1));
    home.measure(counts(9_000, 90), 30).await;
    assert_eq!(
        (home.word(&view).await, home.out().await),
        ("running", share(1_000)),
        "the bake lasts longer"
    );
    home.pass(Millis::hours(3));
    home.settle().await;
    assert_eq!(home.out().await, Exposure::Full, "it was baked, and the verdict is there");
    let second = Place::new();
    let home = Home::with_table(&second).await;
    let view = at_a_tenth(&home, canary()).await;
    home.pass(Millis::hours(1));
    home.settle().await;
    assert_ne!(home.out().await, Exposure::Full, "a hundred requests are no verdict");
    assert!(["running", "paused"].contains(&home.word(&view).await));
}
