//! Use cases and a driver on a database of their own.

use std::path::Path;
use std::sync::Arc;

use hotswap_audit::{AuditLog, AuditOptions};
use hotswap_auth::{LocalKey, OpContext, Principal, Role};
use hotswap_core::{Clock, Ids, Revision, SystemClock, SystemIds};
use hotswap_rollout::{CanaryStepDraft, CountSource, Millis, PlanDraft, StickyKey, StrategyDraft};
use hotswap_rollout_host::{
    Create, Driver, DriverOptions, NoFaults, NoNotices, Parts, RolloutMetrics, Rollouts, Sources, Subjects,
    WriteOptions,
};
use hotswap_rpc::SigningKey;
use hotswap_runtime::{Supervisor, TaskKind};
use hotswap_store::{Database, Db};
use hotswap_telemetry::Metrics;
use hotswap_test_servers::{Postgres, PostgresOptions, Unavailable};
use uuid::Uuid;

use crate::free::Free;
use crate::{Failure, Options, machine};

/// Which database.
pub(crate) enum Place {
    Sqlite(Database),
    Postgres(Box<Postgres>),
}

impl Place {
    pub(crate) fn sqlite(dir: &Path) -> Self {
        Self::Sqlite(Database::Sqlite(dir.join("hotswap.db")))
    }

    /// A server of its own, as safe on disk as in production.
    pub(crate) fn postgres() -> Result<Self, Unavailable> {
        let settings = vec![("autovacuum".to_owned(), "on".to_owned())];
        let options = PostgresOptions { durable: true, settings, ..PostgresOptions::default() };
        Ok(Self::Postgres(Box::new(Postgres::start(options)?)))
    }

    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Sqlite(_) => "SQLite",
            Self::Postgres(_) => "PostgreSQL",
        }
    }

    fn database(&self) -> Result<Database, Failure> {
        match self {
            Self::Sqlite(database) => Ok(database.clone()),
            Self::Postgres(server) => {
                let options = hotswap_store::PostgresOptions::parse(&server.url("postgres"))?;
                Ok(Database::Postgres(Box::new(options)))
            }
        }
    }

    /// CPU of the database's own processes, in seconds; `None`: it has none.
    pub(crate) fn cpu(&self) -> Result<Option<f64>, Failure> {
        match self {
            Self::Sqlite(_) => Ok(None),
            Self::Postgres(server) => {
                machine::cpu_with_children(&machine::postmaster(&server.data())?).map(Some)
            }
        }
    }
}

/// Use cases, a driver that does not drive yet, and what they stand on.
pub(crate) struct Home {
    pub(crate) db: Db,
    pub(crate) rollouts: Rollouts,
    pub(crate) driver: Driver<Free, Sources<Free>>,
    pub(crate) supervisor: Supervisor,
}

impl Home {
    pub(crate) async fn open(dir: &Path, place: &Place, options: Options) -> Result<Self, Failure> {
        let (clock, ids): (Arc<dyn Clock>, Arc<dyn Ids>) = (Arc::new(SystemClock), Arc::new(SystemIds));
        let db = Db::open(&place.database()?, &clock, &ids).await?;
        let key = Arc::new(SigningKey::new(Arc::new(LocalKey::load_or_create(dir)?))?);
        let audit = AuditOptions::default();
        let audit = AuditLog::open(db.clone(), audit, key, Arc::clone(&clock), Arc::clone(&ids))?;
        let free = Free::new(u64::from(options.every) * 60);
        let subjects: Arc<dyn Subjects> = Arc::new(free.clone());
        let domains = vec![Arc::clone(&subjects)];
        let (notices, faults) = (Arc::new(NoNotices), Arc::new(NoFaults));
        let rollouts = Rollouts::new(Parts {
            db: db.clone(),
            clock,
            ids,
            audit,
            notices,
            domains,
            faults,
            prometheus: None,
        });
        let source = Arc::new(Sources::new(db.clone(), Arc::new(free.clone()), None));
        let metrics = RolloutMetrics::register(&Metrics::new())?;
        let driver =
            Driver::new(&rollouts, &subjects, Arc::new(free), source, DriverOptions::default(), metrics);
        let supervisor = Supervisor::new();
        let hints = db.clone();
        // As every replica does.
        supervisor.spawn("hints", TaskKind::Background, async move { hints.exchange_hints().await });
        Ok(Self { db, rollouts, driver, supervisor })
    }

    /// A canary that bakes at 10 %, so long that it bakes until the end unless something else is said. Every second one
    /// keeps its users in their arm.
    pub(crate) fn canary(number: u32, bake: Millis) -> Create {
        let step = |share_bp| CanaryStepDraft { share_bp, bake_ms: bake, gate: false };
        let plan = PlanDraft::new(StrategyDraft::Canary { steps: vec![step(1_000), step(10_000)] });
        Create {
            subject: format!("free/{number}"),
            from: None,
            to: Revision(2),
            plan,
            sticky: number.is_multiple_of(2).then(|| StickyKey::Header("x-user".into())),
            source: CountSource::Target,
            reason: "a better one".into(),
            options: WriteOptions::default(),
        }
    }
}

/// Somebody who calls.
pub(crate) fn ctx() -> OpContext {
    let caller = Principal {
        subject: "ann".into(),
        roles: vec![Role::Operator],
        tenant: None,
        expires: SystemClock.now().plus_micros(86_400_000_000),
    };
    OpContext::new(caller, Uuid::nil(), "/hotswap.rollout.v1.RolloutService/Bench", None)
}
