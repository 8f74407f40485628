//! Three processes on one PostgreSQL drive 200 rollouts while they are killed with `kill -9` at random and started again.
//! At the end none is lost, none was run twice, and the audit log is whole; it prints what it saw, and fails where that is
//! not so.
//!
//! ```text
//! cargo run -p hotswap-rollout-host --example replicas [-- ROLLOUTS SEED]
//! ```
#![expect(clippy::expect_used, clippy::disallowed_methods, reason = "it ends where anything fails")]
#![expect(clippy::print_stdout, reason = "it tells what it saw")]

#[path = "../../tests/it/harness.rs"]
#[expect(dead_code, reason = "tests use the rest")]
mod harness;
#[path = "../../tests/it/table.rs"]
#[expect(dead_code, reason = "tests use the rest")]
mod table;
mod verdict;

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use harness::{Extras, Home, command, counts, ctx, rollout_of};
use hotswap_core::{Clock, Ids, SystemClock, SystemIds};
use hotswap_rollout::judge::Reading;
use hotswap_rollout::{
    CanaryStepDraft, MetricSource, Millis, Order, PlanDraft, Rollout, StrategyDraft, Watch,
};
use hotswap_rollout_host::{Driver, DriverOptions, RolloutMetrics, Sources, Subjects};
use hotswap_runtime::Supervisor;
use hotswap_store::{Database, Db, PostgresOptions};
use hotswap_telemetry::Metrics;
use hotswap_testkit::TestDatabase;

/// Processes that drive.
const REPLICAS: usize = 3;
/// What becomes of a rollout, by its number.
const KINDS: [&str; 4] = ["direct", "good", "bad", "back"];

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
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let args: Vec<_> = std::env::args().skip(1).collect();
    if let [word, url, dir] = args.as_slice()
        && word == "replica"
    {
        return replica(url, Path::new(dir)).await;
    }
    let number = |at: usize, usual: u64| args.get(at).map_or(usual, |text| text.parse().expect("a number"));
    let (rollouts, seed) = (number(0, 200), number(1, 7));
    let database = TestDatabase::create().expect("PostgreSQL");
    let dir = tempfile::tempdir().expect("a folder");
    let home = Home::with(dir.path(), open(&database.url()).await, Extras::default()).await;
    contest(&home, &database.url(), dir.path(), rollouts, seed).await;
}

async fn open(url: &str) -> Db {
    let options = PostgresOptions::parse(url).expect("a URL");
    let (clock, ids): (Arc<dyn Clock>, Arc<dyn Ids>) = (Arc::new(SystemClock), Arc::new(SystemIds));
    Db::open(&Database::Postgres(Box::new(options)), &clock, &ids).await.expect("opens")
}

/// One that drives, until it is killed.
async fn replica(url: &str, dir: &Path) {
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
        // It waits for a person, who rolls it back.
        "back" => {
            let gated = CanaryStepDraft { gate: true, ..step(1_000) };
            PlanDraft::new(StrategyDraft::Canary { steps: vec![gated] })
        }
        _ => PlanDraft::new(canary()),
    }
}

fn start(url: &str, dir: &Path) -> Child {
    let this = std::env::current_exe().expect("this program");
    let mut command = Command::new(this);
    command.arg("replica").arg(url).arg(dir).stdout(Stdio::null());
    command.spawn().expect("starts")
}

async fn contest(home: &Home, url: &str, dir: &Path, rollouts: u64, seed: u64) {
    let mut dice = Dice(seed.max(1));
    let began = Instant::now();
    let mut replicas: Vec<_> = (0..REPLICAS).map(|_| start(url, dir)).collect();
    let mut views = Vec::new();
    for (i, kind) in (0..rollouts).zip(KINDS.iter().cycle()) {
        let name = format!("tables/{kind}-{i}");
        home.table.add(&name).await;
        views.push(home.rollouts.create(&ctx("ann"), rollout_of(&name, plan(kind))).await.expect("created"));
    }
    let mut said = tokio::task::JoinSet::new();
    for view in views.iter().filter(|v| v.rollout.subject.contains("back")) {
        let mut input = command(view, Order::Rollback { why: "no".into(), instant: false });
        input.request_id = Some(view.rollout.id.0);
        let rollouts = home.rollouts.clone();
        said.spawn(async move { rollouts.send(&ctx("bob"), input).await.map(|_| ()) });
    }
    let mut kills = 0;
    while verdict::active(home).await > 0 {
        assert!(
            began.elapsed() < Duration::from_secs(300),
            "they do not end: {:?}",
            verdict::left(home).await
        );
        tokio::time::sleep(Duration::from_millis(200 + dice.below(1_000))).await;
        let victim = usize::try_from(dice.below(REPLICAS as u64)).expect("small");
        if let Some(replica) = replicas.get_mut(victim) {
            replica.kill().expect("kill -9");
            replica.wait().expect("is dead");
            *replica = start(url, dir);
            kills += 1;
        }
    }
    let took = began.elapsed();
    while let Some(taken) = said.join_next().await {
        taken.expect("no panic").expect("taken");
    }
    for replica in &mut replicas {
        replica.kill().expect("kill -9");
        replica.wait().expect("is dead");
    }
    let seen = verdict::check(home, &views).await;
    println!(
        "{rollouts} rollouts, {REPLICAS} processes, seed {seed}: all ended after {:.1} s",
        took.as_secs_f64()
    );
    println!("{kills} times kill -9; {seen}");
}
