//! A crash at every commit and before and after every effect: whoever comes next brings it to the same end.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::BoxFuture;
use hotswap_rollout::judge::Reading;
use hotswap_rollout::{Exposure, Millis, Order, PlanDraft, RollbackDraft};
use hotswap_rollout_host::{Create, Faults, Page, SendCommand, View};
use hotswap_store::Db;
use tokio::sync::Notify;
use uuid::Uuid;

use crate::harness::{Extras, Gauge, Home, Place, canary, command, counts, ctx, direct, rollout_of};

/// Ends the driver at the point of this number; 0: never.
#[derive(Debug, Default)]
struct CrashAt {
    point: usize,
    passed: AtomicUsize,
    crashed: Notify,
}

impl Faults for CrashAt {
    fn at<'a>(&'a self, _: &'static str) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            if self.passed.fetch_add(1, Ordering::SeqCst) + 1 == self.point {
                self.crashed.notify_one();
                std::future::pending::<()>().await;
            }
        })
    }
}

/// How far the clock moves at once, and after a crash, in microseconds.
const TICK: i64 = 5_000_000;
const LEASE: i64 = 16_000_000;

/// What is done with a rollout.
#[derive(Clone)]
pub(crate) struct Script {
    pub(crate) name: &'static str,
    pub(crate) plan: PlanDraft,
    pub(crate) reading: Reading,
    /// Said at the third tick.
    pub(crate) order: Option<Order>,
    pub(crate) end: &'static str,
}

/// The script of this name.
pub(crate) fn script(name: &str) -> Script {
    scripts().into_iter().find(|s| s.name == name).expect("a script")
}

fn scripts() -> Vec<Script> {
    let gradual = RollbackDraft::Gradual { steps: 2, every_ms: Millis(5_000) };
    let script = |name, plan, reading, order, end| Script { name, plan, reading, order, end };
    let back = Order::Rollback { why: "it smells".into(), instant: false };
    vec![
        script("direct", direct(), Reading::NoData, None, "promoted"),
        script("good", canary(), counts(9_000, 90), None, "promoted"),
        script("bad", canary(), counts(1_000, 300), None, "rolled_back"),
        script("back", PlanDraft { rollback: gradual, ..canary() }, counts(90, 1), Some(back), "rolled_back"),
        script("hurry", canary(), counts(90, 1), Some(Order::Promote { step: None, full: true }), "promoted"),
    ]
}

/// How it came out.
#[derive(Debug, PartialEq)]
pub(crate) struct End {
    pub(crate) word: &'static str,
    live: i64,
    out: Exposure,
    /// What was done, the same twice in a row once.
    acts: Vec<String>,
    /// What happened, but for what depends on the moment.
    pub(crate) kinds: Vec<String>,
}

impl End {
    /// How a rollout of this subject stands.
    pub(crate) async fn of(home: &Home, subject: &str, view: &View) -> Self {
        let (live, out) = home.table.standing(subject).await;
        let mut acts: Vec<_> = home.table.acts(subject).await.into_iter().map(|(_, act)| act).collect();
        acts.dedup();
        let page = Page { page_size: 1_000, ..Page::default() };
        let (events, _) = home.rollouts.events(&ctx("eve"), &view.name(), &page).await.expect("events");
        let kinds = events.into_iter().map(|e| e.kind).filter(|k| k != "judged" && k != "drifted");
        Self { word: home.word(view).await, live, out, acts, kinds: kinds.collect() }
    }
}

/// A run of a script on a subject of its own, with a crash at a point.
struct Run<'a> {
    place: &'a Place,
    db: &'a Db,
    subject: String,
    script: &'a Script,
    twice: bool,
}

