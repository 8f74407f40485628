//! What the audit log costs, for `cargo xtask bench audit`: a JSON object a line, `{"name", "unit", "values"}`. Its
//! arguments are the parts to measure: pieces, writes, flood, verify. Default: all.
//!
//! CPU is that of this process, all threads, user and system. The database lies in a folder of its own, which is
//! taken away again; PostgreSQL is measured where it is installed.

use std::error::Error;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Instant;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use hotswap_audit::{
    AuditKey, AuditLog, AuditOptions, Caller, Chain, Diff, Entry, Event, ExportQuery, Format, Hash, Outcome,
    PublicKey, Trust, chained, verify_export,
};
use hotswap_core::{Clock, Ids, Reason, Revision, SystemClock, SystemIds};
use hotswap_store::{Database, Db, PostgresOptions};
use hotswap_testkit::TestDatabase;
use serde_json::{Value, json};

type Failure = Box<dyn Error + Send + Sync>;

/// Times that everything is measured; what is compared takes turns.
const ROUNDS: usize = 5;
/// Writes in a turn.
const WRITES: i64 = 4_000;
/// Events of the log that is verified, and how many are written at once.
const EVENTS: i64 = 100_000;
const BATCH: i64 = 1_000;
/// Denied calls of a flood.
const FLOOD: u32 = 500_000;

const SCOPE: &str = "bench";
const PLATFORM: Chain = Chain::Platform;

struct Key {
    pair: Ed25519KeyPair,
    public: PublicKey,
}

impl AuditKey for Key {
    fn public(&self) -> PublicKey {
        self.public
    }

    fn sign(&self, message: &[u8]) -> Option<[u8; 64]> {
        self.pair.sign(message).as_ref().try_into().ok()
    }

    fn masking_key(&self) -> [u8; 32] {
        [1; 32]
    }
}

fn main() -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(run())
}

async fn run() -> Result<(), Failure> {
    let parts: Vec<String> = std::env::args().skip(1).collect();
    let wanted = |part: &str| parts.is_empty() || parts.iter().any(|p| p == part);
    let dir = tempfile::tempdir()?;
    let sqlite = Database::Sqlite(dir.path().join("cost.db"));
    let (db, log) = open(&sqlite).await?;
    if wanted("pieces") {
        pieces(&log)?;
    }
    if wanted("writes") {
        writes("SQLite", &db, &log).await?;
    }
    if wanted("flood") {
        flood(&log).await?;
    }
    if wanted("verify") {
        verification("SQLite", &sqlite_anew(dir.path()), true).await?;
    }
    if wanted("writes") || wanted("verify") {
        on_postgres(wanted("writes"), wanted("verify")).await
    } else {
        Ok(())
    }
}

async fn on_postgres(with_writes: bool, with_verification: bool) -> Result<(), Failure> {
    match TestDatabase::create() {
        Err(why) => writeln!(std::io::stderr(), "PostgreSQL is not measured: {why}")?,
        Ok(server) => {
            let database = Database::Postgres(Box::new(PostgresOptions::parse(&server.url())?));
            if with_writes {
                let (db, log) = open(&database).await?;
                writes("PostgreSQL", &db, &log).await?;
                db.close().await;
            }
            drop(server);
            let server = TestDatabase::create()?;
            let database = Database::Postgres(Box::new(PostgresOptions::parse(&server.url())?));
            if with_verification {
                verification("PostgreSQL", &database, false).await?;
            }
        }
    }
    Ok(())
}

fn sqlite_anew(dir: &std::path::Path) -> Database {
    Database::Sqlite(dir.join("verified.db"))
}

async fn open(database: &Database) -> Result<(Db, AuditLog), Failure> {
    let (clock, ids): (Arc<dyn Clock>, Arc<dyn Ids>) = (Arc::new(SystemClock), Arc::new(SystemIds));
    let db = Db::open(database, &clock, &ids).await?;
    let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).map_err(|_| "no key")?;
    let public = PublicKey::new(pair.public_key().as_ref().try_into()?);
    let key = Arc::new(Key { pair, public });
    let log = AuditLog::open(db.clone(), AuditOptions::default(), key, clock, ids)?;
    Ok((db, log))
}

