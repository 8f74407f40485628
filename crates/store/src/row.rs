//! Values that go into statements, and rows that come out.

use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

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

/// A row of an answer.
#[derive(Debug)]
pub struct Row(pub(crate) SqliteRow);

impl Row {
    /// An integer column.
    pub fn int(&self, column: &'static str) -> Result<i64, StoreError> {
        self.0.try_get(column).map_err(|source| StoreError::Column { column, source })
    }

    /// A text column.
    pub fn text(&self, column: &'static str) -> Result<String, StoreError> {
        self.0.try_get(column).map_err(|source| StoreError::Column { column, source })
    }

    /// A text column that may be NULL.
    pub fn opt_text(&self, column: &'static str) -> Result<Option<String>, StoreError> {
        self.0.try_get(column).map_err(|source| StoreError::Column { column, source })
    }
}
