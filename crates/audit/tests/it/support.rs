//! Logs for tests.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use hotswap_audit::{
    AuditKey, AuditLog, AuditOptions, Caller, Chain, ChainReport, Entry, ExportQuery, Format, PublicKey,
};
use hotswap_core::{Clock, Ids, ManualClock, Revision, SystemIds, Timestamp};
use hotswap_store::{Database, Db, PostgresOptions, StoreError};
use hotswap_testkit::{TestDatabase, required};
use tempfile::TempDir;

/// When the tests' time begins.
pub(crate) const BEGINNING: i64 = 1_800_000_000_000_000;
pub(crate) const PLATFORM: Chain = Chain::Platform;

/// A key from a number.
pub(crate) struct TestKey(Ed25519KeyPair);

impl TestKey {
    pub(crate) fn new(n: u8) -> Self {
        Self(Ed25519KeyPair::from_seed_unchecked(&[n; 32]).expect("a key"))
    }
}

impl AuditKey for TestKey {
    fn public(&self) -> PublicKey {
        PublicKey::new(self.0.public_key().as_ref().try_into().expect("32 bytes"))
    }

    fn sign(&self, message: &[u8]) -> Option<[u8; 64]> {
        self.0.sign(message).as_ref().try_into().ok()
    }

    fn masking_key(&self) -> [u8; 32] {
        [1; 32]
    }
}

/// A store for one test, on one kind of database, and its anchors.
pub(crate) struct Place {
    dir: TempDir,
    postgres: Option<TestDatabase>,
    pub(crate) clock: Arc<ManualClock>,
}

impl Place {
    pub(crate) fn sqlite() -> Self {
        Self::new(None)
    }

    /// On a database that sorts text as a language does. `None`: there is no PostgreSQL on this machine, and none
    /// is required.
    pub(crate) fn postgres() -> Option<Self> {
        Some(Self::new(Some(required(TestDatabase::sorting_as("en-US"))?)))
    }

    fn new(postgres: Option<TestDatabase>) -> Self {
        let dir = tempfile::tempdir().expect("dir");
        Self { dir, postgres, clock: Arc::new(ManualClock::at(Timestamp(BEGINNING))) }
    }

    pub(crate) fn is_postgres(&self) -> bool {
        self.postgres.is_some()
    }

    pub(crate) fn anchors(&self) -> PathBuf {
        self.dir.path().join("audit-anchors.jsonl")
    }

    fn server(&self) -> &TestDatabase {
        self.postgres.as_ref().expect("on PostgreSQL")
    }

    /// Runs SQL as the database's owner.
    pub(crate) fn sql(&self, text: &str) {
        self.server().sql(text).expect(text);
    }

    /// A name for a role that no other test has.
    pub(crate) fn role(&self) -> String {
        let url = self.server().url();
        let name = url.split('?').next().and_then(|u| u.rsplit('/').next()).expect("a name");
        format!("app_{name}")
    }

    /// The database, as this role sees it.
    pub(crate) async fn db_as(&self, role: &str) -> Db {
        let url = self.server().url();
        let (_, rest) = url.split_once("://").expect("a URL");
        let host = rest.split_once('@').map_or(rest, |(_, host)| host);
        self.opened(&format!("postgres://{role}@{host}")).await
    }

    pub(crate) async fn db(&self) -> Db {
        match &self.postgres {
            None => self.open(Database::Sqlite(self.dir.path().join("hotswap.db"))).await,
            Some(database) => self.opened(&database.url()).await,
        }
    }

    async fn opened(&self, url: &str) -> Db {
        self.open(Database::Postgres(Box::new(PostgresOptions::parse(url).expect("a URL")))).await
    }

    async fn open(&self, database: Database) -> Db {
        let clock: Arc<dyn Clock> = Arc::clone(&self.clock) as _;
        let ids: Arc<dyn Ids> = Arc::new(SystemIds);
        Db::open(&database, &clock, &ids).await.expect("opens")
    }

    /// The log, anchored in this place's folder.
    pub(crate) async fn log(&self) -> (Db, AuditLog) {
        let db = self.db().await;
        let log = self.log_on(&db, TestKey::new(1));
        (db, log)
    }

