//! A home for rollouts of tables, on a database of its own whose clock the test moves.

use std::path::Path;
use std::sync::{Arc, Mutex};

use hotswap_audit::{AuditLog, AuditOptions};
use hotswap_auth::{LocalKey, OpContext, Principal as Caller, Role};
use hotswap_core::{Clock, Ids, Revision, SystemClock, SystemIds, Timestamp};
use hotswap_rollout::judge::{Arm, Counts, Reading, Tally};
use hotswap_rollout::{
    CanaryStepDraft, CountSource, Exposure, MetricSource, Millis, Order, PlanDraft, Rollout, Share,
    StrategyDraft, Watch,
};
use hotswap_rollout_host::{
    Create, Driver, DriverOptions, Error, Faults, NoFaults, NoNotices, Notices, Page, Parts, Queries,
    RolloutMetrics, Rollouts, SendCommand, Sources, Subjects, View, WriteOptions,
};
use hotswap_rpc::SigningKey;
use hotswap_store::{Database, Db, PostgresOptions};
use hotswap_telemetry::Metrics;
use hotswap_testkit::TestDatabase;
use uuid::Uuid;

use crate::table::Table;

/// What the gateways would count.
#[derive(Clone, Debug)]
pub(crate) struct Gauge(pub(crate) Arc<Mutex<Reading>>);

impl MetricSource for Gauge {
    async fn measure(&self, _: &Rollout, _: &Watch) -> Reading {
        self.0.lock().expect("not poisoned").clone()
    }

    async fn baseline_p95_us(&self, _: &Rollout) -> Option<u64> {
        Some(20_000)
    }
}

/// So many requests and errors of the candidate, and nine times the requests of the baseline with 1 % of errors.
pub(crate) fn counts(requests: u64, errors: u64) -> Reading {
    let arm = |requests, errors| Arm { all: Tally { requests, errors, slow: 0 }, buckets: vec![] };
    let (candidate, baseline) = (arm(requests, errors), arm(requests * 9, requests * 9 / 100));
    Reading::Counts(Counts { candidate, baseline, share: None, timed: true })
}

pub(crate) type TableDriver = Driver<Table, Sources<Gauge>>;

/// Where it lies: outlives homes.
pub(crate) struct Place {
    dir: tempfile::TempDir,
    database: Option<TestDatabase>,
}

impl Place {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let shared = std::env::var("HOTSWAP_TEST_STORE").as_deref() == Ok("postgres");
        let database = shared.then(|| TestDatabase::sorting_as("en-US").expect("PostgreSQL"));
        Self { dir, database }
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Runs statements on its PostgreSQL; `false`: it lies on SQLite.
    pub(crate) fn on_postgres(&self, text: &str) -> bool {
        let Some(database) = &self.database else { return false };
        database.sql(text).expect("runs");
        true
    }

    pub(crate) async fn open(&self) -> Db {
        let database = match &self.database {
            None => Database::Sqlite(self.dir.path().join("hotswap.db")),
            Some(database) => {
                let options = PostgresOptions::parse(&database.url()).expect("a URL");
                Database::Postgres(Box::new(options))
            }
        };
        let (clock, ids): (Arc<dyn Clock>, Arc<dyn Ids>) = (Arc::new(SystemClock), Arc::new(SystemIds));
        Db::open(&database, &clock, &ids).await.expect("opens")
    }
}

/// Rollouts of tables.
pub(crate) struct Home {
    pub(crate) db: Db,
    pub(crate) rollouts: Rollouts,
    pub(crate) table: Table,
    pub(crate) driver: TableDriver,
    pub(crate) gauge: Gauge,
    pub(crate) audit: AuditLog,
    prometheus: Option<Arc<dyn Queries>>,
    passed: Mutex<i64>,
}

