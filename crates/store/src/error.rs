//! What can go wrong in the store.

use std::path::PathBuf;

/// A fault of the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database file can't be opened.
    #[error("cannot open the database {path}")]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        source: sqlx::Error,
    },
    /// The schema can't be brought up to date.
    #[error("cannot bring the schema of {path} up to date")]
    Schema {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Box<sqlx::migrate::MigrateError>,
    },
    /// The database was written by a newer build.
    #[error(
        "the database {path} was written by a newer version of HotSwap (schema {found}); use that version"
    )]
    TooNew {
        /// The file.
        path: PathBuf,
        /// The newest schema number in it.
        found: i64,
    },
    /// The database does not answer, is locked or out of space; trying again may help.
    #[error("the database is not available")]
    Unavailable(#[source] sqlx::Error),
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

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        // SQLite's primary result codes: 5 busy, 6 locked, 8 read-only, 10 I/O, 13 full, 14 can't open.
        const PASSING: [i64; 6] = [5, 6, 8, 10, 13, 14];
        if let Some(db) = error.as_database_error() {
            if db.is_unique_violation() {
                return Self::Conflict(error);
            }
            let primary = db.code().and_then(|c| c.parse::<i64>().ok()).map(|c| c & 0xff);
            let passing = primary.is_some_and(|c| PASSING.contains(&c));
            return if passing { Self::Unavailable(error) } else { Self::Statement(error) };
        }
        let passing = matches!(
            error,
            sqlx::Error::Io(_)
                | sqlx::Error::PoolTimedOut
                | sqlx::Error::PoolClosed
                | sqlx::Error::WorkerCrashed
        );
        if passing { Self::Unavailable(error) } else { Self::Statement(error) }
    }
}
