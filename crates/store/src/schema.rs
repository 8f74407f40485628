//! The schema of our own tables, the same numbers on both databases. (A *migration* is what users run on their
//! databases.)

use std::ops::Deref;

use sqlx::migrate::{Migrate, MigrateError, Migration, MigrationType, Migrator};
use sqlx::{Acquire, Database, Pool, SqlSafeStr as _};

use crate::StoreError;

macro_rules! schema {
    ($folder:literal) => {
        &[
            step!($folder, 1, "0001_create_kernel"),
            step!($folder, 2, "0002_create_gateway_resources"),
            step!($folder, 3, "0003_create_leases_and_floors"),
            step!($folder, 4, "0004_create_gateway_proxies"),
            step!($folder, 5, "0005_add_trace_contexts"),
            step!($folder, 6, "0006_create_audit"),
            step!($folder, 7, "0007_add_proxy_backends"),
            step!($folder, 8, "0008_create_rollouts"),
            step!($folder, 9, "0009_add_outbox"),
            step!($folder, 10, "0010_create_gateway_questions"),
            step!($folder, 11, "0011_add_candidates"),
            step!($folder, 12, "0012_index_due_rollouts"),
            step!($folder, 13, "0013_drop_rollout_measurements"),
            step!($folder, 15, "0015_complete_rollouts"),
            step!($folder, 16, "0016_create_certificate_keys"),
            step!($folder, 17, "0017_keep_mirror_pools"),
            step!($folder, 18, "0018_index_ended_rollouts"),
            step!($folder, 19, "0019_create_outbox_channels"),
            step!($folder, 20, "0020_keep_split_pools"),
        ]
    };
}

macro_rules! step {
    ($folder:literal, $number:literal, $name:literal) => {
        ($number, $name, include_str!(concat!("../../../migrations/", $folder, "/", $name, ".sql")))
    };
}

const SQLITE: &[(i64, &str, &str)] = schema!("sqlite");
const POSTGRES: &[(i64, &str, &str)] = schema!("postgres");

/// The newest number.
const NEWEST: i64 = SQLITE[SQLITE.len() - 1].0;

pub(crate) fn sqlite() -> Migrator {
    migrator(SQLITE)
}

pub(crate) fn postgres() -> Migrator {
    migrator(POSTGRES)
}

fn migrator(steps: &'static [(i64, &'static str, &'static str)]) -> Migrator {
    let steps = steps.iter().map(|(number, name, sql)| {
        Migration::new(*number, (*name).into(), MigrationType::Simple, sql.into_sql_str(), false)
    });
    Migrator::with_migrations(steps.collect())
}

/// Brings a database up to date, one process at a time.
pub(crate) async fn apply<DB: Database>(
    pool: &Pool<DB>,
    steps: Migrator,
    database: &str,
) -> Result<(), StoreError>
where
    for<'a> &'a Pool<DB>: Acquire<'a, Database = DB>,
    for<'a> <&'a Pool<DB> as Acquire<'a>>::Connection: Deref,
    for<'a> <<&'a Pool<DB> as Acquire<'a>>::Connection as Deref>::Target: Migrate,
{
    match steps.run(pool).await {
        Ok(()) => Ok(()),
        Err(MigrateError::VersionMissing(found)) if found > NEWEST => {
            Err(StoreError::TooNew { database: database.to_owned(), found })
        }
        Err(source) => Err(StoreError::Schema { database: database.to_owned(), source: Box::new(source) }),
    }
}