/// An update of a route, as the route service has it.
fn contents(i: i64) -> (Value, Value) {
    let route = |priority: i64| {
        json!({
            "hosts": ["shop.example", "www.shop.example"], "priority": priority, "labels": { "team": "web" },
            "matches": [{ "path": { "prefix": "/cart" }, "methods": ["GET", "POST"] }],
            "forward": { "pool": "pools/shop", "timeouts": { "total_ms": 5_000 } },
            "request_headers": { "set": [{ "name": "x-env", "value": "prod" }] },
        })
    };
    (route(i), route(i + 1))
}

fn entry(i: i64, diff: Diff) -> Entry {
    let caller = Caller {
        actor: "alice@example.com".into(),
        roles: vec!["operator".into()],
        tenant: String::new(),
        method: "hotswap.route.v1.RouteService/UpdateRoute".into(),
        request_id: SystemIds.uuid(),
        source: "192.0.2.7".into(),
    };
    Entry::done(caller, format!("routes/r{}", i % 100), Revision(i), diff)
}

/// The parts of an event's cost that need no database.
fn pieces(log: &AuditLog) -> Result<(), Failure> {
    let (before, after) = contents(1);
    measured("diff of a route", 20_000, || drop(log.diff(Some(&before), Some(&after))))?;
    let entry = entry(1, log.diff(Some(&before), Some(&after)));
    let event = Event {
        chain: PLATFORM,
        sequence: 1,
        id: SystemIds.uuid(),
        at: SystemClock.now(),
        caller: entry.caller,
        resource: entry.resource,
        revision: entry.revision,
        outcome: Outcome::Done,
        reason: String::new(),
        before: entry.diff.before,
        after: entry.diff.after,
        changes: entry.diff.changes,
        attempts: 1,
    };
    measured("encoding and hash", 200_000, || drop(chained(&Hash::ZERO, &event).to_string()))
}

fn measured(name: &str, times: u32, mut work: impl FnMut()) -> Result<(), Failure> {
    let mut values = Vec::new();
    for _ in 0..ROUNDS {
        let before = Cpu::now()?;
        (0..times).for_each(|_| work());
        values.push(before.since()? / f64::from(times));
    }
    tell(name, "µs", &values)
}

/// A transaction that takes a revision and logs a change, as every write does; bare, and with its event.
async fn writes(on: &str, db: &Db, log: &AuditLog) -> Result<(), Failure> {
    let (mut bare, mut audited) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        bare.push(turn(db, None).await?);
        audited.push(turn(db, Some(log)).await?);
    }
    let added: Vec<f64> = bare.iter().zip(&audited).map(|(bare, audited)| audited - bare).collect();
    tell(&format!("{on}: a write without its event"), "µs CPU", &bare)?;
    tell(&format!("{on}: a write with its event"), "µs CPU", &audited)?;
    tell(&format!("{on}: what the event adds"), "µs CPU", &added)
}

async fn turn(db: &Db, log: Option<&AuditLog>) -> Result<f64, Failure> {
    let before = Cpu::now()?;
    for i in 0..WRITES {
        let mut tx = db.write(SCOPE).await?;
        let revision = tx.next_revision(SCOPE).await?;
        tx.log_change(SCOPE, revision, "routes/shop").await?;
        if let Some(log) = log {
            let (before, after) = contents(i);
            log.record(&mut tx, &PLATFORM, entry(i, log.diff(Some(&before), Some(&after)))).await?;
        }
        tx.commit().await?;
    }
    #[expect(clippy::cast_precision_loss, reason = "a small number")]
    Ok(before.since()? / WRITES as f64)
}

/// Denied calls without end: all alike, and each from another address.
async fn flood(log: &AuditLog) -> Result<(), Failure> {
    let attempts = log.attempts();
    let caller = entry(1, Diff::default()).caller;
    measured("a denied call like others", FLOOD, || attempts.denied(caller.clone(), Reason::RoleMissing))?;
    let mut n = 0_u64;
    measured("a denied call unlike others", FLOOD, || {
        n += 1;
        let from = Caller { source: format!("2001:db8::{n:x}"), ..caller.clone() };
        attempts.denied(from, Reason::RoleMissing);
    })?;
    let before = head(log).await?;
    log.write_attempts(true).await?;
    let written = head(log).await? - before;
    #[expect(clippy::cast_precision_loss, reason = "a small number")]
    tell(&format!("events of these {} million denied calls", FLOOD / 100_000), "events", &[written as f64])
}

