//! The use cases, one a file. Each takes the caller's context first; authorization happened at the edge, by
//! the permission table, and without it there is no context.

mod arms;
mod audit;
mod backend_state;
mod cached;
mod create;
mod delete;
mod diff;
mod error;
mod feed;
mod fleet;
mod landing;
mod query;
mod questions;
mod revisions;
mod secrets;
mod update;
mod upkeep;
mod write;

use std::sync::Arc;

use hotswap_audit::AuditLog;
use hotswap_cache::Cache;
use hotswap_certificate::SealingKeys;
use hotswap_core::{Clock, Ids};
use hotswap_rollout_host::Rollouts;
use hotswap_store::Db;

use crate::metrics::RouteMetrics;

pub(crate) use crate::store::Logged;
pub(crate) use crate::store::rollouts::{Counter, Found};
pub(crate) use arms::Arms;
pub(crate) use audit::Changed;
pub(crate) use backend_state::SetBackendState;
pub(crate) use create::Create;
pub(crate) use delete::Delete;
pub(crate) use diff::Diff;
pub use error::Error;
pub(crate) use feed::{Batch, Followed, Start};
pub(crate) use fleet::{Fleet, Hold, Introduction, Session};
pub(crate) use query::List;
pub(crate) use revisions::ListRevisions;
pub(crate) use update::Update;
pub(crate) use upkeep::Kept;
pub(crate) use write::{Landing, WriteOptions, check};

/// What the use cases stand on; cheap to clone.
#[derive(Clone)]
pub(crate) struct App {
    pub(crate) db: Db,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: Arc<dyn Ids>,
    pub(crate) metrics: RouteMetrics,
    pub(crate) cache: Cache,
    pub(crate) audit: AuditLog,
    pub(crate) rollouts: Rollouts,
    /// What private keys are sealed with; `None`: none is kept.
    pub(crate) sealing: Option<Arc<SealingKeys>>,
}
