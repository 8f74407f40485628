//! What a live write pays for being recorded as a rollout, for `cargo xtask bench overhead`: a JSON object a line,
//! `{"name", "unit", "values"}`. Its one argument is the number of rounds.
//!
//! CPU is that of this process, all threads, user and system. What is compared takes turns. The database lies in a folder
//! of its own, which is taken away again; PostgreSQL is measured where it is installed.

use std::error::Error;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use hotswap_audit::{AuditLog, AuditOptions, Caller, Chain, Entry};
use hotswap_auth::{LocalKey, OpContext, Principal, Role};
use hotswap_core::{Clock, Ids, Revision, SystemClock, SystemIds};
use hotswap_rollout_host::{Live, NoFaults, NoNotices, Parts, Rollouts};
use hotswap_rpc::SigningKey;
use hotswap_store::{Database, Db, PostgresOptions};
use hotswap_testkit::TestDatabase;
use serde_json::json;
use uuid::Uuid;

type Failure = Box<dyn Error + Send + Sync>;

/// Writes in a turn.
const WRITES: i64 = 1_000;
const SCOPE: &str = "bench";
const SUBJECT: &str = "routes/shop";

/// A write, as the route service makes one, but for the resource itself.
struct Writer {
    db: Db,
    audit: AuditLog,
    rollouts: Rollouts,
    caller: OpContext,
}

fn main() -> Result<(), Failure> {
    let rounds: usize = std::env::args().nth(1).map_or(Ok(7), |text| text.parse())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let dir = tempfile::tempdir()?;
        let sqlite = Database::Sqlite(dir.path().join("live.db"));
        Writer::open(dir.path(), &sqlite).await?.compare("SQLite", rounds).await?;
        match TestDatabase::create() {
            Err(why) => Ok(writeln!(std::io::stderr(), "PostgreSQL is not measured: {why}")?),
            Ok(server) => {
                let postgres = Database::Postgres(Box::new(PostgresOptions::parse(&server.url())?));
                Writer::open(dir.path(), &postgres).await?.compare("PostgreSQL", rounds).await
            }
        }
    })
}

impl Writer {
    async fn open(dir: &Path, database: &Database) -> Result<Self, Failure> {
        let (clock, ids): (Arc<dyn Clock>, Arc<dyn Ids>) = (Arc::new(SystemClock), Arc::new(SystemIds));
        let db = Db::open(database, &clock, &ids).await?;
        let key = Arc::new(SigningKey::new(Arc::new(LocalKey::load_or_create(dir)?))?);
        let options = AuditOptions::default();
        let audit = AuditLog::open(db.clone(), options, key, Arc::clone(&clock), Arc::clone(&ids))?;
        let principal = Principal {
            subject: "alice@example.com".into(),
            roles: vec![Role::Operator],
            tenant: None,
            expires: clock.now().plus_micros(86_400_000_000),
        };
        let caller =
            OpContext::new(principal, Uuid::nil(), "/hotswap.route.v1.RouteService/UpdateRoute", None);
        let (notices, faults) = (Arc::new(NoNotices), Arc::new(NoFaults));
        let (own, log) = (db.clone(), audit.clone());
        let parts =
            Parts { db: own, clock, ids, audit: log, notices, domains: vec![], prometheus: None, faults };
        Ok(Self { db, audit, rollouts: Rollouts::new(parts), caller })
    }

    async fn compare(&self, on: &str, rounds: usize) -> Result<(), Failure> {
        let (mut without, mut with) = (Vec::new(), Vec::new());
        // The first round warms up.
        for round in 0..=rounds {
            let (bare, recorded) = (self.turn(false).await?, self.turn(true).await?);
            if round > 0 {
                without.push(bare);
                with.push(recorded);
            }
        }
        let added: Vec<f64> = with.iter().zip(&without).map(|(with, without)| with - without).collect();
        tell(&format!("{on}: a live write without its rollout, with its event"), &without)?;
        tell(&format!("{on}: what asking for rollouts and recording one adds"), &added)
    }

    /// CPU of a write, in µs.
    async fn turn(&self, recorded: bool) -> Result<f64, Failure> {
        let before = cpu_us()?;
        for i in 0..WRITES {
            let mut tx = self.db.write(SCOPE).await?;
            if recorded {
                self.rollouts.check_live(&mut tx, SUBJECT).await?;
            }
            let revision = tx.next_revision(SCOPE).await?;
            tx.log_change(SCOPE, revision, SUBJECT).await?;
            if recorded {
                let from = Some(Revision(revision.0 - 1));
                let live = Live { domain: "route", subject: SUBJECT, from, to: revision };
                self.rollouts.record_live(&mut tx, &self.caller, live).await?;
            }
            let diff = self.audit.diff(Some(&content(i)), Some(&content(i + 1)));
            let caller = Caller { actor: self.caller.actor().to_owned(), ..Caller::default() };
            self.audit
                .record(&mut tx, &Chain::Platform, Entry::done(caller, SUBJECT, revision, diff))
                .await?;
            tx.commit().await?;
        }
        #[expect(clippy::cast_precision_loss, reason = "a small number")]
        Ok((cpu_us()? - before) / WRITES as f64)
    }
}

/// A route.
fn content(priority: i64) -> serde_json::Value {
    json!({
        "hosts": ["shop.example", "www.shop.example"], "priority": priority, "labels": { "team": "web" },
        "matches": [{ "path": { "prefix": "/cart" }, "methods": ["GET", "POST"] }],
        "forward": { "pool": "pools/shop", "timeouts": { "total_ms": 5_000 } },
    })
}

/// CPU time of this process, user and system; Linux tells it in hundredths of a second.
fn cpu_us() -> Result<f64, Failure> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let (_, fields) = stat.rsplit_once(')').ok_or("no name")?;
    // User and system are the 14th and the 15th; the name is the second.
    let ticks: Result<Vec<f64>, _> = fields.split_whitespace().skip(11).take(2).map(str::parse).collect();
    Ok(ticks?.into_iter().sum::<f64>() * 10_000.0)
}

fn tell(name: &str, values: &[f64]) -> Result<(), Failure> {
    let line = json!({ "name": name, "unit": "µs CPU", "values": values });
    Ok(writeln!(std::io::stdout().lock(), "{line}")?)
}
