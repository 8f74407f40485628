//! What can go wrong in the store.

use std::io;
use std::path::PathBuf;

/// A fault of the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database can't be opened or reached.
    #[error("cannot open the database {database}")]
    Open {
        /// The file, or the server and database.
        database: String,
        /// Why.
        source: sqlx::Error,
    },
    /// The schema can't be brought up to date.
    #[error("cannot bring the schema of {database} up to date")]
    Schema {
        /// The file, or the server and database.
        database: String,
        /// Why.
        source: Box<sqlx::migrate::MigrateError>,
    },
    /// The database was written by a newer build.
    #[error(
        "the database {database} was written by a newer version of HotSwap (schema {found}); use that version"
    )]
    TooNew {
        /// The file, or the server and database.
        database: String,
        /// The newest schema number in it.
        found: i64,
    },
    /// A backup can't be written, or not be taken in.
    #[error("cannot copy the store with {path}")]
    Copy {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The database does not answer, is locked or out of space; trying again may help.
    #[error("the database is not available")]
    Unavailable(#[source] sqlx::Error),
    /// The lease that the work was done under has passed to another holder.
    #[error("the lease {lease} has passed to another holder")]
    Fenced {
        /// The lease.
        lease: String,
    },
    /// A unique value is taken. Which, the caller knows from the statement.
    #[error("a unique value is taken")]
    Conflict(#[source] sqlx::Error),
    /// A statement failed for another reason: a fault of this program or a damaged file.
    #[error("a statement failed")]
    Statement(#[source] sqlx::Error),
    /// A row holds what no version of this program writes.
    #[error("{table}.{column} of {row} is inconsistent")]
    Inconsistent {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
        /// The row's key.
        row: String,
    },
    /// A column is not there or has another type than asked for.
    #[error("the column {column} is not as expected")]
    Column {
        /// The column.
        column: &'static str,
        /// Why.
        source: sqlx::Error,
    },
}

impl StoreError {
    /// A row that can't be.
    pub fn inconsistent(table: &'static str, column: &'static str, row: impl Into<String>) -> Self {
        Self::Inconsistent { table, column, row: row.into() }
    }
}

impl StoreError {
    /// Not available, for a reason that is no error of the driver.
    pub(crate) fn unavailable(why: impl Into<String>) -> Self {
        Self::Unavailable(sqlx::Error::Io(io::Error::other(why.into())))
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        if let Some(db) = error.as_database_error() {
            if db.is_unique_violation() {
                return Self::Conflict(error);
            }
            let passing = db.code().is_some_and(|code| passes_sqlite(&code) || passes_postgres(&code));
            return if passing { Self::Unavailable(error) } else { Self::Statement(error) };
        }
        let passing = matches!(
            error,
            sqlx::Error::Io(_)
                | sqlx::Error::Tls(_)
                | sqlx::Error::Protocol(_)
                | sqlx::Error::PoolTimedOut
                | sqlx::Error::PoolClosed
                | sqlx::Error::WorkerCrashed
        );
        if passing { Self::Unavailable(error) } else { Self::Statement(error) }
    }
}

/// SQLite's primary result codes: 5 busy, 6 locked, 8 read-only, 10 I/O, 13 full, 14 can't open.
fn passes_sqlite(code: &str) -> bool {
    const PASSING: [i64; 6] = [5, 6, 8, 10, 13, 14];
    // PostgreSQL's have five characters, with leading zeros among them.
    code.len() < 5 && code.parse::<i64>().is_ok_and(|c| PASSING.contains(&(c & 0xff)))
}

/// PostgreSQL's classes: 08 connection, 53 resources (disk full, too many connections), 57 intervention
/// (shut-down, time-out), 58 system; and serialization, deadlock, lock time-out, idle time-out, and a server that
/// only reads (the old primary, or the copy before it takes over).
fn passes_postgres(code: &str) -> bool {
    const CLASSES: [&str; 4] = ["08", "53", "57", "58"];
    const CODES: [&str; 5] = ["40001", "40P01", "55P03", "25P03", "25006"];
    code.len() == 5 && (CLASSES.iter().any(|class| code.starts_with(class)) || CODES.contains(&code))
}