/// What a home is made with.
pub(crate) struct Extras {
    pub(crate) faults: Arc<dyn Faults>,
    pub(crate) notices: Arc<dyn Notices>,
    pub(crate) options: DriverOptions,
    /// Each act is done twice.
    pub(crate) twice: bool,
    /// What is counted, from an earlier home.
    pub(crate) gauge: Option<Gauge>,
    /// The process's own clock.
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) prometheus: Option<Arc<dyn Queries>>,
}

impl Default for Extras {
    fn default() -> Self {
        Self {
            faults: Arc::new(NoFaults),
            notices: Arc::new(NoNotices),
            options: DriverOptions::default(),
            twice: false,
            gauge: None,
            clock: Arc::new(SystemClock),
            prometheus: None,
        }
    }
}

impl Home {
    pub(crate) async fn open(place: &Place) -> Self {
        Self::with(place.path(), place.open().await, Extras::default()).await
    }

    pub(crate) async fn with(dir: &Path, db: Db, extras: Extras) -> Self {
        let Extras { faults, notices, options, twice, gauge, clock, prometheus } = extras;
        let ids: Arc<dyn Ids> = Arc::new(SystemIds);
        let key = Arc::new(LocalKey::load_or_create(dir).expect("a key"));
        let key = Arc::new(SigningKey::new(key).expect("a key"));
        let audit =
            AuditLog::open(db.clone(), AuditOptions::default(), key, Arc::clone(&clock), Arc::clone(&ids));
        let audit = audit.expect("an audit log");
        let mut table = Table::open(&db).await;
        table.twice = twice;
        let subjects: Arc<dyn Subjects> = Arc::new(table.clone());
        let domains = vec![Arc::clone(&subjects)];
        let parts = Parts {
            db: db.clone(),
            clock,
            ids,
            audit: audit.clone(),
            notices,
            domains,
            faults,
            prometheus: prometheus.clone(),
        };
        let rollouts = Rollouts::new(parts);
        let gauge = gauge.unwrap_or_else(|| Gauge(Arc::new(Mutex::new(Reading::NoData))));
        let source = Arc::new(Sources::new(db.clone(), Arc::new(gauge.clone()), prometheus.clone()));
        let metrics = RolloutMetrics::register(&Metrics::new()).expect("metrics");
        let target = Arc::new(table.clone());
        let driver = Driver::new(&rollouts, &subjects, target, source, options, metrics);
        Self { db, rollouts, table, driver, gauge, audit, prometheus, passed: Mutex::new(0) }
    }

    /// Another driver, as of another process.
    pub(crate) fn another_driver(&self) -> TableDriver {
        let subjects: Arc<dyn Subjects> = Arc::new(self.table.clone());
        let source =
            Arc::new(Sources::new(self.db.clone(), Arc::new(self.gauge.clone()), self.prometheus.clone()));
        let metrics = RolloutMetrics::register(&Metrics::new()).expect("metrics");
        let options = DriverOptions::default();
        Driver::new(&self.rollouts, &subjects, Arc::new(self.table.clone()), source, options, metrics)
    }

    /// With the subject "tables/t".
    pub(crate) async fn with_table(place: &Place) -> Self {
        let home = Self::open(place).await;
        home.table.add("tables/t").await;
        home
    }

    /// Moves the database's clock.
    pub(crate) fn pass(&self, span: Millis) {
        let mut passed = self.passed.lock().expect("not poisoned");
        *passed += i64::try_from(span.0).expect("short") * 1_000;
        self.db.set_clock_offset_micros(*passed);
    }

    /// Sets the database's clock back.
    pub(crate) fn set_back(&self, span: Millis) {
        let mut passed = self.passed.lock().expect("not poisoned");
        *passed -= i64::try_from(span.0).expect("short") * 1_000;
        self.db.set_clock_offset_micros(*passed);
    }

    /// The time, as the database tells it.
    pub(crate) async fn now(&self) -> Timestamp {
        self.db.read().await.expect("a transaction").now().await.expect("the time")
    }

    /// Drives until nothing is due.
    pub(crate) async fn settle(&self) {
        for _ in 0..1_000 {
            if !self.driver.turn().await.expect("a turn") {
                return;
            }
        }
        panic!("it never settles");
    }

