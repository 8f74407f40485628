//! Processes on one PostgreSQL drive rollouts while they are killed with `kill -9` and started again. At the end none is
//! lost, none was run twice, and the audit log is whole. Used by a test, and by an example for longer runs.

mod verdict;

use std::path::Path;
use std::process::Child;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hotswap_core::{Clock, Ids, SystemClock, SystemIds};
use hotswap_rollout::judge::Reading;
use hotswap_rollout::{
    CanaryStepDraft, MetricSource, Millis, Order, PlanDraft, RollbackDraft, Rollout, StrategyDraft, Watch,
};
use hotswap_rollout_host::{Driver, DriverOptions, RolloutMetrics, Rollouts, Sources, Subjects, View};
use hotswap_runtime::Supervisor;
use hotswap_store::{Database, Db, PostgresOptions};
use hotswap_telemetry::Metrics;
use tokio::task::JoinSet;

use crate::harness::{Extras, Home, command, counts, ctx, rollout_of};

/// Processes that drive.
pub(crate) const REPLICAS: usize = 3;
/// What becomes of a rollout, by its number.
const KINDS: [&str; 4] = ["direct", "good", "bad", "back"];
/// Who has not ended by then never will.
const LIMIT: Duration = Duration::from_secs(300);

/// Counts by the subject's name.
struct ByName;

impl MetricSource for ByName {
    async fn measure(&self, rollout: &Rollout, _: &Watch) -> Reading {
        if rollout.subject.contains("bad") { counts(1_000, 300) } else { counts(9_000, 90) }
    }

    async fn baseline_p95_us(&self, _: &Rollout) -> Option<u64> {
        Some(20_000)
    }
}

/// Draws, from a seed (xorshift).
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.max(1))
    }

    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

/// When a process is killed.
pub(crate) enum Kills {
    /// Again and again, until all have ended.
    ByTime,
    /// One each, when so many acts were done; and all of them at once, while a rollout is on its way back.
    AtActs(Vec<i64>),
}

pub(crate) async fn open(url: &str) -> Db {
    let options = PostgresOptions::parse(url).expect("a URL");
    let (clock, ids): (Arc<dyn Clock>, Arc<dyn Ids>) = (Arc::new(SystemClock), Arc::new(SystemIds));
    Db::open(&Database::Postgres(Box::new(options)), &clock, &ids).await.expect("opens")
}

/// One that drives, until it is killed.
pub(crate) async fn replica(url: &str, dir: &Path) {
    let db = open(url).await;
    let home = Home::with(dir, db.clone(), Extras::default()).await;
    let subjects: Arc<dyn Subjects> = Arc::new(home.table.clone());
    let source = Arc::new(Sources::new(db.clone(), Arc::new(ByName), None));
    let metrics = RolloutMetrics::register(&Metrics::new()).expect("metrics");
    let options =
        DriverOptions { lease: Millis(3_000), act_timeout: Millis(2_000), ..DriverOptions::default() };
    let target = Arc::new(home.table.clone());
    let supervisor = Supervisor::new();
    Driver::new(&home.rollouts, &subjects, target, source, options, metrics).start(&supervisor);
    db.exchange_hints().await;
}

fn plan(kind: &str) -> PlanDraft {
    let step = |share_bp| CanaryStepDraft { share_bp, bake_ms: Millis(1_000), gate: false };
    let canary = || StrategyDraft::Canary { steps: vec![step(1_000), step(5_000), step(10_000)] };
    match kind {
        "direct" => PlanDraft::new(StrategyDraft::Direct),
        // It waits for a person, who rolls it back, step by step.
        "back" => {
            let gated = CanaryStepDraft { gate: true, ..step(1_000) };
            let rollback = RollbackDraft::Gradual { steps: 4, every_ms: Millis(300) };
            PlanDraft { rollback, ..PlanDraft::new(StrategyDraft::Canary { steps: vec![gated] }) }
        }
        _ => PlanDraft::new(canary()),
    }
}

/// Processes, each started again where it was killed.
struct Replicas<S> {
    start: S,
    running: Vec<Child>,
    kills: usize,
}