impl Run<'_> {
    async fn home(&self, faults: Arc<CrashAt>, gauge: Option<Gauge>) -> Home {
        let extras = Extras { faults, twice: self.twice, gauge, ..Extras::default() };
        Home::with(self.place.path(), self.db.clone(), extras).await
    }

    /// Gives how it ended, and how many points were passed before a crash could come.
    async fn to_the_end(&self, point: usize) -> (End, usize) {
        let crash = Arc::new(CrashAt { point, ..CrashAt::default() });
        let mut home = self.home(Arc::clone(&crash), None).await;
        home.table.add(&self.subject).await;
        *home.gauge.0.lock().expect("not poisoned") = self.script.reading.clone();
        let mut input = rollout_of(&self.subject, self.script.plan.clone());
        input.options.request_id = Some(Uuid::from_u128(1));
        let who = format!("ann of {}", self.subject);
        let (mut view, mut passed) = (None, 0);
        for tick in 0..60 {
            let alive = tokio::select! {
                ended = self.tick(&home, tick, (&who, &input), &mut view) => {
                    if ended {
                        break;
                    }
                    true
                }
                () = crash.crashed.notified() => false,
            };
            // Another process finds what the store has; the lease of the one that died must run out.
            if !alive {
                home = self.home(Arc::default(), Some(home.gauge.clone())).await;
            }
            passed += if alive { TICK } else { LEASE };
            self.db.set_clock_offset_micros(passed);
        }
        let view = view.expect("created");
        (End::of(&home, &self.subject, &view).await, crash.passed.load(Ordering::SeqCst))
    }

    async fn tick(
        &self,
        home: &Home,
        tick: usize,
        (who, input): (&str, &Create),
        view: &mut Option<View>,
    ) -> bool {
        let made = home.rollouts.create(&ctx(who), input.clone()).await.expect("created");
        *view = Some(made.clone());
        if let (Some(order), 2..) = (&self.script.order, tick) {
            let request_id = Some(Uuid::from_u128(0xff));
            let said = SendCommand { request_id, ..command(&made, order.clone()) };
            let who = format!("bob of {}", self.subject);
            let (rollouts, ctx) = (home.rollouts.clone(), ctx(&who));
            // Gone with this turn, should it crash.
            let mut sent = tokio::task::JoinSet::new();
            sent.spawn(async move { rollouts.send(&ctx, said).await });
            while sent.try_join_next().is_none() {
                home.settle().await;
                tokio::task::yield_now().await;
            }
        }
        home.settle().await;
        home.get(&made).await.record.state.is_ended()
    }
}

async fn run(place: &Place, db: &Db, script: &Script, point: usize, twice: bool) -> (End, usize) {
    let subject = format!("tables/{}-{point}{}", script.name, if twice { "-twice" } else { "" });
    db.set_clock_offset_micros(0);
    Run { place, db, subject, script, twice }.to_the_end(point).await
}

async fn equal_ends(name: &str) {
    let place = Place::new();
    let db = place.open().await;
    let script = script(name);
    let (golden, points) = run(&place, &db, &script, 0, false).await;
    assert_eq!(golden.word, script.end, "{golden:#?}");
    assert!(points > 10, "{points}");
    for point in 1..=points {
        let (end, _) = run(&place, &db, &script, point, false).await;
        assert_eq!(end, golden, "{name}: a crash at point {point} of {points}");
    }
    let (twice, _) = run(&place, &db, &script, 0, true).await;
    assert_eq!(twice, golden, "{name}: each act done twice");
}

#[tokio::test]
async fn a_crash_anywhere_leaves_a_direct_rollout_promoted() {
    equal_ends("direct").await;
}

#[tokio::test]
async fn a_crash_anywhere_leaves_a_good_canary_promoted() {
    equal_ends("good").await;
}

#[tokio::test]
async fn a_crash_anywhere_leaves_a_bad_canary_rolled_back() {
    equal_ends("bad").await;
}

#[tokio::test]
async fn a_crash_anywhere_leaves_a_gradual_rollback_done() {
    equal_ends("back").await;
}

#[tokio::test]
async fn a_crash_anywhere_leaves_a_full_promotion_done() {
    equal_ends("hurry").await;
}
