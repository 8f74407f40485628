//! The database of a process.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use hotswap_core::{Clock, Ids, StoreId};
use tokio::sync::watch;
use tracing::Span;
use tracing::field::Empty;

use crate::postgres::PostgreSql;
use crate::sqlite::Sqlite3;
use crate::tx::Inner;
use crate::{PostgresOptions, StoreError, Tx, hints};

/// Which database.
#[derive(Clone, Debug)]
pub enum Database {
    /// A SQLite file, made where it is not there. The caller holds the lock of its folder.
    Sqlite(PathBuf),
    /// A PostgreSQL server.
    Postgres(Box<PostgresOptions>),
}

/// A handle to the database; cheap to clone.
#[derive(Clone)]
pub struct Db {
    pub(crate) engine: Engine,
    store_id: StoreId,
    commits: Commits,
    clock_offset: Arc<AtomicI64>,
    ids: Arc<dyn Ids>,
}

impl std::fmt::Debug for Db {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Db").field("engine", &self.engine).field("store_id", &self.store_id).finish()
    }
}

#[derive(Clone, Debug)]
pub(crate) enum Engine {
    Sqlite(Sqlite3),
    Postgres(PostgreSql),
}

impl Db {
    /// Opens the database, and brings its schema up to date.
    ///
    /// # Errors
    /// [`StoreError::Open`], [`StoreError::Schema`] or [`StoreError::TooNew`].
    pub async fn open(
        database: &Database,
        clock: &Arc<dyn Clock>,
        ids: &Arc<dyn Ids>,
    ) -> Result<Self, StoreError> {
        let engine = match database {
            Database::Sqlite(path) => Engine::Sqlite(Sqlite3::open(path).await?),
            Database::Postgres(options) => Engine::Postgres(PostgreSql::open(options).await?),
        };
        let nobody = StoreId(uuid::Uuid::nil());
        let mut db = Self {
            engine,
            store_id: nobody,
            commits: Commits::default(),
            clock_offset: Arc::default(),
            ids: Arc::clone(ids),
        };
        db.store_id = identify(&db, clock, ids).await?;
        Ok(db)
    }

    /// Begins a transaction that writes what belongs to `scope`. There is one at a time, so what it reads of the
    /// scope stays as it is until it ends.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], also where others are too long before it.
    pub async fn write(&self, scope: &str) -> Result<Tx, StoreError> {
        let span = self.span(scope);
        let inner = match &self.engine {
            Engine::Sqlite(db) => Inner::SqliteWrite(db.write().await?),
            Engine::Postgres(db) => Inner::Postgres(db.write().await?),
        };
        let mut tx = self.tx(inner, span);
        tx.lock_scope(scope).await?;
        Ok(tx)
    }

    /// Begins a transaction that writes what belongs to no scope, as leases. On PostgreSQL others may write at
    /// the same time.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn write_unscoped(&self) -> Result<Tx, StoreError> {
        let span = self.span("");
        let inner = match &self.engine {
            Engine::Sqlite(db) => Inner::SqliteWrite(db.write().await?),
            Engine::Postgres(db) => Inner::Postgres(db.write().await?),
        };
        Ok(self.tx(inner, span))
    }

    /// Begins a transaction that reads one snapshot.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn read(&self) -> Result<Tx, StoreError> {
        let span = tracing::debug_span!("store.read", db.system.name = self.system());
        let inner = match &self.engine {
            Engine::Sqlite(db) => Inner::SqliteRead(db.read().await?),
            Engine::Postgres(db) => Inner::Postgres(db.read().await?),
        };
        Ok(self.tx(inner, span))
    }

    /// Of a transaction that writes, from before it waits for its turn.
    fn span(&self, scope: &str) -> Span {
        let system = self.system();
        tracing::debug_span!("store.write", db.system.name = system, scope, revision = Empty)
    }

    /// The database, as OpenTelemetry calls it.
    fn system(&self) -> &'static str {
        match self.engine {
            Engine::Sqlite(_) => "sqlite",
            Engine::Postgres(_) => "postgresql",
        }
    }

    fn tx(&self, inner: Inner, span: Span) -> Tx {
        // The last bits of an id are random.
        let (_, random) = self.ids.uuid().as_u64_pair();
        let offset = self.clock_offset.load(Ordering::Relaxed);
        Tx::new(inner, self.commits.clone(), offset, random.cast_signed(), span)
    }

    /// The identity of this store.
    pub fn store_id(&self) -> StoreId {
        self.store_id
    }

    /// Whether other processes may use the same database.
    pub fn is_shared(&self) -> bool {
        matches!(self.engine, Engine::Postgres(_))
    }

    /// Changes after each commit that took a revision or announced itself, of this process and, while [`Db::exchange_hints`] runs, of others.
    /// A hint that may get lost: what changed, the change log tells.
    pub fn watch_commits(&self) -> watch::Receiver<u64> {
        self.commits.count.subscribe()
    }

    /// Tells other processes on the same database of commits, and hears of theirs, until it is dropped. On
    /// SQLite, which has one process, it never ends and does nothing.
    pub async fn exchange_hints(&self) {
        match &self.engine {
            Engine::Sqlite(_) => std::future::pending().await,
            Engine::Postgres(db) => hints::exchange(db.pool(), &self.commits).await,
        }
    }

    /// How often this process wrote to SQLite's disk; transactions that waited together share one write. 0 on
    /// PostgreSQL.
    pub fn commits_to_disk(&self) -> u64 {
        match &self.engine {
            Engine::Sqlite(db) => db.commits(),
            Engine::Postgres(_) => 0,
        }
    }

    /// Moves the database's clock, as leases and timers see it, by so many µs; for tests.
    pub fn set_clock_offset_micros(&self, micros: i64) {
        self.clock_offset.store(micros, Ordering::Relaxed);
    }

    /// Asks the database to prepare a statement; for tests of a service's SQL.
    ///
    /// # Errors
    /// [`StoreError::Statement`] where it does not parse or names what is not there.
    pub async fn prepare(&self, sql: &'static str) -> Result<(), StoreError> {
        match &self.engine {
            Engine::Sqlite(db) => db.prepare(sql).await,
            Engine::Postgres(db) => db.prepare(sql).await,
        }
    }

    /// Closes all connections; what is under way ends first.
    pub async fn close(&self) {
        match &self.engine {
            Engine::Sqlite(db) => db.close().await,
            Engine::Postgres(db) => db.close().await,
        }
    }
}

