//! The store: transactions, revisions, the change log and repeated requests, on SQLite.
//!
//! Services write SQL once, with `$1` placeholders, and see neither the driver nor its types: a [`Tx`] takes
//! [`Value`]s and gives [`Row`]s. So the second database comes in behind this crate alone.
//!
//! ```text
//!   service/store ──► Tx::execute / fetch ──► SQLite   one writer, BEGIN IMMEDIATE
//!                        │                             n readers, each on its own snapshot
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
mod requests;
mod row;
mod schema;
mod tx;

pub use changes::Changes;
pub use db::Db;
pub use error::StoreError;
pub use requests::{KeptRequest, RequestKey};
pub use row::{Row, Value};
pub use tx::Tx;