impl<S: Fn() -> Child> Replicas<S> {
    fn start(start: S) -> Self {
        let running = (0..REPLICAS).map(|_| start()).collect();
        Self { start, running, kills: 0 }
    }

    fn kill(&mut self, victim: usize) {
        let replica = self.running.get_mut(victim).expect("one of them");
        replica.kill().expect("kill -9");
        replica.wait().expect("is dead");
        *replica = (self.start)();
        self.kills += 1;
    }
}

impl<S> Drop for Replicas<S> {
    fn drop(&mut self) {
        for replica in &mut self.running {
            let _ = replica.kill();
            let _ = replica.wait();
        }
    }
}

async fn is_at_its_gate(rollouts: &Rollouts, name: &str) -> bool {
    let view = rollouts.get(&ctx("bob"), name).await.expect("it is there");
    view.record.state.word() == "waiting_for_promotion"
}

/// Creates rollouts of all kinds, in turn; commands to take some back are on their way.
async fn begin(home: &Home, rollouts: u64) -> (Vec<View>, JoinSet<()>) {
    let mut views = Vec::new();
    for (i, kind) in (0..rollouts).zip(KINDS.iter().cycle()) {
        let name = format!("tables/{kind}-{i}");
        home.table.add(&name).await;
        views.push(home.rollouts.create(&ctx("ann"), rollout_of(&name, plan(kind))).await.expect("created"));
    }
    let mut said = JoinSet::new();
    for view in views.iter().filter(|v| v.rollout.subject.contains("back")) {
        let mut input = command(view, Order::Rollback { why: "no".into(), instant: false });
        input.request_id = Some(view.rollout.id.0);
        let (rollouts, name) = (home.rollouts.clone(), view.name());
        said.spawn(async move {
            // Once it is out: before that there would be nothing to take back.
            while !is_at_its_gate(&rollouts, &name).await {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            rollouts.send(&ctx("bob"), input).await.map(drop).expect("taken");
        });
    }
    (views, said)
}

/// Runs it to the end, and gives what was seen; it panics where anything does not hold.
pub(crate) async fn contest(
    home: &Home,
    start: impl Fn() -> Child,
    rollouts: u64,
    dice: &mut Dice,
    kills: Kills,
) -> String {
    let began = Instant::now();
    let mut replicas = Replicas::start(start);
    let (views, mut said) = begin(home, rollouts).await;
    let mut marks = match &kills {
        Kills::ByTime => Vec::new(),
        Kills::AtActs(marks) => marks.clone(),
    };
    marks.sort_unstable_by(|a, b| b.cmp(a));
    let mut back_unharmed = matches!(kills, Kills::AtActs(_));
    while verdict::active(home).await > 0 {
        assert!(began.elapsed() < LIMIT, "they do not end: {:?}", verdict::left(home).await);
        if back_unharmed && verdict::going_back(home).await > 0 {
            (0..REPLICAS).for_each(|each| replicas.kill(each));
            back_unharmed = false;
        }
        let due = match (&kills, marks.last()) {
            (Kills::ByTime, _) => {
                tokio::time::sleep(Duration::from_millis(200 + dice.below(1_000))).await;
                true
            }
            (Kills::AtActs(_), mark) => {
                tokio::time::sleep(Duration::from_millis(20)).await;
                let acts = verdict::acts(home).await;
                mark.is_some_and(|mark| acts >= *mark)
            }
        };
        if due {
            marks.pop();
            replicas.kill(usize::try_from(dice.below(REPLICAS as u64)).expect("small"));
        }
    }
    let took = began.elapsed();
    while let Some(taken) = said.join_next().await {
        taken.expect("no panic");
    }
    let killed = replicas.kills;
    drop(replicas);
    assert!(!back_unharmed, "none was killed on a way back");
    assert!(marks.is_empty(), "it ended before all were killed: {marks:?}");
    let seen = verdict::check(home, &views).await;
    let took = took.as_secs_f64();
    format!(
        "{rollouts} rollouts, {REPLICAS} processes: all ended after {took:.1} s\n{killed} times kill -9; {seen}"
    )
}