    /// Counts for a while: so many seconds pass one by one.
    pub(crate) async fn measure(&self, reading: Reading, seconds: u64) {
        *self.gauge.0.lock().expect("not poisoned") = reading;
        for _ in 0..seconds {
            self.pass(Millis(1_000));
            self.settle().await;
        }
    }

    pub(crate) async fn get(&self, view: &View) -> View {
        self.rollouts.get(&ctx("eve"), &view.name()).await.expect("it is there")
    }

    pub(crate) async fn word(&self, view: &View) -> &'static str {
        self.get(view).await.record.state.word()
    }

    pub(crate) async fn out(&self) -> Exposure {
        self.table.standing("tables/t").await.1
    }

    /// Sends a command, and drives until it is answered.
    pub(crate) async fn say(&self, who: &str, view: &View, order: Order) -> Result<View, Error> {
        let rollouts = self.rollouts.clone();
        let (ctx, input) = (ctx(who), command(view, order));
        let sent = tokio::spawn(async move { rollouts.send(&ctx, input).await });
        while !sent.is_finished() {
            self.settle().await;
            tokio::task::yield_now().await;
        }
        sent.await.expect("no panic")
    }

    /// What happened, in words.
    pub(crate) async fn tale(&self, view: &View) -> Vec<String> {
        let page = Page { page_size: 1_000, ..Page::default() };
        let (events, _) = self.rollouts.events(&ctx("eve"), &view.name(), &page).await.expect("events");
        events.iter().map(|e| e.event.to_string()).collect()
    }

    /// What the audit log tells of it: who, how it ended, and the rest as text.
    pub(crate) async fn audited(&self, view: &View) -> Vec<(String, String, String)> {
        let sql = "SELECT actor, outcome, reason, changes FROM audit_events WHERE resource = $1";
        let mut tx = self.db.read().await.expect("a transaction");
        let rows = tx.fetch_all(sql, &[view.name().into()]).await.expect("rows");
        let text = |r: &hotswap_store::Row, column| r.text(column).expect("text");
        let told = |r: &hotswap_store::Row| {
            let rest = format!("{} {}", text(r, "reason"), text(r, "changes"));
            (text(r, "actor"), text(r, "outcome"), rest)
        };
        rows.iter().map(told).collect()
    }
}

pub(crate) fn command(view: &View, order: Order) -> SendCommand {
    SendCommand { name: view.name(), etag: String::new(), order, why: "because".into(), request_id: None }
}

/// Somebody who calls, with the role "operator".
pub(crate) fn ctx(who: &str) -> OpContext {
    let caller = Caller {
        subject: who.into(),
        roles: vec![Role::Operator],
        tenant: None,
        expires: SystemClock.now().plus_micros(3_600_000_000),
    };
    OpContext::new(caller, Uuid::nil(), "/hotswap.rollout.v1.RolloutService/Test", None)
}

/// 10 %, then everybody, a minute each.
pub(crate) fn canary() -> PlanDraft {
    let step = |share_bp| CanaryStepDraft { share_bp, bake_ms: Millis::minutes(1), gate: false };
    PlanDraft::new(StrategyDraft::Canary { steps: vec![step(1_000), step(10_000)] })
}

pub(crate) fn direct() -> PlanDraft {
    PlanDraft::new(StrategyDraft::Direct)
}

pub(crate) fn share(bp: u32) -> Exposure {
    Exposure::of(Share::from_bp(bp).expect("valid"))
}

/// A rollout of "tables/t" from 1 to 2.
pub(crate) fn rollout_of(subject: &str, plan: PlanDraft) -> Create {
    Create {
        subject: subject.into(),
        from: None,
        to: Revision(2),
        plan,
        sticky: None,
        source: CountSource::Target,
        reason: "a better one".into(),
        options: WriteOptions::default(),
    }
}

pub(crate) fn create(plan: PlanDraft) -> Create {
    rollout_of("tables/t", plan)
}