/// Commits, as those who wait for one see them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Commits {
    /// Of all processes.
    pub(crate) count: watch::Sender<u64>,
    /// Of this process.
    pub(crate) own: watch::Sender<u64>,
}

impl Commits {
    pub(crate) fn committed(&self) {
        self.count.send_modify(|n| *n = n.wrapping_add(1));
        self.own.send_modify(|n| *n = n.wrapping_add(1));
    }

    pub(crate) fn heard(&self) {
        self.count.send_modify(|n| *n = n.wrapping_add(1));
    }
}

/// The identity of the store, given to it where it has none. A store that was copied into another database, as by
/// `pg_dump` and `pg_restore`, finds itself elsewhere and takes another one.
async fn identify(db: &Db, clock: &Arc<dyn Clock>, ids: &Arc<dyn Ids>) -> Result<StoreId, StoreError> {
    const INSERT: &str = "INSERT INTO store_meta (id, store_id, created_at, origin) VALUES (1, $1, $2, $3) \
         ON CONFLICT (id) DO NOTHING";
    const MOVED: &str = "UPDATE store_meta SET store_id = $1, origin = $2 \
         WHERE id = 1 AND origin <> $2 AND origin <> ''";
    const FOUND: &str = "UPDATE store_meta SET origin = $1 WHERE id = 1 AND origin = ''";
    const SELECT: &str = "SELECT store_id FROM store_meta WHERE id = 1";
    let mut tx = db.write_unscoped().await?;
    let (id, origin) = (ids.uuid().to_string(), db.origin(&mut tx).await?);
    tx.execute(INSERT, &[id.as_str().into(), clock.now().into(), origin.as_str().into()]).await?;
    if tx.execute(MOVED, &[id.into(), origin.as_str().into()]).await? == 1 {
        tracing::warn!("the store is a copy in another database; it takes a new identity");
    }
    tx.execute(FOUND, &[origin.into()]).await?;
    let row = tx.fetch_opt(SELECT, &[]).await?;
    tx.commit().await?;
    let damaged = || StoreError::inconsistent("store_meta", "store_id", "1");
    let text = row.ok_or_else(damaged)?.text("store_id")?;
    Ok(StoreId(text.parse().map_err(|_| damaged())?))
}

impl Db {
    /// Where the store lies, in a form that a copy elsewhere does not share; empty where that can't be told.
    async fn origin(&self, tx: &mut Tx) -> Result<String, StoreError> {
        const SQL: &str = "SELECT CAST(oid AS BIGINT) AS oid, \
             CAST((SELECT system_identifier FROM pg_control_system()) AS BIGINT) AS cluster \
             FROM pg_database WHERE datname = current_database()";
        match &self.engine {
            // A file that was copied can't know it; `restore` gives it its new identity.
            Engine::Sqlite(_) => Ok(String::new()),
            Engine::Postgres(_) => {
                let row = tx.fetch_opt(SQL, &[]).await?;
                let row = row.ok_or_else(|| StoreError::inconsistent("pg_database", "oid", "(this one)"))?;
                Ok(format!("{}/{}", row.int("cluster")?, row.int("oid")?))
            }
        }
    }

    /// Gives the store a new identity: what was known of the old one holds no more. For a store that was restored.
    pub(crate) async fn renew_identity(
        &self,
        clock: &Arc<dyn Clock>,
        ids: &Arc<dyn Ids>,
    ) -> Result<StoreId, StoreError> {
        const SQL: &str = "UPDATE store_meta SET store_id = $1, created_at = $2 WHERE id = 1";
        let id = ids.uuid();
        let mut tx = self.write_unscoped().await?;
        tx.execute(SQL, &[id.to_string().into(), clock.now().into()]).await?;
        tx.commit().await?;
        Ok(StoreId(id))
    }
}
