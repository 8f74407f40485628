//! Values that go into statements, and rows that come out.

use sqlx::postgres::{PgArguments, PgRow};
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{Arguments as _, Row as _};

use crate::StoreError;

/// A value to bind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// An integer, a revision or a time.
    Int(i64),
    /// A text.
    Text(String),
    /// A text or nothing.
    OptText(Option<String>),
    /// An integer or nothing.
    OptInt(Option<i64>),
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

impl From<Option<String>> for Value {
    fn from(value: Option<String>) -> Self {
        Self::OptText(value)
    }
}

impl From<Option<i64>> for Value {
    fn from(value: Option<i64>) -> Self {
        Self::OptInt(value)
    }
}

impl From<hotswap_core::Timestamp> for Value {
    fn from(value: hotswap_core::Timestamp) -> Self {
        Self::Int(value.0)
    }
}

impl From<hotswap_core::Revision> for Value {
    fn from(value: hotswap_core::Revision) -> Self {
        Self::Int(value.0)
    }
}

macro_rules! bind {
    ($name:ident, $arguments:ty) => {
        pub(crate) fn $name(values: &[Value]) -> Result<$arguments, StoreError> {
            let mut arguments = <$arguments>::default();
            for value in values {
                let added = match value {
                    Value::Int(i) => arguments.add(*i),
                    Value::Text(t) => arguments.add(t.clone()),
                    Value::OptText(t) => arguments.add(t.clone()),
                    Value::OptInt(i) => arguments.add(*i),
                };
                added.map_err(|e| StoreError::Statement(sqlx::Error::Encode(e)))?;
            }
            Ok(arguments)
        }
    };
}

bind!(bind_sqlite, SqliteArguments);
bind!(bind_postgres, PgArguments);

/// A row of an answer.
#[derive(Debug)]
pub struct Row(pub(crate) Inner);

#[derive(Debug)]
pub(crate) enum Inner {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

impl From<SqliteRow> for Row {
    fn from(row: SqliteRow) -> Self {
        Self(Inner::Sqlite(row))
    }
}

impl From<PgRow> for Row {
    fn from(row: PgRow) -> Self {
        Self(Inner::Postgres(row))
    }
}

macro_rules! column {
    ($row:expr, $column:expr) => {
        match &$row.0 {
            Inner::Sqlite(row) => row.try_get($column),
            Inner::Postgres(row) => row.try_get($column),
        }
        .map_err(|source| StoreError::Column { column: $column, source })
    };
}

impl Row {
    /// An integer column.
    pub fn int(&self, column: &'static str) -> Result<i64, StoreError> {
        column!(self, column)
    }

    /// An integer column that may be NULL.
    pub fn opt_int(&self, column: &'static str) -> Result<Option<i64>, StoreError> {
        column!(self, column)
    }

    /// A text column.
    pub fn text(&self, column: &'static str) -> Result<String, StoreError> {
        column!(self, column)
    }

    /// A text column that may be NULL.
    pub fn opt_text(&self, column: &'static str) -> Result<Option<String>, StoreError> {
        column!(self, column)
    }
}
