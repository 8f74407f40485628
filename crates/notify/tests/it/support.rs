//! Stores, and senders on them.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hotswap_core::{Clock, Ids, ManualClock, SystemIds, Timestamp};
use hotswap_notify::{
    Channels, ChannelsConfig, Delivery, DeliveryState, Message, NotifyError, Outbox, Sender, SenderOptions,
};
use hotswap_store::{Database, Db, PostgresOptions, StoreError};
use hotswap_testkit::{TestDatabase, required};
use prometheus::Registry;
use serde_json::json;
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// When the tests' time begins.
pub(crate) const BEGINNING: i64 = 1_800_000_000_000_000;
/// A signing secret of 32 bytes.
pub(crate) const SIGNING: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// A store for one test, on one kind of database, and a folder.
pub(crate) struct Place {
    pub(crate) dir: TempDir,
    postgres: Option<TestDatabase>,
    pub(crate) clock: Arc<ManualClock>,
}

impl Place {
    pub(crate) fn sqlite() -> Self {
        Self::new(None)
    }

    /// `None`: there is no PostgreSQL on this machine, and none is required.
    pub(crate) fn postgres() -> Option<Self> {
        Some(Self::new(Some(required(TestDatabase::sorting_as("en-US"))?)))
    }

    fn new(postgres: Option<TestDatabase>) -> Self {
        let dir = tempfile::tempdir().expect("dir");
        Self { dir, postgres, clock: Arc::new(ManualClock::at(Timestamp(BEGINNING))) }
    }

    pub(crate) async fn db(&self) -> Db {
        match &self.postgres {
            None => open(Database::Sqlite(self.database())).await,
            Some(database) => {
                let options = PostgresOptions::parse(&database.url()).expect("a URL");
                open(Database::Postgres(Box::new(options))).await
            }
        }
    }

    /// The file of SQLite.
    pub(crate) fn database(&self) -> PathBuf {
        self.dir.path().join("hotswap.db")
    }

    pub(crate) fn outbox(&self) -> Outbox {
        Outbox::new(Arc::clone(&self.clock) as _, Arc::new(SystemIds))
    }

    /// Writes a file; gives its path.
    pub(crate) fn file(&self, name: &str, text: &str) -> String {
        write(self.dir.path(), name, text)
    }

    /// A webhook's configuration.
    pub(crate) fn webhook(&self, id: &str, url: &str, more: &str) -> String {
        webhook(self.dir.path(), id, url, more)
    }

    /// Puts a message. A sender that was killed while it began to read may leave a connection in the shared pool in the
    /// midst of a transaction that only reads: who gets it next is told that the store is not available, and tries again.
    pub(crate) async fn put(&self, db: &Db, message: &Message) -> bool {
        loop {
            let mut tx = db.write_unscoped().await.expect("tx");
            match self.outbox().put(&mut tx, message).await {
                Err(NotifyError::Store(StoreError::Unavailable(_))) => continue,
                put => {
                    let new = put.expect("put");
                    tx.commit().await.expect("commits");
                    return new;
                }
            }
        }
    }

    pub(crate) async fn deliveries(&self, db: &Db, key: &str) -> Vec<Delivery> {
        let mut tx = db.read().await.expect("tx");
        self.outbox().deliveries(&mut tx, key).await.expect("reads")
    }

    /// Waits until each of a message's deliveries is in a state.
    pub(crate) async fn until(&self, db: &Db, key: &str, state: DeliveryState) -> Vec<Delivery> {
        loop {
            let all = self.deliveries(db, key).await;
            if !all.is_empty() && all.iter().all(|d| d.state == state) {
                return all;
            }
            let other = all.iter().find(|d| d.state != state && d.state != DeliveryState::Waiting);
            assert!(other.is_none(), "{key} ended otherwise: {other:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// A sender that runs.
    pub(crate) fn sender(&self, db: &Db, config: &str) -> Running {
        Running::start(db, config, Arc::clone(&self.clock) as _)
    }
}

pub(crate) fn write(dir: &Path, name: &str, text: &str) -> String {
    let path = dir.join(name);
    fs::write(&path, text).expect("writes");
    path.display().to_string()
}

pub(crate) fn webhook(dir: &Path, id: &str, url: &str, more: &str) -> String {
    let secret = write(dir, &format!("{id}.secret"), SIGNING);
    format!(
        "[[channels]]\nkind = \"webhook\"\nid = \"{id}\"\nurl = \"{url}\"\nsecret_file = \"{secret}\"\n{more}\n"
    )
}

pub(crate) async fn open(database: Database) -> Db {
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(Timestamp(BEGINNING)));
    let ids: Arc<dyn Ids> = Arc::new(SystemIds);
    Db::open(&database, &clock, &ids).await.expect("opens")
}

/// A sender that runs until it is stopped or killed.
pub(crate) struct Running {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
    pub(crate) registry: Registry,
}

impl Running {
    /// Retries are quick, and it looks all the time, unless the configuration says otherwise.
    pub(crate) fn start(db: &Db, config: &str, clock: Arc<dyn Clock>) -> Self {
        let config = format!("retry_base_ms = 1\nretry_max_ms = 2\n{config}");
        let config = ChannelsConfig::from_toml(&config).expect("parses");
        let channels = Channels::load(&config).expect("loads");
        let options = SenderOptions { poll: Duration::from_millis(5), ..SenderOptions::default() };
        let sender = Sender::new(db.clone(), channels, options, clock, Arc::new(SystemIds)).expect("made");
        let registry = Registry::new();
        sender.register(&registry).expect("registers");
        let (stop, stopped) = oneshot::channel();
        let task = spawn(sender.run(async {
            let _ = stopped.await;
        }));
        Self { stop, task, registry }
    }

    /// Ends it in good order.
    pub(crate) async fn stop(self) {
        let _ = self.stop.send(());
        self.task.await.expect("ends");
    }

    /// Ends it as a crash does: nothing more happens in it.
    pub(crate) async fn kill(self) {
        self.task.abort();
        assert!(self.task.await.expect_err("it was killed").is_cancelled());
    }

    /// What it counts, as text.
    pub(crate) fn metrics(&self) -> String {
        prometheus::TextEncoder::new().encode_to_string(&self.registry.gather()).expect("text")
    }
}

#[expect(clippy::disallowed_methods, reason = "a test waits for its tasks itself")]
pub(crate) fn spawn<T: Send + 'static>(task: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
    tokio::spawn(task)
}

/// A message about a rollout.
pub(crate) fn message(key: &str, kind: &str) -> Message {
    let data = json!({ "rollout": "rollouts/1", "reason": "errors rose by 7 points", "words": "it was rolled back" });
    Message::new(key, kind, "routes/checkout", Timestamp(BEGINNING), data).expect("valid")
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
