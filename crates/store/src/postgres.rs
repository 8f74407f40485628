//! PostgreSQL: for production, and for more than one replica.

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Executor as _, PgPool, Postgres, SqlSafeStr as _, Transaction};

use crate::{PATIENCE, StoreError, schema};

/// How the server is reached.
#[derive(Clone)]
pub struct PostgresOptions {
    pub(crate) connect: PgConnectOptions,
    /// The server and database, for messages: no user, no password.
    pub(crate) shown: String,
    /// Most connections at a time.
    pub pool: u32,
    /// How long a statement may take.
    pub statement_timeout: Duration,
}

/// A transaction that was begun and is not gone on with for so long is ended by the server: a process that was
/// frozen in one must not hold its locks.
const IDLE_IN_TRANSACTION: Duration = Duration::from_secs(10);

impl std::fmt::Debug for PostgresOptions {
    // The driver's own would show the password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PostgresOptions").field("database", &self.shown).finish_non_exhaustive()
    }
}

impl PostgresOptions {
    /// From a URL, as `postgres://user:password@host/database?sslmode=verify-full&sslrootcert=/ca.pem`, or
    /// `postgres:///database?host=/run/postgresql` for a socket.
    ///
    /// # Errors
    /// What is wrong with the URL; without the password that may stand in it.
    pub fn parse(url: &str) -> Result<Self, String> {
        let ours = url.starts_with("postgres://") || url.starts_with("postgresql://");
        let connect = url
            .parse::<PgConnectOptions>()
            .ok()
            .filter(|_| ours)
            .ok_or("is not a PostgreSQL URL, as postgres://user@host:5432/hotswap?sslmode=verify-full")?;
        let connect = connect.application_name("hotswap");
        let at = connect.get_socket().map_or_else(
            || format!("{}:{}", connect.get_host(), connect.get_port()),
            |socket| socket.display().to_string(),
        );
        let shown = format!("{at}/{}", connect.get_database().unwrap_or("postgres"));
        Ok(Self { connect, shown, pool: 16, statement_timeout: PATIENCE })
    }
}

/// The database; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct PostgreSql {
    pool: PgPool,
}

impl PostgreSql {
    /// Connects, and brings the schema up to date under the server's advisory lock.
    pub(crate) async fn open(options: &PostgresOptions) -> Result<Self, StoreError> {
        let open_error = |source| StoreError::Open { database: options.shown.clone(), source };
        let ms = |d: Duration| d.as_millis().to_string();
        let connect = options.connect.clone();
        // The schema takes the time that it takes.
        let schema_pool = PgPoolOptions::new().max_connections(1).acquire_timeout(PATIENCE);
        let schema_pool = schema_pool.connect_with(connect.clone()).await.map_err(open_error)?;
        schema::apply(&schema_pool, schema::postgres(), &options.shown).await?;
        schema_pool.close().await;
        let connect = connect.options([
            ("statement_timeout", ms(options.statement_timeout)),
            ("lock_timeout", ms(PATIENCE)),
            ("idle_in_transaction_session_timeout", ms(IDLE_IN_TRANSACTION)),
        ]);
        let pool = PgPoolOptions::new()
            .max_connections(options.pool.max(2))
            .acquire_timeout(PATIENCE)
            .test_before_acquire(true)
            .connect_with(connect)
            .await
            .map_err(open_error)?;
        Ok(Self { pool })
    }

    /// Begins a transaction that writes. It sees what is committed when each of its statements begins; the lock
    /// of its scope makes that one snapshot for what the scope's writers write.
    pub(crate) async fn write(&self) -> Result<Transaction<'static, Postgres>, StoreError> {
        self.begin("BEGIN ISOLATION LEVEL READ COMMITTED").await
    }

    pub(crate) async fn read(&self) -> Result<Transaction<'static, Postgres>, StoreError> {
        self.begin("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await
    }

    /// Begins a transaction, also where the caller goes away meanwhile: it is ended in good order then. A connection that
    /// was given up in the midst of `BEGIN` would go back to the pool with a transaction that nobody knows of.
    async fn begin(&self, sql: &'static str) -> Result<Transaction<'static, Postgres>, StoreError> {
        let pool = self.pool.clone();
        #[expect(clippy::disallowed_methods, reason = "it lasts one BEGIN, and who asked for it awaits it")]
        let begun = tokio::spawn(async move { pool.begin_with(sql).await }).await;
        Ok(begun.map_err(|_| StoreError::unavailable("the process ends"))??)
    }

    pub(crate) async fn prepare(&self, sql: &'static str) -> Result<(), StoreError> {
        let mut connection = self.pool.acquire().await?;
        connection.prepare(sql.into_sql_str()).await?;
        Ok(())
    }

    pub(crate) fn pool(&self) -> &PgPool {
        &self.pool
    }

    pub(crate) async fn close(&self) {
        self.pool.close().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_that_is_none_is_refused_without_being_shown() {
        for url in ["mysql://u:secret@x/y", "x:secret", "", "postgres//u:secret@x"] {
            let refused = PostgresOptions::parse(url).expect_err(url);
            assert!(
                refused.starts_with("is not a PostgreSQL URL") && !refused.contains("secret"),
                "{refused}"
            );
        }
    }

    #[test]
    fn what_is_shown_has_no_password() {
        let cases = [
            ("postgres://u:secret@db.internal/hotswap", "db.internal:5432/hotswap"),
            ("postgresql://u:secret@db:5433/h?sslmode=require", "db:5433/h"),
            ("postgres://u:secret@localhost/h?host=/run/pg", "/run/pg/h"),
        ];
        for (url, shown) in cases {
            let options = PostgresOptions::parse(url).expect(url);
            assert_eq!(options.shown, shown);
            assert!(!format!("{options:?}").contains("secret"));
        }
    }
}
