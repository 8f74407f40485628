//! Transactions.

use hotswap_core::Revision;
use sqlx::sqlite::SqliteArguments;
use sqlx::{Arguments as _, Sqlite, Transaction};
use tokio::sync::watch;

use crate::{Row, StoreError, Value};

/// A transaction. Dropped without a commit it leaves nothing behind.
#[derive(Debug)]
pub struct Tx {
    inner: Transaction<'static, Sqlite>,
    commits: watch::Sender<u64>,
    wrote: bool,
}

impl Tx {
    pub(crate) fn new(inner: Transaction<'static, Sqlite>, commits: watch::Sender<u64>) -> Self {
        Self { inner, commits, wrote: false }
    }

    /// Runs a statement; gives the number of rows it changed.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] where a unique value is taken; else as the database says.
    pub async fn execute(&mut self, sql: &'static str, values: &[Value]) -> Result<u64, StoreError> {
        self.wrote = true;
        let done = sqlx::query_with(sql, bind(values)?).execute(&mut *self.inner).await?;
        Ok(done.rows_affected())
    }

    /// The first row of an answer.
    pub async fn fetch_opt(
        &mut self,
        sql: &'static str,
        values: &[Value],
    ) -> Result<Option<Row>, StoreError> {
        Ok(sqlx::query_with(sql, bind(values)?).fetch_optional(&mut *self.inner).await?.map(Row))
    }

    /// All rows of an answer.
    pub async fn fetch_all(&mut self, sql: &'static str, values: &[Value]) -> Result<Vec<Row>, StoreError> {
        let rows = sqlx::query_with(sql, bind(values)?).fetch_all(&mut *self.inner).await?;
        Ok(rows.into_iter().map(Row).collect())
    }

    /// Takes the next revision of `scope`. Writers of one scope wait for each other here, so revisions are
    /// committed in their order.
    pub async fn next_revision(&mut self, scope: &str) -> Result<Revision, StoreError> {
        const SQL: &str = "INSERT INTO scope_counters (scope, revision) VALUES ($1, 1) \
             ON CONFLICT (scope) DO UPDATE SET revision = scope_counters.revision + 1 RETURNING revision";
        self.wrote = true;
        let row = self.fetch_opt(SQL, &[scope.into()]).await?;
        let row = row.ok_or_else(|| StoreError::inconsistent("scope_counters", "revision", scope))?;
        Ok(Revision(row.int("revision")?))
    }

    /// The newest revision of `scope` that this transaction sees; 0 before the first.
    pub async fn revision(&mut self, scope: &str) -> Result<Revision, StoreError> {
        const SQL: &str = "SELECT revision FROM scope_counters WHERE scope = $1";
        match self.fetch_opt(SQL, &[scope.into()]).await? {
            Some(row) => Ok(Revision(row.int("revision")?)),
            None => Ok(Revision::ZERO),
        }
    }

    /// Makes what was written last, and wakes those who watch commits.
    pub async fn commit(self) -> Result<(), StoreError> {
        self.inner.commit().await?;
        if self.wrote {
            self.commits.send_modify(|n| *n = n.wrapping_add(1));
        }
        Ok(())
    }
}

fn bind(values: &[Value]) -> Result<SqliteArguments, StoreError> {
    let mut arguments = SqliteArguments::default();
    for value in values {
        let added = match value {
            Value::Int(i) => arguments.add(*i),
            Value::Text(t) => arguments.add(t.clone()),
            Value::OptText(t) => arguments.add(t.clone()),
        };
        added.map_err(|e| StoreError::Statement(sqlx::Error::Encode(e)))?;
    }
    Ok(arguments)
}
