//! The store: transactions, revisions, the change log, leases and repeated requests, on SQLite or PostgreSQL.
//!
//! Services write SQL once, with `$1` placeholders, and see neither the driver nor its types: a [`Tx`] takes
//! [`Value`]s and gives [`Row`]s, whichever database is below.
//!
//! ```text
//!   service/store ──► Tx::execute / fetch ──► SQLite       one writer with group commit, readers on snapshots
//!                        │                └─► PostgreSQL   a pool; writers of a scope wait for its counter row
//!                        ├─ next_revision(scope)   the scope's counter row, inside the transaction
//!                        ├─ log_change(scope, …)   one commit = one revision = one log entry
//!                        └─ commit ──► Db::watch_commits   a hint; readers go by the log
//! ```
//!
//! A bare sequence would not do for revisions: its numbers commit out of order, and a watcher that saw 7
//! before 6 would never see 6. The counter row makes writers of one scope wait for each other.

mod changes;
mod db;
mod error;
mod hints;
mod leases;
mod postgres;
mod requests;
mod row;
mod schema;
mod sqlite;
mod tx;

use std::time::Duration;

pub use changes::Changes;
use db::Commits;
pub use db::{Database, Db};
pub use error::StoreError;
pub use leases::Lease;
pub use postgres::PostgresOptions;
pub use requests::{KeptRequest, RequestKey};
pub use row::{Row, Value};
pub use sqlite::{backup, restore};
pub use tx::Tx;

/// How long a statement waits for a lock, and a caller for a connection or its turn.
const PATIENCE: Duration = Duration::from_secs(5);
