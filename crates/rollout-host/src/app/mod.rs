//! The use cases, one a file. Each takes the caller's context first; authorization happened at the edge, by the
//! permission table, and without it there is no context.

mod audit;
mod command;
pub(crate) mod counts;
mod create;
mod freeze;
mod history;
mod list;
mod live;
mod pending;
mod policies;
mod retention;
mod watch;

use std::sync::Arc;

use hotswap_audit::AuditLog;
use hotswap_auth::OpContext;
use hotswap_core::{Clock, Ids, Violations};
use hotswap_rollout::RolloutId;
use hotswap_store::{Db, RequestKey, Tx};
use uuid::Uuid;

use crate::store::{self, SqlStore};
use crate::{Error, Faults, Notices, Queries, Subjects, View};

pub use command::SendCommand;
pub use counts::{Counting, Report};
pub use create::Create;
pub use history::Page;
pub use list::List;
pub use live::Live;
pub use pending::{Pending, PendingApproval};
pub use policies::PutPolicy;
pub use watch::{Watched, Watching};

/// Longest text that says why, in characters.
const MAX_REASON: usize = 1_000;

/// What the use cases stand on.
pub struct Parts {
    /// The store.
    pub db: Db,
    /// For what people read, and for repeated requests. What is decided goes by the database's.
    pub clock: Arc<dyn Clock>,
    /// Makes identities.
    pub ids: Arc<dyn Ids>,
    /// Where changes are recorded.
    pub audit: AuditLog,
    /// Where news go.
    pub notices: Arc<dyn Notices>,
    /// The domains whose rollouts are created here.
    pub domains: Vec<Arc<dyn Subjects>>,
    /// Where tests have a driver die.
    pub faults: Arc<dyn Faults>,
    /// Prometheus servers that a rollout may name; `None`: none.
    pub prometheus: Option<Arc<dyn Queries>>,
}

/// The use cases of rollouts; cheap to clone. Any process on the store answers for any rollout; one is created where its
/// domain is.
#[derive(Clone)]
pub struct Rollouts {
    pub(crate) parts: Arc<Parts>,
}

impl std::fmt::Debug for Rollouts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let domains: Vec<_> = self.parts.domains.iter().map(|d| d.domain()).collect();
        f.debug_struct("Rollouts").field("domains", &domains).finish_non_exhaustive()
    }
}

/// How a write is meant.
#[derive(Clone, Debug, Default)]
pub struct WriteOptions {
    /// Checked, not written.
    pub validate_only: bool,
    /// Makes a repeated call safe for 24 hours.
    pub request_id: Option<Uuid>,
    /// Hash of the request without its id.
    pub fingerprint: String,
}

impl WriteOptions {
    fn key(&self, ctx: &OpContext) -> Option<RequestKey> {
        let request_id = self.request_id?.to_string();
        let fingerprint = format!("{} {}", ctx.method, self.fingerprint);
        Some(RequestKey { actor: ctx.actor().to_owned(), request_id, fingerprint })
    }
}

impl Rollouts {
    /// On these parts.
    pub fn new(parts: Parts) -> Self {
        Self { parts: Arc::new(parts) }
    }

    /// The rollouts of a domain, for its driver.
    pub fn store(&self, subjects: Arc<dyn Subjects>) -> SqlStore {
        let p = &self.parts;
        let owner = p.ids.uuid().to_string();
        let (notices, faults) = (Arc::clone(&p.notices), Arc::clone(&p.faults));
        SqlStore::new(p.db.clone(), p.audit.clone(), notices, faults, subjects, owner)
    }

    /// Reads one, by "rollouts/{id}" or the id alone.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::NotFound`], [`Error::Store`].
    pub async fn get(&self, _ctx: &OpContext, name: &str) -> Result<View, Error> {
        let id = parse_name(name)?;
        let mut tx = self.parts.db.read().await?;
        found(&mut tx, id).await
    }

    fn domain_of(&self, subject: &str) -> Option<&Arc<dyn Subjects>> {
        self.parts.domains.iter().find(|domain| domain.owns(subject))
    }
}

/// The rollout of an id.
async fn found(tx: &mut Tx, id: RolloutId) -> Result<View, Error> {
    store::get(tx, id).await?.ok_or_else(|| Error::NotFound { name: id.to_string() })
}

/// The id in "rollouts/{id}", or alone.
fn parse_name(name: &str) -> Result<RolloutId, Error> {
    let id = name.strip_prefix("rollouts/").unwrap_or(name);
    let id = id.parse::<Uuid>().map_err(|_| {
        Violations::one(
            "name",
            "must be \"rollouts/\" and an id, as rollouts/0192f0c1-7c1e-7d3a-9b1e-3f6f5a4b2c1d",
        )
    })?;
    Ok(RolloutId(id))
}

/// A text that says why.
fn check_reason(v: &mut Violations, field: &str, text: &str) {
    if text.chars().count() > MAX_REASON || text.chars().any(|c| c.is_control() && c != '\n') {
        v.add(field, "must be at most 1,000 characters, none of them for control");
    }
}
