//! SQLite: one file, one process, one writer, and readers that each hold a snapshot.

mod copy;
mod group;

use std::path::Path;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Executor as _, SqlSafeStr as _, Sqlite, SqlitePool, Transaction};

use crate::{PATIENCE, StoreError, schema};
pub use copy::{backup, restore};
use group::Group;
pub(crate) use group::Member;

/// Connections that read, each on a snapshot of its own.
const READERS: u32 = 4;

/// The database file; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Sqlite3 {
    writer: SqlitePool,
    group: Group,
    readers: SqlitePool,
}

impl Sqlite3 {
    /// Opens the file, made where it is not there, and brings its schema up to date. Durable on commit: WAL with
    /// `synchronous=FULL`.
    pub(crate) async fn open(path: &Path) -> Result<Self, StoreError> {
        let open_error = |source| StoreError::Open { database: path.display().to_string(), source };
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(PATIENCE)
            .foreign_keys(true);
        let pool = |n| SqlitePoolOptions::new().max_connections(n).acquire_timeout(PATIENCE);
        let writer = pool(1).connect_with(options.clone()).await.map_err(open_error)?;
        schema::apply(&writer, schema::sqlite(), &path.display().to_string()).await?;
        let readers = pool(READERS).connect_with(options.read_only(true)).await.map_err(open_error)?;
        Ok(Self { group: Group::new(writer.clone()), writer, readers })
    }

    pub(crate) async fn write(&self) -> Result<Member, StoreError> {
        self.group.begin().await
    }

    pub(crate) fn commits(&self) -> u64 {
        self.group.commits()
    }

    pub(crate) async fn read(&self) -> Result<Transaction<'static, Sqlite>, StoreError> {
        Ok(self.readers.begin().await?)
    }

    pub(crate) async fn prepare(&self, sql: &'static str) -> Result<(), StoreError> {
        let mut connection = self.readers.acquire().await?;
        connection.prepare(sql.into_sql_str()).await?;
        Ok(())
    }

    pub(crate) async fn close(&self) {
        self.group.close().await;
        self.readers.close().await;
        self.writer.close().await;
    }
}
