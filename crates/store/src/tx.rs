//! Transactions.

use hotswap_core::{Revision, Timestamp};
use sqlx::{Postgres, Sqlite, Transaction};
use tracing::Span;

use crate::row::{bind_postgres, bind_sqlite};
use crate::sqlite::Member;
use crate::{Commits, PATIENCE, Row, StoreError, Value};

/// A transaction. Dropped without a commit it leaves nothing behind.
#[derive(Debug)]
pub struct Tx {
    inner: Inner,
    commits: Commits,
    clock_offset: i64,
    /// Drawn for the revisions of this transaction.
    pub(crate) stamp: i64,
    /// The trace that its changes belong to, as a W3C traceparent.
    pub(crate) trace_context: Option<String>,
    /// From its begin to its end.
    span: Span,
    /// It took a revision, or announced itself: there is something that others wait for. A lease that was renewed is no
    /// news.
    news: bool,
}

#[derive(Debug)]
pub(crate) enum Inner {
    SqliteRead(Transaction<'static, Sqlite>),
    SqliteWrite(Member),
    Postgres(Transaction<'static, Postgres>),
}

/// Runs a statement on whichever database it is.
macro_rules! run {
    ($tx:expr, $sql:expr, $values:expr, $method:ident, $map:expr) => {
        match &mut $tx.inner {
            Inner::SqliteRead(tx) => {
                sqlx::query_with($sql, bind_sqlite($values)?).$method(&mut **tx).await.map($map)?
            }
            Inner::SqliteWrite(member) => {
                let connection = member.connection()?;
                let done = sqlx::query_with($sql, bind_sqlite($values)?).$method(&mut **connection).await;
                done.inspect_err(|e| member.failed(e)).map($map)?
            }
            Inner::Postgres(tx) => {
                let answer = sqlx::query_with($sql, bind_postgres($values)?).$method(&mut **tx);
                in_time(answer).await.map($map)?
            }
        }
    };
}

impl Tx {
    pub(crate) fn new(inner: Inner, commits: Commits, clock_offset: i64, stamp: i64, span: Span) -> Self {
        Self { inner, commits, clock_offset, stamp, trace_context: None, span, news: false }
    }

    /// The trace that the changes of this transaction belong to, as a W3C traceparent: it stands in the change log
    /// for those who follow it.
    pub fn belongs_to(&mut self, trace_context: Option<String>) {
        self.trace_context = trace_context;
    }

    /// Runs a statement; gives the number of rows it changed.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] where a unique value is taken; else as the database says.
    pub async fn execute(&mut self, sql: &'static str, values: &[Value]) -> Result<u64, StoreError> {
        Ok(run!(self, sql, values, execute, |done| done.rows_affected()))
    }

    /// The first row of an answer.
    pub async fn fetch_opt(
        &mut self,
        sql: &'static str,
        values: &[Value],
    ) -> Result<Option<Row>, StoreError> {
        Ok(run!(self, sql, values, fetch_optional, |row| row.map(Row::from)))
    }

    /// All rows of an answer.
    pub async fn fetch_all(&mut self, sql: &'static str, values: &[Value]) -> Result<Vec<Row>, StoreError> {
        Ok(run!(self, sql, values, fetch_all, |rows| rows.into_iter().map(Row::from).collect()))
    }

    /// Waits until this is the one transaction that writes `scope`. What it reads of the scope from then on
    /// stays as it is. Taken first, so that locks have one order.
    pub(crate) async fn lock_scope(&mut self, scope: &str) -> Result<(), StoreError> {
        const LOCK: &str = "SELECT revision FROM scope_counters WHERE scope = $1 FOR UPDATE";
        const MAKE: &str =
            "INSERT INTO scope_counters (scope, revision) VALUES ($1, 0) ON CONFLICT (scope) DO NOTHING";
        // SQLite has one writer anyway.
        if matches!(self.inner, Inner::Postgres(_)) && self.fetch_opt(LOCK, &[scope.into()]).await?.is_none()
        {
            self.execute(MAKE, &[scope.into()]).await?;
            self.fetch_opt(LOCK, &[scope.into()]).await?;
        }
        Ok(())
    }

    /// Takes the next revision of `scope`. Writers of one scope wait for each other, so revisions are committed
    /// in their order.
    pub async fn next_revision(&mut self, scope: &str) -> Result<Revision, StoreError> {
        const SQL: &str = "INSERT INTO scope_counters (scope, revision) VALUES ($1, 1) \
             ON CONFLICT (scope) DO UPDATE SET revision = scope_counters.revision + 1 RETURNING revision";
        self.news = true;
        let row = self.fetch_opt(SQL, &[scope.into()]).await?;
        let row = row.ok_or_else(|| StoreError::inconsistent("scope_counters", "revision", scope))?;
        let revision = Revision(row.int("revision")?);
        self.span.record("revision", revision.0);
        Ok(revision)
    }

    /// Has this transaction's commit wake those who watch commits, though it takes no revision.
    pub fn announce(&mut self) {
        self.news = true;
    }

    /// The newest revision of `scope` that this transaction sees; 0 before the first.
    pub async fn revision(&mut self, scope: &str) -> Result<Revision, StoreError> {
        const SQL: &str = "SELECT revision FROM scope_counters WHERE scope = $1";
        match self.fetch_opt(SQL, &[scope.into()]).await? {
            Some(row) => Ok(Revision(row.int("revision")?)),
            None => Ok(Revision::ZERO),
        }
    }

    /// The database's own time, which all its users share. For leases and timers alone: every other time is a
    /// parameter.
    pub async fn now(&mut self) -> Result<Timestamp, StoreError> {
        const SQLITE: &str = "SELECT CAST(unixepoch('subsec') * 1000000 AS INTEGER) AS now";
        const POSTGRES: &str =
            "SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT) AS now";
        let sql = if matches!(self.inner, Inner::Postgres(_)) { POSTGRES } else { SQLITE };
        let row = self.fetch_opt(sql, &[]).await?;
        let row = row.ok_or_else(|| StoreError::inconsistent("(the clock)", "now", "(none)"))?;
        Ok(Timestamp(row.int("now")?).plus_micros(self.clock_offset))
    }

    /// Makes what was written last, and wakes those who watch commits where it took a revision or announced itself.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]: where the connection was lost meanwhile, it may have been committed all the
    /// same; a `request_id` makes trying again safe.
    pub async fn commit(self) -> Result<(), StoreError> {
        match self.inner {
            Inner::SqliteRead(tx) => tx.commit().await?,
            Inner::SqliteWrite(member) => member.commit().await?,
            Inner::Postgres(tx) => in_time(tx.commit()).await?,
        }
        if self.news {
            self.commits.committed();
        }
        Ok(())
    }
}

/// Waits for an answer of a server, but not for one that has gone silent. Its own limit for a statement is shorter.
/// A connection that is given up in the midst of an answer is closed, and its transaction with it.
async fn in_time<T>(answer: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, StoreError> {
    match tokio::time::timeout(PATIENCE * 2, answer).await {
        Ok(answered) => Ok(answered?),
        Err(_) => Err(StoreError::unavailable("the database server does not answer")),
    }
}