async fn head(log: &AuditLog) -> Result<i64, Failure> {
    let reports = log.verify(Some(&PLATFORM)).await?;
    Ok(reports.first().map_or(0, |report| report.head))
}

async fn verification(on: &str, database: &Database, offline: bool) -> Result<(), Failure> {
    let (db, log) = open(database).await?;
    for batch in 0..EVENTS / BATCH {
        let mut tx = db.write_unscoped().await?;
        for i in 0..BATCH {
            let (before, after) = contents(i);
            let diff = log.diff(Some(&before), Some(&after));
            log.record(&mut tx, &PLATFORM, entry(batch * BATCH + i, diff)).await?;
        }
        tx.commit().await?;
        log.checkpoint(&PLATFORM).await?;
    }
    let mut rates = Vec::new();
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        let reports = log.verify(Some(&PLATFORM)).await?;
        let report = reports.first().filter(|r| r.is_intact()).ok_or("the log is not intact")?;
        rates.push(rate(report.events, begun));
    }
    tell(&format!("{on}: VerifyLog"), "events/s", &rates)?;
    if offline { exports(&log).await } else { Ok(()) }
}

async fn exports(log: &AuditLog) -> Result<(), Failure> {
    let trust = Trust { keys: log.trusted_keys().to_vec(), ..Trust::default() };
    for (name, format) in [("JSON", Format::Json), ("CSV", Format::Csv)] {
        let (mut made, mut verified, mut size) = (Vec::new(), Vec::new(), 0.0);
        for _ in 0..ROUNDS {
            let begun = Instant::now();
            let query = ExportQuery { chain: PLATFORM, filter: String::new(), format };
            let mut export = log.export(entry(1, Diff::default()).caller, query).await?;
            let mut bytes = Vec::new();
            while let Some(piece) = export.next().await? {
                bytes.extend_from_slice(&piece);
            }
            let wrote = begun.elapsed();
            let begun = Instant::now();
            let report = verify_export(bytes.as_slice(), &trust)?;
            if !report.is_intact() {
                return Err("the export is not intact".into());
            }
            verified.push(rate(report.events, begun));
            #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
            let events = report.events as f64;
            made.push(events / wrote.as_secs_f64());
            #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
            let length = bytes.len() as f64;
            size = length / events;
        }
        tell(&format!("ExportEvents as {name}, from SQLite"), "events/s", &made)?;
        tell(&format!("hotswap audit verify of a {name} export"), "events/s", &verified)?;
        tell(&format!("{name} export"), "bytes/event", &[size])?;
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn rate(events: u64, begun: Instant) -> f64 {
    events as f64 / begun.elapsed().as_secs_f64()
}

/// CPU time of this process, in ticks.
struct Cpu(f64);

impl Cpu {
    fn now() -> Result<Self, Failure> {
        let stat = std::fs::read_to_string("/proc/self/stat")?;
        let (_, fields) = stat.rsplit_once(')').ok_or("no name")?;
        // User and system are the 14th and the 15th; the name is the second.
        let ticks: Result<Vec<f64>, _> = fields.split_whitespace().skip(11).take(2).map(str::parse).collect();
        Ok(Self(ticks?.into_iter().sum()))
    }

    /// How much since then, in µs.
    fn since(&self) -> Result<f64, Failure> {
        let ticks = Self::now()?.0 - self.0;
        let per_second = u32::try_from(rustix::param::clock_ticks_per_second())?;
        Ok(ticks * 1e6 / f64::from(per_second))
    }
}

fn tell(name: &str, unit: &str, values: &[f64]) -> Result<(), Failure> {
    let line = json!({ "name": name, "unit": unit, "values": values });
    Ok(writeln!(std::io::stdout().lock(), "{line}")?)
}
