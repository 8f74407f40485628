//! The schema of the store's own tables. (A *migration* is what users run on their databases.)

use sqlx::SqlSafeStr as _;
use sqlx::migrate::{Migration, MigrationType, Migrator};

macro_rules! schema {
    ($($number:literal $name:literal),+ $(,)?) => {
        &[$(($number, $name, include_str!(concat!("../../../migrations/sqlite/", $name, ".sql")))),+]
    };
}

const SQLITE: &[(i64, &str, &str)] = schema![1 "0001_create_kernel", 2 "0002_create_gateway_resources"];

/// The newest number.
pub(crate) const NEWEST: i64 = SQLITE.len() as i64;

pub(crate) fn sqlite() -> Migrator {
    let steps = SQLITE.iter().map(|(number, name, sql)| {
        Migration::new(*number, (*name).into(), MigrationType::Simple, sql.into_sql_str(), false)
    });
    Migrator::with_migrations(steps.collect())
}
