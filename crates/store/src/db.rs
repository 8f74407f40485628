//! The database of a process.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hotswap_core::{Clock, Ids, StoreId};
use sqlx::migrate::MigrateError;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Executor as _, SqlSafeStr as _, SqlitePool};
use tokio::sync::watch;

use crate::{StoreError, Tx, schema};

/// Connections that read, each on a snapshot of its own.
const READERS: u32 = 4;

/// How long a statement waits for a lock, and a caller for a connection.
const PATIENCE: Duration = Duration::from_secs(5);

/// A handle to the database; cheap to clone.
#[derive(Clone, Debug)]
pub struct Db {
    writer: SqlitePool,
    readers: SqlitePool,
    store_id: StoreId,
    commits: watch::Sender<u64>,
}

impl Db {
    /// Opens the SQLite database at `path`, made where it is not there, and brings its schema up to date. The
    /// caller holds the lock of the folder. Durable on commit: WAL with `synchronous=FULL`.
    ///
    /// # Errors
    /// [`StoreError::Open`], [`StoreError::Schema`] or [`StoreError::TooNew`].
    pub async fn open(path: &Path, clock: &Arc<dyn Clock>, ids: &Arc<dyn Ids>) -> Result<Self, StoreError> {
        let open_error = |source| StoreError::Open { path: path.to_owned(), source };
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(PATIENCE)
            .foreign_keys(true);
        let pool = |n| SqlitePoolOptions::new().max_connections(n).acquire_timeout(PATIENCE);
        let writer = pool(1).connect_with(options.clone()).await.map_err(open_error)?;
        migrate(&writer, path).await?;
        let readers = pool(READERS).connect_with(options.read_only(true)).await.map_err(open_error)?;
        let store_id = store_id(&writer, clock, ids).await?;
        Ok(Self { writer, readers, store_id, commits: watch::Sender::new(0) })
    }

    /// Begins a transaction that writes. There is one at a time.
    pub async fn write(&self) -> Result<Tx, StoreError> {
        let inner = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        Ok(Tx::new(inner, self.commits.clone()))
    }

    /// Begins a transaction that reads one snapshot.
    pub async fn read(&self) -> Result<Tx, StoreError> {
        Ok(Tx::new(self.readers.begin().await?, self.commits.clone()))
    }

    /// The identity of this store.
    pub fn store_id(&self) -> StoreId {
        self.store_id
    }

    /// Changes after each commit of this process that wrote.
    pub fn watch_commits(&self) -> watch::Receiver<u64> {
        self.commits.subscribe()
    }

    /// Asks the database to prepare a statement; for tests of a service's SQL.
    ///
    /// # Errors
    /// [`StoreError::Statement`] where it does not parse or names what is not there.
    pub async fn prepare(&self, sql: &'static str) -> Result<(), StoreError> {
        let mut connection = self.readers.acquire().await?;
        connection.prepare(sql.into_sql_str()).await?;
        Ok(())
    }

    /// Closes all connections; what is under way ends first.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

async fn migrate(writer: &SqlitePool, path: &Path) -> Result<(), StoreError> {
    match schema::sqlite().run(writer).await {
        Ok(()) => Ok(()),
        Err(MigrateError::VersionMissing(found)) if found > schema::NEWEST => {
            Err(StoreError::TooNew { path: path.to_owned(), found })
        }
        Err(source) => Err(StoreError::Schema { path: path.to_owned(), source: Box::new(source) }),
    }
}

async fn store_id(
    writer: &SqlitePool,
    clock: &Arc<dyn Clock>,
    ids: &Arc<dyn Ids>,
) -> Result<StoreId, StoreError> {
    const INSERT: &str = "INSERT INTO store_meta (id, store_id, created_at) VALUES (1, $1, $2) \
         ON CONFLICT (id) DO NOTHING";
    const SELECT: &str = "SELECT store_id FROM store_meta WHERE id = 1";
    let mut tx = Tx::new(writer.begin_with("BEGIN IMMEDIATE").await?, watch::Sender::new(0));
    tx.execute(INSERT, &[ids.uuid().to_string().into(), clock.now().into()]).await?;
    let row = tx.fetch_opt(SELECT, &[]).await?;
    tx.commit().await?;
    let damaged = || StoreError::inconsistent("store_meta", "store_id", "1");
    let text = row.ok_or_else(damaged)?.text("store_id")?;
    Ok(StoreId(text.parse().map_err(|_| damaged())?))
}