    pub(crate) fn log_on(&self, db: &Db, key: TestKey) -> AuditLog {
        let options = AuditOptions {
            anchors: Some(self.anchors()),
            retention: Duration::from_secs(3_600),
            ..AuditOptions::default()
        };
        let clock: Arc<dyn Clock> = Arc::clone(&self.clock) as _;
        AuditLog::open(db.clone(), options, Arc::new(key), clock, Arc::new(SystemIds)).expect("opens")
    }

    /// Takes a guard off, as the owner of the database can.
    pub(crate) async fn unguarded(&self, db: &Db) {
        let statements: &[&str] = if self.is_postgres() {
            &[
                "ALTER TABLE audit_events DISABLE TRIGGER USER",
                "ALTER TABLE audit_chains DISABLE TRIGGER USER",
                "ALTER TABLE audit_checkpoints DISABLE TRIGGER USER",
            ]
        } else {
            &[
                "DROP TRIGGER audit_events_insert",
                "DROP TRIGGER audit_events_update",
                "DROP TRIGGER audit_events_delete",
                "DROP TRIGGER audit_chains_update",
                "DROP TRIGGER audit_chains_floor",
                "DROP TRIGGER audit_chains_delete",
                "DROP TRIGGER audit_checkpoints_update",
                "DROP TRIGGER audit_checkpoints_delete",
            ]
        };
        for sql in statements {
            run(db, (*sql).to_owned()).await.expect("unguarded");
        }
    }
}

/// Runs a statement, as somebody with a database client would. It stays in memory until the test ends.
pub(crate) async fn run(db: &Db, sql: String) -> Result<u64, StoreError> {
    let mut tx = db.write_unscoped().await?;
    let rows = tx.execute(Box::leak(sql.into_boxed_str()), &[]).await?;
    tx.commit().await?;
    Ok(rows)
}

pub(crate) fn caller(actor: &str) -> Caller {
    Caller {
        actor: actor.into(),
        roles: vec!["operator".into()],
        tenant: String::new(),
        method: "hotswap.route.v1.RouteService/UpdateRoute".into(),
        request_id: SystemIds.uuid(),
        source: "192.0.2.7".into(),
    }
}

/// An event that has everything.
pub(crate) fn entry(log: &AuditLog, i: i64) -> Entry {
    let before = serde_json::json!({ "hosts": ["a"], "priority": i });
    let after = serde_json::json!({ "hosts": ["b"], "priority": i + 1, "token": "hunter2" });
    let diff = log.diff(Some(&before), Some(&after));
    Entry::done(caller(&format!("user-{}", i % 3)), format!("routes/r{}", i % 5), Revision(i), diff)
}

pub(crate) async fn write(log: &AuditLog, n: i64) {
    for i in 0..n {
        log.record_alone(&PLATFORM, entry(log, i)).await.expect("recorded");
    }
}

pub(crate) async fn verified(log: &AuditLog) -> ChainReport {
    log.verify(Some(&PLATFORM)).await.expect("verified").remove(0)
}

/// The kinds of the faults, in words.
pub(crate) fn kinds(report: &ChainReport) -> Vec<&'static str> {
    report.faults.list().iter().map(|fault| fault.kind.as_str()).collect()
}

/// A whole export.
pub(crate) async fn exported(log: &AuditLog, filter: &str, format: Format) -> Vec<u8> {
    let query = ExportQuery { chain: PLATFORM, filter: filter.to_owned(), format };
    let mut export = log.export(caller("auditor"), query).await.expect("begins");
    let mut bytes = Vec::new();
    while let Some(piece) = export.next().await.expect("goes on") {
        assert!(piece.len() <= 64 * 1024);
        bytes.extend_from_slice(&piece);
    }
    bytes
}

/// Each of these, as a test on SQLite and one on PostgreSQL.
macro_rules! on_both {
    ($(async fn $name:ident($place:ident) $body:block)+) => {
        $(async fn $name($place: &crate::support::Place) $body)+

        mod sqlite {
            $(
                #[tokio::test]
                async fn $name() {
                    super::$name(&crate::support::Place::sqlite()).await;
                }
            )+
        }

        mod postgres {
            $(
                #[tokio::test]
                async fn $name() {
                    if let Some(place) = crate::support::Place::postgres() {
                        super::$name(&place).await;
                    }
                }
            )+
        }
    };
}
pub(crate) use on_both;
